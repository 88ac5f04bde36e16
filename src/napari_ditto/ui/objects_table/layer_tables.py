"""Tables of objects in the metadata of Labels layers, and beside labels on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.data.object_file import TableFile
from napari_ditto.data.object_json import read_objects
from napari_ditto.data.object_records import ObjectTable, from_notes
from napari_ditto.errors import DittoError
from napari_ditto.ui.label_layers import METADATA, STORE, UNFINISHED, folder_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

KEY = "napari-ditto"
"""Key in ``layer.metadata`` under which the table of objects is kept."""


def table_of(layer: Labels) -> ObjectTable:
    """Return the table of a Labels layer: its own, what lies beside it on disk, or an empty one.

    Raises
    ------
    LabelsError
        If what lies on disk is damaged.
    """
    found = layer.metadata.get(KEY)
    if isinstance(found, ObjectTable):
        return found
    folder = labels_folder(layer)
    kept = read_objects(folder) if folder else None
    return kept or _old_notes(layer)


def labels_folder(layer: Labels) -> Path | None:
    """Return the OME-Zarr folder that a layer shows and will still be there; None without one."""
    store = layer.metadata.get(STORE)
    if getattr(store, "is_temporary", False) or layer.metadata.get(UNFINISHED):
        return None
    path = getattr(store, "path", None) or (folder_of(layer) if layer.multiscale else None)
    return path if path is not None and _is_zarr(path) else None


def _is_zarr(path: Path) -> bool:
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def _old_notes(layer: Labels) -> ObjectTable:
    """Return what earlier versions have noted in a layer's metadata."""
    notes = layer.metadata.get(METADATA)
    found: Any = notes.get("labels") if isinstance(notes, dict) else None
    return from_notes({"label": k} | dict(v) for k, v in found.items()) if found else ObjectTable()


class LayerTables:
    """A :class:`~napari_ditto.ui.objects_table.tables.TableHolder` over a viewer's layers.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    fail : callable
        Told of what went wrong on the disk, on the main thread.
    """

    def __init__(self, viewer: Viewer, fail: Callable[[DittoError], None]) -> None:
        self._viewer, self._fail = viewer, fail
        self._files: dict[Path, TableFile] = {}
        self._beforehand: dict[str, ObjectTable] = {}

    def get(self, layer: str) -> ObjectTable:
        """Return the table of a layer; what is damaged on disk is told, and counts as nothing."""
        found = self._layer(layer)
        if found is None:
            return ObjectTable()
        if KEY not in found.metadata:
            found.metadata[KEY] = self._read(found)
        table: ObjectTable = found.metadata[KEY]
        return table

    def unread(self, layer: str) -> Callable[[], ObjectTable] | None:
        """Return what reads the table of a layer from the disk."""
        found = self._layer(layer)
        if found is None or KEY in found.metadata or labels_folder(found) is None:
            return None

        def read() -> ObjectTable:
            return self._beforehand.setdefault(layer, self._newest(found))

        return read

    def _read(self, found: Labels) -> ObjectTable:
        key = str(found.unique_id)
        if key in self._beforehand:
            return self._beforehand.pop(key)
        try:
            return self._newest(found)
        except DittoError as error:
            self._fail(error)
            return _old_notes(found)

    def _newest(self, found: Labels) -> ObjectTable:
        """Return a layer's table, with what another layer over the same folder left to write."""
        folder = labels_folder(found)
        if folder in self._files:
            self._files[folder].flush()
        return table_of(found)

    def put(self, layer: str, table: ObjectTable) -> None:
        """Keep a table with its layer, and soon beside its labels on disk."""
        found = self._layer(layer)
        if found is None:
            return
        found.metadata[KEY] = table
        folder = labels_folder(found)
        if folder is not None:
            if folder not in self._files:
                self._files[folder] = TableFile(folder, self._telling_later())
            self._files[folder].put(table)

    def _telling_later(self) -> Callable[[DittoError], None]:
        """Return what tells on this thread what went wrong on another one."""
        from napari_ditto.ui.bridge import MainThread

        here = MainThread()
        return lambda error: here.post(lambda: self._fail(error))

    def _layer(self, key: str) -> Any:  # noqa: ANN401  # a proxied layer
        return next((x for x in self._viewer.layers if str(x.unique_id) == key), None)
