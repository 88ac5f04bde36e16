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
from napari_ditto.ui.image_layers import axis_names, is_orthogonal
from napari_ditto.ui.label_layers import labels_on_plane
from napari_ditto.ui.prompt_layers import signs
from napari_ditto.ui.region import Outline, Region, ellipse, join_regions
from napari_ditto.ui.transforms import data_to_world, transform

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
        total = total + _read(layer, image, plane, dims)
    box, mask, notes = join_regions(total.regions)
    if total.used and not is_orthogonal(image, plane):
        notes += (f"'{image.name}' is tilted against this plane; napari shows it only roughly",)
    prompts = PromptSet(total.points, total.scribbles, box, mask)
    return CollectedPrompts(prompts, total.used, total.elsewhere, total.notes + notes)


def _read(layer: Layer, image: Image, plane: PlaneAddress, dims: Dims | None) -> Collected:
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
    here = [
        positions_on_plane(np.atleast_2d(item), layer, image, plane, dims)[1] for item in layer.data
    ]
    return np.array([bool(vertices.all()) for vertices in here], dtype=bool)


def points_from_layer(
    layer: Points, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> Collected:
    """Return the clicks of a Points layer that lie on a plane of an image."""
    coords = np.asarray(layer.data, dtype=np.float64).reshape(-1, layer.ndim)
    yx, here = positions_on_plane(coords, layer, image, plane, dims)
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
    total = Collected()
    rows = zip(layer.data, layer.shape_type, layer.edge_width, signs(layer), strict=True)
    for number, (vertices, kind, width, positive) in enumerate(rows):
        coords = np.asarray(vertices, dtype=np.float64)
        if not np.isfinite(coords).all():
            total += Collected(notes=_not_finite(layer, "shape", [number]))
            continue
        outline, here = positions_on_plane(coords, layer, image, plane, dims)
        if not here.all():
            total += Collected(elsewhere=1)
        elif str(kind) in _STROKES:
            total += _stroke(outline, bool(positive), _stroke_width(layer, image, plane, width))
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


def _stroke_width(layer: Shapes, image: Image, plane: PlaneAddress, width: float) -> float:
    """Return an edge width in pixels of the image: the mean of the stretch along both axes."""
    names = axis_names(image)
    shown = [names.index(plane.rows), names.index(plane.columns)]
    own, theirs = data_to_world(layer), data_to_world(image)
    last = [layer.ndim - image.ndim + axis for axis in shown]
    if min(last) < 0:
        return float(width)
    areas = [
        abs(np.linalg.det(m[np.ix_(axes, axes)])) for m, axes in ((own, last), (theirs, shown))
    ]
    return float(width * np.sqrt(areas[0] / areas[1])) if areas[1] > 0 else float(width)


def positions_on_plane(
    coords: NDArray[np.float64],
    layer: Layer,
    image: Image,
    plane: PlaneAddress,
    dims: Dims | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return where coordinates of a layer, shape (n, d), are in a plane of an image.

    Returns
    -------
    yx : ndarray of float64, shape (n, 2)
        Row and column in pixels of the plane.
    here : ndarray of bool, shape (n,)
        Which of them lie within half a pixel of the plane along every other axis.
    """
    units = None if dims is None else dims.units
    world = transform(data_to_world(layer, units), coords)
    surplus = layer.ndim - image.ndim
    here = np.ones(len(coords), dtype=bool)
    if surplus > 0:
        here = _on_shown_slice(world[:, :surplus], layer, dims)
        world = world[:, surplus:]
    names = axis_names(image)
    shown = [names.index(plane.rows), names.index(plane.columns)]
    if surplus < 0:
        # Axes that a layer lacks are axes along which it repeats; a shown one has no position.
        here &= min(shown) >= -surplus
        lead = _world_of(image, plane, units)[:-surplus]
        world = np.column_stack([np.tile(lead, (len(world), 1)), world])
    position = transform(np.linalg.inv(data_to_world(image, units)), world)
    for name, index in plane.fixed:
        distance = position[:, names.index(name)] - index
        here &= (distance >= -0.5) & (distance < 0.5)
    return position[:, shown], here


def _on_shown_slice(
    extra: NDArray[np.float64], layer: Layer, dims: Dims | None
) -> NDArray[np.bool_]:
    """Return which positions lie on the viewer's slice of axes that the image does not have."""
    if dims is None:
        return np.ones(len(extra), dtype=bool)
    k = extra.shape[1]
    point = np.asarray(dims.point, dtype=np.float64)[-layer.ndim :][:k]
    half = np.abs(data_to_world(layer, dims.units)[:k, :-1]).sum(axis=1) / 2
    return np.asarray((np.abs(extra - point) <= half).all(axis=1))


def _world_of(
    image: Image, plane: PlaneAddress, units: Sequence[object] | None
) -> NDArray[np.float64]:
    """Return the world position of the first pixel of a plane."""
    index = plane.index
    first = np.array([[index.get(name, 0) for name in axis_names(image)]], dtype=np.float64)
    return transform(data_to_world(image, units), first)[0]


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
