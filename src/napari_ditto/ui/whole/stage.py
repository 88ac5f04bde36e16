"""A napari viewer as runs see it: where they look, the layer that shows them, the way to a tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.run_plan import Polygon
from napari_ditto.errors import DittoError, PromptError
from napari_ditto.ui import adapters
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.preview import above_images
from napari_ditto.ui.session import Choice
from napari_ditto.ui.transforms import data_to_world, transform
from napari_ditto.ui.whole.areas import drawn_areas
from napari_ditto.ui.whole.run_layers import begin_again, end_run, run_layer

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_ditto.data.protocols import LabelStore

REFRESH_SECONDS = 1.0
"""Finished tiles appear at most this often."""

SHARE = 0.1
"""Most of the main thread's time that drawing a run may take, where the disk is slow."""

_ROOM = 1.2
"""How much more than a failed tile is shown round it."""


class ViewerRuns:
    """A napari viewer as a :class:`~napari_ditto.ui.views.RunStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._next_refresh = 0.0

    def _layer(self, key: str) -> Any:  # noqa: ANN401 - any kind of layer
        layer = layers_by_id(self._viewer).get(key)
        if layer is None:
            raise PromptError("the layer is gone", todo="Choose another one")
        return layer

    # --- what is there ---------------------------------------------------------------------------

    def area_choices(self) -> tuple[Choice, ...]:
        """Return all Shapes layers, the topmost first."""
        from napari.layers import Shapes

        return tuple(
            Choice(str(layer.unique_id), layer.name)
            for layer in reversed(self._viewer.layers)
            if isinstance(layer, Shapes)
        )

    def areas(
        self, shapes: str, images: Sequence[str], address: PlaneAddress
    ) -> tuple[Polygon, ...]:
        """Return the shapes of a layer as polygons on the planes of an image."""
        image = self._layer(images[0])
        return drawn_areas(self._layer(shapes), image, address, self._viewer.dims)

    def image_path(self, images: Sequence[str]) -> Path | None:
        """Return the file or folder that napari has opened an image from."""
        path = self._layer(images[0]).source.path
        return Path(path) if path else None

    # --- the labels of a run ---------------------------------------------------------------------

    def show_run(self, images: Sequence[str], levels: Sequence[object]) -> str:
        """Show the levels of an unfinished run over an image, read only; return the layer's id."""
        image: Image = self._layer(images[0])
        layer = run_layer(image, levels)
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(above_images(self._viewer), layer)
        layers.selection.active = active
        return str(layer.unique_id)

    def refresh_run(self, layer: str, *, now: bool = False) -> None:
        """Draw the layer again, unless it was drawn a moment ago; one that is gone is left."""
        found = layers_by_id(self._viewer).get(layer)
        start = perf_counter()
        if found is None or not found.visible or (start < self._next_refresh and not now):
            return
        adapters.refresh_labels(found)
        took = perf_counter() - start
        self._next_refresh = start + max(REFRESH_SECONDS, took / SHARE)

    def finish_run(self, layer: str, store: LabelStore, provenance: Mapping[str, object]) -> None:
        """Make the layer one like any other, over its store."""
        found = layers_by_id(self._viewer).get(layer)
        if found is not None:
            end_run(found, store, provenance)

    def begin_again(self, layer: str) -> None:
        """Let a layer be no target any more: a run writes to it again."""
        begin_again(self._layer(layer))

    # --- the way to a tile -----------------------------------------------------------------------

    def go_to_tile(self, images: Sequence[str], address: PlaneAddress, box: Box) -> None:
        """Show a tile: move the sliders to its plane, the camera over it."""
        image, dims = self._layer(images[0]), self._viewer.dims
        names = adapters.axis_names(image)
        self._scroll(image, names, address)
        ends = [self._world(image, names, address, y, x) for y, x in box_ends(box)]
        shown = [dims.order[-2], dims.order[-1]]
        low, high = (np.asarray(end)[[axis - dims.ndim for axis in shown]] for end in ends)
        camera = self._viewer.scene.camera
        camera.center = (*camera.center[:-2], *((low + high) / 2).tolist())
        height, width = self._canvas()
        extent = np.maximum(np.abs(high - low), 1e-12) * _ROOM
        camera.zoom = float(min(height / extent[0], width / extent[1]))

    def _scroll(self, image: Image, names: tuple[str, ...], address: PlaneAddress) -> None:
        dims, index = self._viewer.dims, address.index
        missing = dims.ndim - image.ndim
        order = [missing + names.index(name) for name in (address.rows, address.columns)]
        if list(dims.order[-2:]) != order and dims.ndisplay == 2:
            raise DittoError(
                f"the tile lies in {address.rows} and {address.columns}, which are not on show",
                todo="Change the order of the axes (Ctrl+E)",
            )
        point = self._world(image, names, address, 0, 0)
        axes = [names.index(name) for name in index]
        if axes:
            dims.set_point([missing + a for a in axes], [float(point[a]) for a in axes])

    def _world(
        self, image: Image, names: tuple[str, ...], address: PlaneAddress, y: float, x: float
    ) -> NDArray[np.float64]:
        at = {**address.index, address.rows: y, address.columns: x}
        point = np.array([[at.get(name, 0) for name in names]], dtype=np.float64)
        world: NDArray[np.float64] = transform(data_to_world(image, self._viewer.dims.units), point)
        return np.asarray(world[0])

    def _canvas(self) -> tuple[float, float]:
        height, width = self._viewer.canvas.size
        return float(height), float(width)


def box_ends(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the outer corners of a box of pixels."""
    return (box.y0 - 0.5, box.x0 - 0.5), (box.y1 - 0.5, box.x1 - 0.5)
