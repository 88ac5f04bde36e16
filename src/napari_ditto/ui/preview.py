"""The outline of the proposal on show: one small Labels layer, moved rather than made anew.

The outline is painted here: napari's own ``contour`` warns in 3-D view, before any callback of a
plugin could switch it off, and leaves no faint fill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.proposals import Proposals
from napari_ditto.ui.adapters import source_axes, transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

NAME = "Ditto preview"
# Okabe and Ito's sky blue is far from the points' green and vermilion, and from most stains.
COLOR = "#56b4e9"
OUTLINE_SCREEN_PX = 2
FILL_ALPHA = 0.2
_OUTLINE, _INSIDE = 1, 2
MOST_CELLS = 1 << 26
"""Larger previews, of objects far apart, are drawn more coarsely."""

OWN = "ditto_own"
"""Key in the metadata of layers that only show something: no prompts, and never written to."""


@dataclass(frozen=True)
class Style:
    """How outlines are drawn.

    Attributes
    ----------
    name : str
        Of the layer.
    color : str
        ``"#rrggbb"``.
    fill : float
        Opacity of what they go round.
    place : callable
        Where in a viewer the layer goes.
    most_cells : int
        What is larger is drawn more coarsely.
    """

    name: str
    color: str
    fill: float
    place: Callable[[Viewer], int]
    most_cells: int


class Preview:
    """Shows one mask at a time in a viewer, or those that are accepted together.

    The layer covers only the masks' box and never becomes the active one. A user who deletes it
    gets a new one with the next proposal.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    style : Style, optional
        That of proposals by default.
    """

    def __init__(self, viewer: Viewer, style: Style | None = None) -> None:
        self._viewer, self._style = viewer, style or STYLE
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer if it is in the viewer."""
        layers = self._viewer.layers
        return self._layer if self._layer is not None and self._layer in layers else None

    def prepare(self, image: Image) -> None:
        """Make the layer while the user still aims; napari takes half a second for a new layer."""
        axes = source_axes(image)
        if self.layer is None:
            nothing = np.zeros((1,) * len(axes), dtype=np.uint8)
            self._add(nothing, transform_kwargs(image, ndim=len(axes))).visible = False

    def show(self, image: Image, proposals: Proposals, choice: int) -> None:
        """Draw the outline of a candidate on an image."""
        mask = PlacedMask(proposals.box, proposals.masks[choice])
        self.show_all(image, proposals.address, [mask])

    def show_all(self, image: Image, address: PlaneAddress, masks: Sequence[PlacedMask]) -> None:
        """Draw the outlines of some masks on an image, later ones over earlier ones."""
        axes = source_axes(image)
        width = self._width(transform_kwargs(image, ndim=len(axes)))
        outlines, box, step = _outlines(masks, width, self._style.most_cells)
        data, offset = in_axes(outlines, box, address, axes)
        steps = np.array([step if name in (address.rows, address.columns) else 1 for name in axes])
        placed = transform_kwargs(image, (offset + (steps - 1) / 2).tolist(), ndim=len(axes))
        placed["scale"] = placed["scale"] * steps
        layer = self.layer
        if layer is None or layer.ndim != len(axes):
            self.hide(remove=True)
            layer = self._add(data, placed)
        else:
            move(layer, data, placed)
        layer.visible = True

    def hide(self, *, remove: bool = False) -> None:
        """Show nothing; the layer stays unless it is to be removed."""
        layer = self.layer
        if layer is not None:
            layer.visible = False
            if remove:
                self._viewer.layers.remove(layer)
        if remove:
            self._layer = None

    def _add(self, data: NDArray[np.uint8], placed: dict[str, Any]) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap
        from napari.utils.colormaps.standardize_color import transform_color

        style, shown = self._style, {OWN: True}
        fill = np.array([*transform_color(style.color)[0][:3], style.fill])
        colors = DirectLabelColormap(
            color_dict={_OUTLINE: style.color, _INSIDE: fill, None: "transparent"}
        )
        layer = Labels(
            data, name=style.name, colormap=colors, opacity=1.0, metadata=shown, **placed
        )
        layer.editable = False
        add_quietly(self._viewer, layer, style.place(self._viewer))
        self._layer = layer
        return layer

    def _width(self, placed: dict[str, Any]) -> int:
        """Return the outline's width in pixels of the image that shows at this zoom."""
        linear = placed["affine"][:-1, :-1] @ np.diag(placed["scale"])
        pixel = float(np.linalg.norm(linear[:, -1]))
        screen = max(self._viewer.scene.camera.zoom * pixel, 1e-6)
        return int(np.clip(math.ceil(OUTLINE_SCREEN_PX / screen), 1, 20))


def add_quietly(viewer: Viewer, layer: Layer, place: int) -> None:
    """Insert a layer; what was selected stays so, and the tool in the user's hand stays armed."""
    selection = viewer.layers.selection
    before, active = set(selection), selection.active
    viewer.layers.insert(place, layer)
    selection.active = active
    selection.update(before)
    selection.discard(layer)


def above_images(viewer: Viewer) -> int:
    """Return where a layer goes that covers every image, but no labels or prompts."""
    from napari.layers import Image

    images = [i for i, layer in enumerate(viewer.layers) if isinstance(layer, Image)]
    return max(images, default=-1) + 1


STYLE = Style(NAME, COLOR, FILL_ALPHA, above_images, MOST_CELLS)


def _outlines(
    masks: Sequence[PlacedMask], width: int, most_cells: int
) -> tuple[NDArray[np.uint8], Box, int]:
    """Return outlines, the box of pixels from which every `step`-th is shown, and the step."""
    tight = [mask.cropped() for mask in masks]
    box = Box(0, 0, 0, 0)
    for mask in tight:
        box = box.union(mask.box)
    if box.is_empty:
        return np.zeros((1, 1), dtype=np.uint8), Box(0, 0, 1, 1), 1
    step = math.ceil(math.sqrt(box.area / most_cells))
    data = np.zeros((-(-box.height // step), -(-box.width // step)), dtype=np.uint8)
    for mask in tight:
        top, left = mask.box.y0 - box.y0, mask.box.x0 - box.x0
        thin = _outlined(mask.mask[-top % step :: step, -left % step :: step], -(-width // step))
        row, column = -(-top // step), -(-left // step)
        part = data[row : row + thin.shape[0], column : column + thin.shape[1]]
        part[thin > 0] = thin[thin > 0]
    return data, box, step


def _outlined(mask: NDArray[np.bool_], width: int) -> NDArray[np.uint8]:
    """Return 1 on the mask's border, `width` pixels wide, and 2 inside."""
    inner = np.pad(mask, 1)
    for _ in range(width):
        core = inner[1:-1, 1:-1] & inner[:-2, 1:-1] & inner[2:, 1:-1]
        core &= inner[1:-1, :-2] & inner[1:-1, 2:]
        inner = np.pad(core, 1)
    data = np.where(mask, _OUTLINE, 0).astype(np.uint8)
    data[inner[1:-1, 1:-1]] = _INSIDE
    return data


def move(layer: Labels, data: NDArray[np.uint8], placed: dict[str, Any]) -> None:
    """Let a layer show other data at another place."""
    layer.data = data
    for name, value in placed.items():
        setattr(layer, name, value)


def in_axes(
    mask: NDArray[np.uint8], box: Box, address: PlaneAddress, axes: tuple[str, ...]
) -> tuple[NDArray[np.uint8], list[float]]:
    """Return the mask as one slice of the image's axes, and its first index on each of them."""
    sizes = {address.rows: mask.shape[0], address.columns: mask.shape[1]}
    if axes.index(address.rows) > axes.index(address.columns):
        mask = mask.T
    corner = {address.rows: box.y0, address.columns: box.x0, **address.index}
    data = mask.reshape([sizes.get(name, 1) for name in axes])
    return np.ascontiguousarray(data), [float(corner[name]) for name in axes]


def from_axes(
    data: NDArray[np.bool_], box: Box, address: PlaneAddress, axes: tuple[str, ...]
) -> NDArray[np.bool_]:
    """Return one slice of the image's axes as rows and columns."""
    if axes.index(address.rows) > axes.index(address.columns):
        return data.reshape(box.shape[::-1]).T
    return data.reshape(box.shape)
