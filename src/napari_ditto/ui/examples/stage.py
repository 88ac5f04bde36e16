"""A napari viewer as examples and results see it; the other half of the scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.errors import DittoError, PromptError
from napari_ditto.ui import adapters
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.examples import result_layers
from napari_ditto.ui.examples.drawings import drawing_on_plane
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.objects_table.layer_tables import table_of
from napari_ditto.ui.overlay import NAME as IN_HAND
from napari_ditto.ui.preview import OWN, above_images
from napari_ditto.ui.transforms import data_to_world, transform
from napari_ditto.ui.watched_layers import WatchedLayers

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer

    from napari_ditto.core.lineage import Lineage
    from napari_ditto.data.protocols import LabelStore, Source

CALM_MILLISECONDS = 250
"""A stroke of the brush ends before its labels are compared with an example's."""

_EDITS = ("paint", "labels_update", "data")


class ViewerStage:
    """A napari viewer as a :class:`~napari_ditto.ui.views.Stage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    handlers : mapping of str to callable
        What the keys of the review call, by action; bound on watched layers.
    """

    labels_edited = Signal(str)

    def __init__(self, viewer: Viewer, handlers: Mapping[str, Callable[[], None]]) -> None:
        self._viewer = viewer
        self._watched = WatchedLayers(viewer, _EDITS, self._on_edit, handlers)
        self._edited: set[str] = set()
        self._edits_soon = Debounce(self._tell_edits, CALM_MILLISECONDS)

    # --- what is there ---------------------------------------------------------------------------

    def _layer(self, key: str) -> Any:  # noqa: ANN401 - any kind of layer
        layer = layers_by_id(self._viewer).get(key)
        if layer is None:
            raise DittoError("the layer is gone", todo="Choose another one in the dock")
        return layer

    def _image(self, images: Sequence[str]) -> Image:
        if not images:
            raise PromptError("no image is chosen", todo="Open an image first")
        image: Image = self._layer(images[0])
        return image

    def likely_labels(self) -> str:
        """Return the active Labels layer, else the topmost visible one, else the topmost."""
        from napari.layers import Labels

        active = self._viewer.layers.selection.active
        found = [x for x in self._viewer.layers if isinstance(x, Labels) and not _is_own(x)]
        found.sort(key=lambda layer: (layer == active, layer.visible))
        return str(found[-1].unique_id) if found else ""

    def selected_label(self, labels: str) -> int:
        """Return the id that is selected in a Labels layer."""
        return int(self._layer(labels).selected_label)

    def name(self, key: str) -> str:
        """Return the name of a layer, ``""`` if it is gone."""
        layer = layers_by_id(self._viewer).get(key)
        return str(layer.name) if layer is not None else ""

    def is_partly_labelled(self, labels: str) -> bool:
        """Whether objects may be unlabelled: true unless "segment everything" wrote the labels."""
        records = table_of(self._layer(labels)).records.values()
        return not any(record.prompts == "everything" for record in records)

    def labels_on_plane(
        self, labels: str, images: Sequence[str], address: PlaneAddress, box: Box
    ) -> NDArray[np.integer]:
        """Return a copy of the labels in a box of an image's plane."""
        layer, image = self._layer(labels), self._image(images)
        return adapters.label_image_on_plane(layer, image, address, box, self._viewer.dims)

    def drawing(
        self, layers: Sequence[str], images: Sequence[str], box: Box
    ) -> NDArray[np.integer]:
        """Return what is drawn on the plane on show, each shape under an id of its own."""
        image, dims = self._image(images), self._viewer.dims
        plane = adapters.plane_from_viewer(dims, image)
        return drawing_on_plane([self._layer(key) for key in layers], image, plane, box, dims)

    # --- where the user looks --------------------------------------------------------------------

    def view_box(self, images: Sequence[str]) -> Box:
        """Return the part of the plane that the canvas shows, pixels of level 0."""
        image = self._image(images)
        plane = adapters.plane_from_viewer(self._viewer.dims, image)
        names = adapters.axis_names(image)
        rows, columns = names.index(plane.rows), names.index(plane.columns)
        low, high = np.asarray(image.corner_pixels, dtype=np.float64)
        factor = image.downsample_factors[image.data_level] if image.multiscale else 1.0
        low, high = np.floor(low * factor), np.ceil((high + 1) * factor)
        shape = adapters.layer_shape(image)
        box = Box(int(low[rows]), int(low[columns]), int(high[rows]), int(high[columns]))
        return box.intersect(Box.of_shape((shape[rows], shape[columns])))

    def go_to(self, images: Sequence[str], address: PlaneAddress) -> None:
        """Show a plane of an image: move the sliders of its fixed axes."""
        image, dims = self._image(images), self._viewer.dims
        names, index = adapters.axis_names(image), address.index
        first = np.array([[index.get(name, 0) for name in names]])
        world = transform(data_to_world(image, dims.units), first)[0]
        axes = [names.index(name) for name in index]
        missing = dims.ndim - image.ndim
        dims.set_point([axis + missing for axis in axes], [float(world[axis]) for axis in axes])

    def select_label(
        self, labels: str, label: int, images: Sequence[str], center: tuple[float, float] | None
    ) -> None:
        """Make a Labels layer active with a label selected; move the camera only if needed."""
        layer = self._layer(labels)
        layer.visible = True
        if label:
            layer.selected_label = label
        self._viewer.layers.selection.active = layer
        if center is not None and not self.view_box(images).contains(*center):
            self._look_at(images, center)

    def _look_at(self, images: Sequence[str], center: tuple[float, float]) -> None:
        image = self._image(images)
        plane = adapters.plane_from_viewer(self._viewer.dims, image)
        names = adapters.axis_names(image)
        at = {**plane.index, plane.rows: center[0], plane.columns: center[1]}
        point = np.array([[at.get(name, 0) for name in names]], dtype=np.float64)
        world = transform(data_to_world(image, self._viewer.dims.units), point)[0]
        shown = [names.index(plane.rows), names.index(plane.columns)]
        camera = self._viewer.scene.camera
        camera.center = (*camera.center[:-2], float(world[shown[0]]), float(world[shown[1]]))

    # --- results ---------------------------------------------------------------------------------

    def add_result(
        self, images: Sequence[str], source: Source, store: LabelStore, name: str
    ) -> str:
        """Show a new store as a Labels layer, return its id; the active layer stays active."""
        return self._add(result_layers.result_layer(self._image(images), source, store, name))

    def _add(self, layer: Layer, *, on_top: bool = False) -> str:
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(len(layers) if on_top else above_images(self._viewer), layer)
        layers.selection.active = active
        return str(layer.unique_id)

    def describe_labels(
        self, labels: str, ids: Sequence[int], confidence: Sequence[float], model: str
    ) -> None:
        """Put a table of confidences into the layer's features, and draw it again."""
        layer = layers_by_id(self._viewer).get(labels)
        if layer is not None:
            result_layers.describe_labels(layer, ids, confidence, model)
            adapters.refresh_labels(layer)

    def redraw(self, labels: str, images: Sequence[str], address: PlaneAddress) -> None:
        """Draw a Labels layer again if it shows this plane; others are read when they are shown."""
        layer = layers_by_id(self._viewer).get(labels)
        if layer is None or not layer.visible:
            return
        try:
            shown = adapters.plane_from_viewer(self._viewer.dims, self._image(images))
        except DittoError:
            return  # no plane of the image is on show, such as in 3-D view
        if shown == address:
            adapters.refresh_labels(layer)

    def add_tracks(self, images: Sequence[str], source: Source, lineage: Lineage) -> str:
        """Show tracks and their graph as a Tracks layer, return its id."""
        layer = result_layers.tracks_layer(self._image(images), source, lineage)
        return self._add(layer, on_top=True)

    # --- edits by hand ---------------------------------------------------------------------------

    def watch(self, labels: Sequence[str]) -> None:
        """Report edits of these layers from now on, and of no others."""
        self._watched.follow(labels)

    def _on_edit(self, event: Event) -> None:
        self._edited.add(str(event.source.unique_id))
        self._edits_soon()

    def _tell_edits(self) -> None:
        edited, self._edited = self._edited, set()
        for key in sorted(edited):
            self.labels_edited.emit(key)

    def close(self) -> None:
        """Disconnect."""
        self._edits_soon.stop()
        self.watch(())


def _is_own(layer: Layer) -> bool:
    return OWN in layer.metadata or layer.name == IN_HAND
