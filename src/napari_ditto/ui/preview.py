"""The outline of the proposal on show: one small Labels layer, moved rather than made anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.proposals import Proposals
from napari_ditto.ui.adapters import source_axes, transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.utils.events import Event
    from napari.viewer import Viewer

NAME = "Ditto preview"
# Okabe and Ito's sky blue is far from the points' green and vermilion, and from most stains.
COLOR = "#56b4e9"
OUTLINE_SCREEN_PX = 2
MARGIN = 2
"""Empty pixels round the mask; without them its outline has no outer side."""


class Preview:
    """Shows one mask at a time in a viewer.

    The layer covers only the mask's box and never becomes the active one. A user who deletes it
    gets a new one with the next proposal.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

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
        mask, box = _cropped(proposals.masks[choice], proposals.box)
        axes = source_axes(image)
        data, offset = _in_axes(mask, box, proposals, axes)
        placed = transform_kwargs(image, offset, ndim=len(axes))
        layer = self.layer
        if layer is None or layer.ndim != len(axes):
            self.hide(remove=True)
            layer = self._add(data, placed)
        else:
            layer.data = data
            for name, value in placed.items():
                setattr(layer, name, value)
        layer.contour = self._contour(placed)
        layer.visible = True

    def close(self) -> None:
        """Remove the layer and let go of the viewer."""
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self.hide(remove=True)

    def _on_ndisplay(self, event: Event | None = None) -> None:
        """Hide at once in 3-D, where napari would warn that it draws no outlines."""
        if self._viewer.dims.ndisplay == 3 and (layer := self.layer) is not None:
            layer.contour = 0
            layer.visible = False

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

        colors = DirectLabelColormap(color_dict={0: "transparent", 1: COLOR, None: COLOR})
        layer = Labels(data, name=NAME, colormap=colors, opacity=1.0, **placed)
        layer.editable = False
        selection = self._viewer.layers.selection
        before, active = set(selection), selection.active
        self._viewer.layers.append(layer)
        # Adding selects; the tool in the user's hand must stay armed.
        selection.active = active
        selection.update(before)
        selection.discard(layer)
        self._layer = layer
        return layer

    def _contour(self, placed: dict[str, Any]) -> int:
        """Return the outline's width in pixels of the image that shows at this zoom."""
        linear = placed["affine"][:-1, :-1] @ np.diag(placed["scale"])
        pixel = float(np.linalg.norm(linear[:, -1]))
        screen = max(self._viewer.scene.camera.zoom * pixel, 1e-6)
        return int(np.clip(math.ceil(OUTLINE_SCREEN_PX / screen), 1, 50))


def _cropped(mask: NDArray[np.bool_], box: Box) -> tuple[NDArray[np.uint8], Box]:
    """Return the mask within its own bounding box plus a margin."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return np.zeros((1, 1), dtype=np.uint8), Box(box.y0, box.x0, box.y0 + 1, box.x0 + 1)
    tight = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    data = np.pad(mask[tight.slices].astype(np.uint8), MARGIN)
    return data, tight.shift(box.y0, box.x0).grow(MARGIN)


def _in_axes(
    mask: NDArray[np.uint8], box: Box, proposals: Proposals, axes: tuple[str, ...]
) -> tuple[NDArray[np.uint8], list[float]]:
    """Return the mask as one slice of the image's axes, and its first index on each of them."""
    address = proposals.address
    if axes.index(address.rows) > axes.index(address.columns):
        mask = mask.T
    sizes = {address.rows: box.height, address.columns: box.width}
    corner = {address.rows: box.y0, address.columns: box.x0, **address.index}
    data = mask.reshape([sizes.get(name, 1) for name in axes])
    return np.ascontiguousarray(data), [float(corner[name]) for name in axes]
