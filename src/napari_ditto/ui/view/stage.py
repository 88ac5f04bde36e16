"""A napari viewer as one that is looked at: when the user rests, and a faint grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.ui import adapters
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.preview import OWN, above_images, add_quietly
from napari_ditto.ui.transforms import transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Vectors
    from napari.viewer import Viewer

NAME = "Ditto encoded tiles"
REST_MILLISECONDS = 500
"""A user who has moved neither mouse nor view for so long looks at something."""

LINE_SCREEN_PX = 1.2
# Okabe and Ito's orange, unlike all that shows objects.
COLOR, OPACITY = "#e69f00", 0.5


class ViewerView:
    """A viewer as a :class:`~napari_ditto.ui.view.part.ViewStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    stirred = Signal()
    rested = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Vectors | None = None
        self._shown: tuple[str, int] | None = None
        self.rest_soon = Debounce(self.rested.emit, REST_MILLISECONDS)
        self._connect("connect")

    def _connect(self, how: str) -> None:
        camera, cursor = self._viewer.scene.camera.events, self._viewer.cursor.events
        for event in (camera.center, camera.zoom, cursor.position, self._viewer.dims.events.point):
            getattr(event, how)(self._on_stirred)

    def _on_stirred(self, *_: object) -> None:
        self.stirred.emit()
        self.rest_soon()

    @property
    def layer(self) -> Vectors | None:
        """The grid if it is in the viewer."""
        layers = self._viewer.layers
        return self._layer if self._layer is not None and self._layer in layers else None

    def show_tiles(
        self, images: Sequence[str], address: PlaneAddress, boxes: Sequence[Box]
    ) -> None:
        """Draw boxes of a plane as a faint grid."""
        image: Any = next(la for la in self._viewer.layers if str(la.unique_id) == images[0])
        axes, layer = adapters.source_axes(image), self.layer
        width = self._line_width(image)
        if self._shown == (images[0], len(axes)) and layer is not None:
            layer.data = in_plane(outline(boxes), address, axes)
            if not 0.7 < layer.edge_width / width < 1.4:
                layer.edge_width = width
            return
        self.hide_tiles()
        self._shown = (images[0], len(axes))
        self._layer = self._made(image, in_plane(outline(boxes), address, axes), width)
        add_quietly(self._viewer, self._layer, above_images(self._viewer))

    def _line_width(self, image: Image) -> float:
        """Return a line's width in pixels of the image that is as thin at this zoom as any."""
        low, high = (np.asarray(image.data_to_world(corner)) for corner in unit(image.ndim))
        pixel = float(np.linalg.norm(high - low))
        return LINE_SCREEN_PX / max(float(self._viewer.scene.camera.zoom) * pixel, 1e-9)

    def _made(self, image: Image, lines: NDArray[np.float64], width: float) -> Vectors:
        from napari.layers import Vectors

        return Vectors(
            lines,
            ndim=lines.shape[2],
            name=NAME,
            vector_style="line",
            edge_width=width,
            edge_color=COLOR,
            opacity=OPACITY,
            metadata={OWN: True},
            **transform_kwargs(image, ndim=lines.shape[2]),
        )

    def hide_tiles(self) -> None:
        """Draw no grid."""
        layer = self.layer
        self._layer = self._shown = None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def close(self) -> None:
        """Let go of the viewer."""
        self.rest_soon.stop()
        self._connect("disconnect")
        self.hide_tiles()


def unit(ndim: int) -> NDArray[np.float64]:
    """Return the ends of the last axis' unit vector, shape (2, ndim)."""
    ends = np.zeros((2, ndim))
    ends[1, -1] = 1
    return ends


def outline(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return the sides of boxes, each once, as starts and directions, shape (n, 2, 2)."""
    sides: set[tuple[float, float, float, float]] = set()
    for box in boxes:
        top, left, bottom, right = box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5
        sides |= {(y, left, 0.0, right - left) for y in (top, bottom)}
        sides |= {(top, x, bottom - top, 0.0) for x in (left, right)}
    return np.array(sorted(sides), dtype=np.float64).reshape(-1, 2, 2)


def in_plane(
    lines: NDArray[np.float64], address: PlaneAddress, axes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Return lines of a plane as vectors in an image's axes, shape (n, 2, len(axes))."""
    vectors = np.zeros((len(lines), 2, len(axes)))
    vectors[:, :, axes.index(address.rows)] = lines[:, :, 0]
    vectors[:, :, axes.index(address.columns)] = lines[:, :, 1]
    for name, index in address.index.items():
        vectors[:, 0, axes.index(name)] = index
    return vectors
