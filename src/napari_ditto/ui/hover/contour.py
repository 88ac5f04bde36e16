"""The contour under the mouse: dark outside, bright inside, as thin at any zoom.

One small Labels layer is a window on the plane, kept where it is as long as masks fit into it:
napari takes 3 ms to draw it again, 20 ms for data of another shape, and 200 ms for a new layer.
Its cells are about two screen pixels wide, whatever the zoom, so that drawing never costs more
than what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.ui.adapters import axis_names, layer_shape, source_axes, transform_kwargs
from napari_ditto.ui.hover.raster import (
    BRIGHT,
    DARK,
    cell_size,
    line_width,
    sampled,
    two_tones,
    window_around,
)
from napari_ditto.ui.preview import OWN, above_images, add_quietly

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

NAME = "Ditto live preview"
# Okabe and Ito's yellow on black: seen on black and on white, on grey and on stains, and unlike
# the preview's sky blue and the points' green and vermilion.
BRIGHT_COLOR, DARK_COLOR = "#f0e442", "#000000"
WINDOW = 512
"""Side of the window in cells; larger masks get a larger one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the window lies.

    Attributes
    ----------
    image : str
        Unique id of the image.
    address : PlaneAddress
        The plane.
    step : float
        Pixels of the image per cell.
    window : Box
        In cells from the plane's corner.
    """

    image: str
    address: PlaneAddress
    step: float
    window: Box


class Contour:
    """Draws one contour at a time in a viewer.

    The layer never becomes the active one. A user who deletes it gets a new one.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None
        self._frame: Frame | None = None
        self._cells = np.zeros((0, 0), np.uint8)
        self._drawn = Box(0, 0, 0, 0)

    @property
    def layer(self) -> Labels | None:
        """The layer if it is in the viewer."""
        layers = self._viewer.layers
        return self._layer if self._layer is not None and self._layer in layers else None

    def prepare(self, image: Image, address: PlaneAddress) -> None:
        """Make the layer while the user still aims."""
        if self.layer is None:
            window = window_around(Box(0, 0, 1, 1), WINDOW, _room(image, address, 1.0))
            self._open(image, Frame(_key(image), address, 1.0, window))

    def show(self, image: Image, mask: NDArray[np.bool_], box: Box, address: PlaneAddress) -> None:
        """Draw round a mask that lies in a box of a plane."""
        screen = self._viewer.scene.camera.zoom * _pixel_size(image)
        step = cell_size(screen, box)
        cells, where = sampled(mask, box, step)
        room = _room(image, address, step)
        drawn, where = two_tones(cells, line_width(screen, step)), where.grow(1)
        inside = where.intersect(room)
        frame = self._frame_for(Frame(_key(image), address, step, inside), room)
        self._cells[self._drawn.slices] = 0
        if frame is not self._frame or self.layer is None:
            self._open(image, frame)
        self._drawn = inside.shift(-frame.window.y0, -frame.window.x0)
        self._cells[self._drawn.slices] = drawn[inside.shift(-where.y0, -where.x0).slices]
        self._redraw()

    def hide(self) -> None:
        """Show nothing; the layer stays."""
        if not self._drawn.is_empty:
            self._cells[self._drawn.slices] = 0
            self._drawn = Box(0, 0, 0, 0)
            self._redraw()

    def forget(self) -> None:
        """Look again where the image lies before the next contour."""
        self._frame = None

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer = self.layer
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer = self._frame = None

    def _redraw(self) -> None:
        layer = self.layer
        if layer is not None:
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _frame_for(self, wanted: Frame, room: Box) -> Frame:
        """Return the frame as it is if what is wanted fits into it, else one around that."""
        now = self._frame
        if now is not None and now.window.covers(wanted.window):
            same = (now.image, now.address, now.step)
            if same == (wanted.image, wanted.address, wanted.step):
                return now
        window = window_around(wanted.window, WINDOW, room)
        return Frame(wanted.image, wanted.address, wanted.step, window)

    def _open(self, image: Image, frame: Frame) -> None:
        """Put the window where it belongs, blank."""
        axes = source_axes(image)
        sides = {frame.address.rows: frame.window.height, frame.address.columns: frame.window.width}
        shape = tuple(sides.get(name, 1) for name in axes)
        layer, placed = self.layer, _placed(image, frame, axes)
        if layer is None or layer.ndim != len(axes):
            self.remove()
            data = np.zeros(shape, np.uint8)
            layer = self._layer = _made(data, placed)
            add_quietly(self._viewer, layer, _place(self._viewer))
        elif layer.data.shape != shape:
            data = np.zeros(shape, np.uint8)
            layer.data = data
        else:
            data = layer.data
        for name, value in placed.items():
            if not np.array_equal(getattr(layer, name), value):
                setattr(layer, name, value)
        plane = data.reshape([n for n, name in zip(shape, axes, strict=True) if name in sides])
        turned = axes.index(frame.address.rows) > axes.index(frame.address.columns)
        self._cells, self._frame = plane.T if turned else plane, frame
        self._drawn = Box(0, 0, 0, 0)


def _place(viewer: Viewer) -> int:
    """Return where the contour covers images and the mask on show, but no prompts."""
    own = [i for i, layer in enumerate(viewer.layers) if OWN in layer.metadata]
    return max(above_images(viewer), max(own, default=-1) + 1)


def _key(image: Image) -> str:
    return str(image.unique_id)


def _room(image: Image, address: PlaneAddress, step: float) -> Box:
    """Return all cells of a plane."""
    sizes = dict(zip(axis_names(image), layer_shape(image), strict=True))
    return Box.of_shape([max(1, int(sizes[n] / step)) for n in (address.rows, address.columns)])


def _pixel_size(image: Image) -> float:
    """Return the width of a pixel in world units."""
    placed = transform_kwargs(image)
    linear = placed["affine"][:-1, :-1] @ np.diag(placed["scale"])
    return max(float(np.linalg.norm(linear[:, -1])), 1e-9)


def _placed(image: Image, frame: Frame, axes: tuple[str, ...]) -> dict[str, Any]:
    """Return layer arguments that put the window's cells on the image's plane."""
    first = {
        name: (start + 0.5) * frame.step - 0.5
        for name, start in (
            (frame.address.rows, frame.window.y0),
            (frame.address.columns, frame.window.x0),
        )
    }
    offset = [first.get(name, frame.address.index.get(name, 0)) for name in axes]
    placed = transform_kwargs(image, offset, ndim=len(axes))
    stretch = np.array([frame.step if name in first else 1.0 for name in axes])
    if np.array_equal(placed["affine"], np.eye(len(axes) + 1)):
        placed["scale"] = placed["scale"] * stretch
    else:
        placed["affine"] = placed["affine"] @ np.diag([*stretch, 1.0])
    return placed


def _made(data: NDArray[np.uint8], placed: dict[str, Any]) -> Labels:
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    colors = DirectLabelColormap(
        color_dict={DARK: DARK_COLOR, BRIGHT: BRIGHT_COLOR, None: "transparent"}
    )
    layer = Labels(data, name=NAME, colormap=colors, opacity=1.0, metadata={OWN: True}, **placed)
    layer.editable = False
    return layer
