"""From a path or a zarr object to arrays, axis names and pixel sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.core.plain_file import open_plain
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True, eq=False)
class Opened:
    """What a file holds, before any pixel is read.

    Attributes
    ----------
    levels : tuple of array-like
        Finest first.
    axes : tuple of str or None
        Names of all array axes if the metadata has them.
    scales : tuple of tuple of float or None
        Physical pixel size per level and axis.
    notes : tuple of str
        What a user should know about choices made here.
    close : callable or None
        Releases the file.
    """

    levels: tuple[object, ...]
    axes: tuple[str, ...] | None = None
    scales: tuple[tuple[float, ...], ...] | None = None
    notes: tuple[str, ...] = ()
    close: Callable[[], None] | None = None


def open_path(path: Path) -> Opened:
    """Open a zarr folder, a TIFF or a picture; only metadata is read, except for pictures."""
    if path.is_dir():
        from napari_ditto.data.zarrs import open_zarr

        return open_zarr_object(open_zarr(path), str(path))
    # Pipes and devices end here: nobody else would notice before it is too late.
    magic = _magic(path)
    if magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        from napari_ditto.data.tiff import open_tiff

        return open_tiff(path)
    from napari_ditto.data.pictures import open_picture

    return open_picture(path)


def open_zarr_object(node: zarr.Array[Any] | zarr.Group, where: str) -> Opened:
    """Return the levels of a zarr array, an OME-Zarr image group, or a group of one array."""
    import zarr

    if isinstance(node, zarr.Array):
        return Opened((bounded(node, where),), axes=_dimension_names(node))
    from napari_ditto.data.omezarr import open_multiscales

    return open_multiscales(node, where)


def bounded(array: zarr.Array[Any], where: str) -> zarr.Array[Any]:
    """Return the same array, checked, and unable to decode to more than it announces."""
    from napari_ditto.data.guarded_codecs import guarded
    from napari_ditto.data.zarrs import check_zarr

    check_zarr(array, where)
    return guarded(array)


def _dimension_names(array: zarr.Array[Any]) -> tuple[str, ...] | None:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, tuple | list) or not all(isinstance(n, str) and n for n in names):
        return None
    return tuple(names) if len(set(names)) == array.ndim else None


def _magic(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            return file.read(4)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise SourceError(
            f"cannot open the file: {reason}", where=str(path), todo="Check the path."
        ) from error
