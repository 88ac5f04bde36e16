"""Label images of any kind, read box by box as fast as they can be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.arrays import Index, RawArray, is_from, wrap

if TYPE_CHECKING:
    import zarr


def wrap_labels(data: object, where: str) -> RawArray:
    """Return labels to be read box by box, past zarr's event loop where that can be.

    Raises
    ------
    SourceError
        If `data` is no array.
    """
    raw = wrap(data, where)
    if not is_from("zarr", data):
        return raw
    from napari_ditto.data.chunk_files import chunk_files
    from napari_ditto.data.zarrs import metadata_file

    array = cast("zarr.Array[Any]", data)
    anchor, chunks = metadata_file(array), chunk_files(array)
    if chunks is array or anchor is None:
        return raw

    def fetch(index: Index) -> NDArray[Any]:
        block = chunks[index]
        anchor.stat()  # chunks of a store that has gone would read as zeros
        return np.asarray(block)

    return replace(raw, fetch=fetch)
