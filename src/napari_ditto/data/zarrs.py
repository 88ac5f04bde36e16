"""Opening zarr safely: what the metadata may ask of us, checked before the first chunk is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import zarr

CHUNK_LIMIT = 2**30
"""Largest decoded chunk in bytes. A 33 kB file can decode to a chunk of 1 GiB."""

SAFE_CODECS = frozenset({
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta",
    "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits",
    "pcodec", "quantize", "sharding_indexed", "shuffle", "transpose", "zfpy", "zlib", "zstd",
})  # fmt: skip
"""Codecs that turn bytes into numbers and nothing else; pickle and object codecs are not here."""


def open_zarr(path: Path) -> zarr.Array[Any] | zarr.Group:
    """Open a zarr array or group (format 2 or 3) for reading; only metadata is read."""
    import zarr

    try:
        return zarr.open(store=zarr.storage.LocalStore(path, read_only=True), mode="r")
    except Exception as error:
        raise SourceError(
            "cannot open this folder as zarr",
            where=str(path),
            todo="Give the folder that holds zarr.json, .zarray or .zgroup.",
        ) from error


def check_zarr(array: zarr.Array[Any], where: str) -> None:
    """Raise :class:`SourceError` for chunks too large or codecs not known to be safe."""
    metadata = array.metadata.to_dict()
    unsafe = sorted(set(_codec_names(metadata)) - SAFE_CODECS)
    if unsafe:
        raise SourceError(
            f"the zarr codec {', '.join(unsafe)} is not on the list of safe codecs",
            where=where,
            todo="Re-save the image with blosc, zstd or gzip.",
        )
    largest = max(math.prod(array.chunks) * array.dtype.itemsize, _shard_index_bytes(array))
    if largest > CHUNK_LIMIT:
        raise SourceError(
            f"one chunk takes {largest / 2**30:.1f} GiB in memory, more than 1 GiB",
            where=where,
            todo="Re-save the image with smaller chunks.",
        )


def metadata_file(array: zarr.Array[Any]) -> Path | None:
    """Return the file that every readable array on a local disk has, None for other stores."""
    from zarr.storage import LocalStore

    store = array.store_path.store
    if not isinstance(store, LocalStore):
        return None
    name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
    return Path(store.root, array.store_path.path, name)


def _shard_index_bytes(array: zarr.Array[Any]) -> int:
    if array.shards is None:
        return 0
    inner = (math.ceil(s / c) for s, c in zip(array.shards, array.chunks, strict=True))
    return 16 * math.prod(inner)


def _codec_names(metadata: Mapping[str, Any]) -> Iterable[str]:
    configs = [*(metadata.get("codecs") or ()), *(metadata.get("filters") or ())]
    configs.append(metadata.get("compressor"))
    for config in filter(None, configs):
        name = str(config.get("name", config.get("id")))
        yield name.removeprefix("numcodecs.")
        nested = config.get("configuration") or {}
        yield from _codec_names({"codecs": nested.get("codecs")})
        yield from _codec_names({"codecs": nested.get("index_codecs")})
