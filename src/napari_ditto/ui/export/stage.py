"""What an export needs of the viewer, and a napari viewer that gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_ditto.data.arrays import wrap
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.data.georeference import read_georeference
from napari_ditto.data.npe2_io import labels_of
from napari_ditto.errors import LabelsError
from napari_ditto.ui.image_layers import axis_names, level_0
from napari_ditto.ui.label_layers import METADATA
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.objects_table.layer_tables import table_of
from napari_ditto.ui.preview import OWN

if TYPE_CHECKING:
    from napari.viewer import Viewer

Make = Callable[[], LabelImage]
"""Returns the labels, in a thread of its own: files are looked at, pixels copied."""


class ExportStage(Protocol):
    """The layers of a viewer, as far as an export is concerned."""

    def labels(self, target: str) -> str:
        """Return the Labels layer that the user means: the active one, else the target."""
        ...

    def name(self, layer: str) -> str:
        """Return the name of a layer."""
        ...

    def taken(self, layer: str, image: str) -> Make:
        """Return what gives the labels of a layer, with what their image tells."""
        ...


class ViewerExport:
    """A napari viewer as an :class:`ExportStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def labels(self, target: str) -> str:
        """Return the active Labels layer, else the target, else the topmost one."""
        active = self._viewer.layers.selection.active
        found = {k: layer for k, layer in layers_by_id(self._viewer).items() if _is_labels(layer)}
        if active is not None and str(active.unique_id) in found:
            return str(active.unique_id)
        return target if target in found else next(reversed(found), "")

    def name(self, layer: str) -> str:
        """Return the name of a layer."""
        return str(self._layer(layer).name)

    def taken(self, layer: str, image: str) -> Make:
        """Return what copies a numpy layer as it will be then; arrays on disk are read lazily."""
        found = self._layer(layer)
        data, about, _ = found.as_layer_data_tuple()
        about = {**about, "axis_labels": axis_names(found)}
        table, notes = table_of(found), found.metadata.get(METADATA)
        path, pixels = self._image(image, found)

        def make() -> LabelImage:
            labels = replace(labels_of(data, about), table=table, pixels=None)
            whole: Any = None if about.get("multiscale") else level_0(found)
            if isinstance(whole, np.ndarray):
                labels = replace(labels, raw=wrap(whole.copy(), labels.name))
            if isinstance(notes, dict):
                labels = replace(labels, provenance=notes)
            return _of_image(labels, path, pixels)

        return make

    def _image(self, key: str, labels: Any) -> tuple[Path | None, Any]:  # noqa: ANN401
        """Return the file and the pixels of an image layer, if it is one of these labels."""
        found = next((x for x in self._viewer.layers if str(x.unique_id) == key), None)
        if found is None:
            return None, None
        pixels, rgb = level_0(found), bool(getattr(found, "rgb", False))
        size = pixels.shape[-3:-1] if rgb else pixels.shape[-2:]
        if tuple(size) != tuple(level_0(labels).shape[-2:]):
            return None, None
        path = found.source.path
        return (Path(path) if path else None), (None if rgb else pixels)

    def _layer(self, key: str) -> Any:  # noqa: ANN401 - a proxied layer
        layer = next((x for x in self._viewer.layers if str(x.unique_id) == key), None)
        if layer is None:
            raise LabelsError("the layer is gone", todo="Choose another one")
        return layer


def _is_labels(layer: Any) -> bool:  # noqa: ANN401 - any kind of layer
    from napari.layers import Labels

    return isinstance(layer, Labels) and OWN not in layer.metadata


def _of_image(labels: LabelImage, path: Path | None, pixels: Any) -> LabelImage:  # noqa: ANN401
    """Return labels with the georeference of their image and its pixels, where they fit."""
    if pixels is not None and tuple(pixels.shape) == labels.shape:
        labels = replace(labels, pixels=pixels)
    if path is None:
        return labels
    return replace(labels, image=path.name).lying(
        read_georeference(path) if path.exists() else None
    )
