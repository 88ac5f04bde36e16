"""What the metadata of a zarr array may say: checked on the raw JSON, before zarr sees it.

Metadata name the code that decodes the chunks, and how much memory that takes. Both formats, see
https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html and /v3/core/index.html.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_ditto.core.free_memory import free_memory
from napari_ditto.errors import SourceError

CHUNK_LIMIT = 2**30
"""Largest decoded chunk in bytes. A 33 kB file can decode to a chunk of 1 GiB."""

MEMORY_PART = 4
"""One chunk may take one in so many bytes of free memory."""

MAX_METADATA = 16 << 20
MAX_AXES = 32

METADATA = frozenset({"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"})
"""Names of the files that zarr reads as JSON."""

SAFE_CODECS = frozenset({
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c", "delta",
    "fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits",
    "quantize", "sharding_indexed", "shuffle", "transpose", "zlib", "zstd",
})  # fmt: skip
"""Codecs that turn bytes into numbers and nothing else, and no more of them than can be told.

pickle and object codecs are not here, nor zfpy and pcodec, whose output size cannot be bounded.
"""

_V2_TYPE = re.compile(r"[<>|=]?[biufc](\d{1,2})")
_V3_TYPE = re.compile(r"bool|(?:u?int|float|complex)(\d{1,3})")
_TYPE_KEYS = ("dtype", "astype", "encode_dtype", "decode_dtype")

Document = Mapping[str, Any]


def chunk_limit() -> int:
    """Return how many bytes a decoded chunk may have here and now."""
    free = free_memory()
    return CHUNK_LIMIT if free is None else min(CHUNK_LIMIT, free // MEMORY_PART)


def check_file(name: str, raw: bytes, where: str) -> None:
    """Check the content of a metadata file.

    Parameters
    ----------
    name : str
        One of :data:`METADATA`.
    raw : bytes
        What is in it.
    where : str
        For the message.

    Raises
    ------
    SourceError
        If zarr should not see it.
    """
    document = _parse(raw, where)
    if name == ".zarray":
        check_array(document, 2, where)
    elif name == "zarr.json" and ("codecs" in document or document.get("node_type") != "group"):
        check_array(document, 3, where)


def check_array(document: Document, zarr_format: int, where: str) -> None:
    """Check the metadata of one array: its type, codecs, sizes and the names of its chunks."""
    check = _check_v2 if zarr_format == 2 else _check_v3
    try:
        check(document, where)
    except (
        KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise _refusal("the zarr metadata is damaged", where, "Get the image again.") from error


def chunk_bytes(document: Document, zarr_format: int) -> int:
    """Return the bytes of the largest block that must be decoded at once."""
    if zarr_format == 2:
        return math.prod(document["chunks"]) * _itemsize(document["dtype"], _V2_TYPE)
    outer = document["chunk_grid"]["configuration"]["chunk_shape"]
    return _largest(outer, _itemsize(document["data_type"], _V3_TYPE), document["codecs"])


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _refusal("the zarr metadata is not JSON", where, "Get the image again.") from error
    if not isinstance(document, dict):
        raise _refusal("the zarr metadata is no table", where, "Get the image again.")
    return document


def _check_v2(document: Document, where: str) -> None:
    _check_type(document["dtype"], _V2_TYPE, where)
    _check_sizes(document["shape"], document["chunks"])
    _check_separator(document.get("dimension_separator", "."))
    filters = document.get("filters") or ()
    _check_codecs([*filters, document.get("compressor")], where)
    _check_memory(chunk_bytes(document, 2), where)


def _check_v3(document: Document, where: str) -> None:
    _check_type(document["data_type"], _V3_TYPE, where)
    grid, names = document["chunk_grid"], document["chunk_key_encoding"]
    if grid["name"] != "regular" or document.get("storage_transformers"):
        raise ValueError("chunks of several sizes, or a transformed store")
    if names["name"] not in ("default", "v2"):
        raise ValueError("unknown names of chunks")
    _check_separator((names.get("configuration") or {}).get("separator", "/"))
    _check_sizes(document["shape"], grid["configuration"]["chunk_shape"])
    _check_codecs(document["codecs"], where)
    _check_memory(chunk_bytes(document, 3), where)


def _check_type(kind: object, known: re.Pattern[str], where: str) -> None:
    if not isinstance(kind, str) or not known.fullmatch(kind) or _itemsize(kind, known) > 32:
        said = " ".join(str(kind).split())[:40]
        raise _refusal(
            f"cannot read pixels of type {said}", where, "Give booleans, integers or real floats."
        )


def _itemsize(kind: str, known: re.Pattern[str]) -> int:
    found = known.fullmatch(kind)
    if found is None:
        raise ValueError(f"{kind} is no number")
    size = int(found[1] or 8)
    return size if known is _V2_TYPE else size // 8


def _check_sizes(shape: Sequence[int], chunks: Sequence[int]) -> None:
    if len(shape) != len(chunks) or len(shape) > MAX_AXES:
        raise ValueError("shape and chunks of other lengths")
    if not all(_is_size(n, 0) for n in shape) or not all(_is_size(n, 1) for n in chunks):
        raise ValueError("a size that is no size")


def _is_size(value: object, least: int) -> bool:
    return type(value) is int and least <= value < 2**63


def _check_separator(separator: object) -> None:
    if separator not in (".", "/"):
        raise ValueError("chunk names with another separator could leave the folder")


def _check_codecs(codecs: Sequence[Any], where: str) -> None:
    named = list(_named(codecs))
    unsafe = sorted({name for name, _ in named} - SAFE_CODECS)
    if unsafe:
        raise _refusal(
            f"the zarr codec {', '.join(unsafe)[:80]} is not on the list of safe codecs",
            where,
            "Re-save the image with blosc, zstd or gzip.",
        )
    for _, settings in named:
        for key in _TYPE_KEYS:
            # A filter that turns numbers into text could make megabytes of each.
            if settings.get(key) is not None and np.dtype(settings[key]).kind not in "biufc":
                raise ValueError(f"a filter that makes {settings[key]}")


def _named(codecs: Iterable[Any]) -> Iterable[tuple[str, Document]]:
    """Yield name and settings of codecs and of those inside them."""
    for codec in codecs:
        if codec is None:
            continue
        if isinstance(codec, str):
            codec = {"name": codec}
        name = str(codec["name"] if "name" in codec else codec["id"])
        settings = codec.get("configuration") or ({} if "name" in codec else codec)
        yield name.removeprefix("numcodecs."), settings
        yield from _named([*settings.get("codecs", ()), *settings.get("index_codecs", ())])


def _check_memory(largest: int, where: str) -> None:
    limit = chunk_limit()
    if largest > limit:
        least = "1 GiB" if limit == CHUNK_LIMIT else f"a quarter of what is free ({_gib(limit)})"
        raise _refusal(
            f"one chunk takes {_gib(largest)} in memory, more than {least}",
            where,
            "Re-save the image with smaller chunks.",
        )


def _largest(outer: Sequence[int], itemsize: int, codecs: Sequence[Any]) -> int:
    """Return the bytes of the largest block that a chain of codecs makes."""
    whole: int = math.prod(outer) * itemsize
    shards = [c for c in codecs if isinstance(c, Mapping) and c.get("name") == "sharding_indexed"]
    if not shards:
        return whole
    settings = shards[0]["configuration"]
    inner = settings["chunk_shape"]
    _check_sizes(outer, inner)
    index = 16 * math.prod(-(-n // m) for n, m in zip(outer, inner, strict=True))
    # Of a shard that is itself encoded, no part can be read alone.
    alone = 0 if len(codecs) == 1 else whole
    return int(max(index, alone, _largest(inner, itemsize, settings["codecs"])))


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes < 2**60 else "endless GiB"


def _refusal(what: str, where: str, todo: str) -> SourceError:
    return SourceError(what, where=where, todo=todo)
