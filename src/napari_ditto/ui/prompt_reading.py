"""What the layers of a viewer say about one object on one plane, as a prompt set.

Every layer is read through the world: its own transform out, the image's transform in. Only what
lies within half a pixel of the plane counts; the rest is counted too, so that nothing vanishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import MaskPrompt, PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.errors import PromptError
from napari_ditto.ui.image_layers import is_orthogonal
from napari_ditto.ui.label_layers import labels_on_plane
from napari_ditto.ui.plane_map import plane_map
from napari_ditto.ui.prompt_layers import signs
from napari_ditto.ui.region import Outline, Region, ellipse, join_regions

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels, Layer, Points, Shapes

_STROKES = frozenset({"line", "path", "polyline"})


@dataclass(frozen=True)
class Collected:
    """Prompts of one object, and what became of everything that was looked at.

    Attributes
    ----------
    points, scribbles : tuple
        Clicks and strokes in pixels of the plane.
    regions : tuple of Region
        Rectangles, ellipses, polygons and label masks; they join to one box and one mask.
    used, elsewhere : int
        How many points and shapes count here, and how many lie on other planes.
    notes : tuple of str
        What the user should know, one line each.
    """

    points: tuple[PointPrompt, ...] = ()
    scribbles: tuple[ScribblePrompt, ...] = ()
    regions: tuple[Region, ...] = ()
    used: int = 0
    elsewhere: int = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Collected) -> Collected:
        return Collected(
            self.points + other.points,
            self.scribbles + other.scribbles,
            self.regions + other.regions,
            self.used + other.used,
            self.elsewhere + other.elsewhere,
            self.notes + other.notes,
        )


@dataclass(frozen=True)
class CollectedPrompts:
    """The prompt set of a plane, with the count of what lies elsewhere.

    Attributes
    ----------
    prompts : PromptSet
        In pixels of the plane at level 0.
    used, elsewhere : int
        How many points and shapes are in it, and how many lie on other planes.
    notes : tuple of str
        What could not be used and why, one line each.
    """

    prompts: PromptSet = field(default_factory=PromptSet)
    used: int = 0
    elsewhere: int = 0
    notes: tuple[str, ...] = ()

    @property
    def remark(self) -> str:
        """One line on what is not as the user may think, empty if there is nothing to say."""
        away = "1 prompt is" if self.elsewhere == 1 else f"{self.elsewhere} prompts are"
        return "; ".join((*self.notes, *([f"{away} on other planes"] if self.elsewhere else [])))


def collect_prompts(
    layers: Iterable[Layer], image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> CollectedPrompts:
    """Return everything that some layers say about one object on a plane.

    Parameters
    ----------
    layers : iterable of napari layers
        Points, Shapes, and Labels (its selected label becomes a mask). Of any name and transform.
    image : napari Image layer
        The image that the prompts are for.
    plane : PlaneAddress
        The plane, from :func:`plane_from_viewer`.
    dims : napari.components.Dims, optional
        ``viewer.dims``; needed where prompt layers have more axes than the image.
    """
    total = Collected()
    for layer in layers:
        total = total + read_layer(layer, image, plane, dims)
    box, mask, notes = join_regions(total.regions)
    if total.used and not is_orthogonal(image, plane):
        notes += (f"'{image.name}' is tilted against this plane; napari shows it only roughly",)
    prompts = PromptSet(total.points, total.scribbles, box, mask)
    return CollectedPrompts(prompts, total.used, total.elsewhere, total.notes + notes)


def read_layer(layer: Layer, image: Image, plane: PlaneAddress, dims: Dims | None) -> Collected:
    """Return what one layer says about a plane."""
    from napari.layers import Labels, Points, Shapes

    if isinstance(layer, Points):
        return points_from_layer(layer, image, plane, dims)
    if isinstance(layer, Shapes):
        return shapes_from_layer(layer, image, plane, dims)
    if isinstance(layer, Labels):
        return mask_from_labels(layer, image, plane, dims=dims)
    return Collected(notes=(f"'{layer.name}' holds no prompts",))


def which_on_plane(
    layer: Points | Shapes, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> NDArray[np.bool_]:
    """Return which points or shapes of a layer lie on a plane, shape (n,)."""
    place = plane_map(layer, image, plane, dims)
    if isinstance(layer.data, np.ndarray):
        return place(layer.data.astype(np.float64))[1]
    here = [place(vertices.astype(np.float64))[1].all() for vertices in layer.data]
    return np.array(here, dtype=bool)


def points_from_layer(
    layer: Points, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> Collected:
    """Return the clicks of a Points layer that lie on a plane of an image."""
    coords = np.asarray(layer.data, dtype=np.float64).reshape(-1, layer.ndim)
    yx, here = plane_map(layer, image, plane, dims)(coords)
    finite = np.isfinite(coords).all(axis=1)
    chosen = np.flatnonzero(here & finite)
    positive = signs(layer)
    points = tuple(PointPrompt(float(yx[i, 0]), float(yx[i, 1]), bool(positive[i])) for i in chosen)
    return Collected(
        points=points,
        used=len(points),
        elsewhere=int((finite & ~here).sum()),
        notes=_not_finite(layer, "point", np.flatnonzero(~finite)),
    )


def _not_finite(layer: Layer, thing: str, which: Sequence[int] | NDArray[Any]) -> tuple[str, ...]:
    return tuple(
        f"{thing} {int(i) + 1} of '{layer.name}' has no finite position and was left out"
        for i in which
    )


def shapes_from_layer(
    layer: Shapes, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> Collected:
    """Return the boxes, rough masks and strokes of a Shapes layer that lie on a plane.

    A rectangle along the pixel axes is a box; any other area is the box round it with a rough
    mask; lines and paths are strokes as wide as their edge. A negative area is a negative stroke
    along its outline, as no model takes negative boxes.
    """
    total, place = Collected(), plane_map(layer, image, plane, dims)
    rows = zip(layer.data, layer.shape_type, layer.edge_width, signs(layer), strict=True)
    for number, (vertices, kind, width, positive) in enumerate(rows):
        coords = np.asarray(vertices, dtype=np.float64)
        if not np.isfinite(coords).all():
            total += Collected(notes=_not_finite(layer, "shape", [number]))
            continue
        outline, here = place(coords)
        if not here.all():
            total += Collected(elsewhere=1)
        elif str(kind) in _STROKES:
            total += _stroke(outline, bool(positive), float(width) * place.stretch)
        else:
            outline = ellipse(outline) if str(kind) == "ellipse" else outline
            total += _area(outline, bool(positive))
    return total


def _stroke(path: NDArray[np.float64], positive: bool, width: float) -> Collected:
    vertices = tuple((float(y), float(x)) for y, x in path)
    return Collected(scribbles=(ScribblePrompt(vertices, positive, width),), used=1)


def _area(outline: NDArray[np.float64], positive: bool) -> Collected:
    if positive:
        return Collected(regions=(Outline(outline),), used=1)
    return _stroke(np.concatenate([outline, outline[:1]]), positive, 1.0)


def mask_from_labels(
    layer: Labels,
    image: Image,
    plane: PlaneAddress,
    label: int | None = None,
    dims: Dims | None = None,
) -> Collected:
    """Return one label of a Labels layer as a mask prompt (the selected one by default)."""
    wanted = int(layer.selected_label if label is None else label)
    try:
        here, corner = labels_on_plane(layer, image, plane, wanted, dims)
    except PromptError as error:
        return Collected(notes=(str(error),))
    if not here.any():
        return Collected(notes=(f"label {wanted} of '{layer.name}' is not on this plane",))
    mask = MaskPrompt(Box.of_shape(here.shape).shift(*corner), here)
    return Collected(regions=(mask,), used=1)
