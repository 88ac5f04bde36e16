"""One cache entry as files: a zarr v3 group, and a done record that vouches for every byte.

Pure: bytes in, bytes out. The disk store writes and reads the files. They are what zarr would write
and can read, but are made without it: arrays go out and come back as they lie in memory, which is
as fast as the disk, and a cache needs no zarr.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.data.keys import belongs_to, is_key

FORMAT = 2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_DTYPES = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_METADATA = "zarr.json"
_CHECKSUM_BYTES = 4

Bytes = bytes | memoryview
Files = dict[str, tuple[Bytes, ...]]
"""What to write, file by file, in parts: large arrays are not copied to append a checksum."""


class DamagedEntry(ValueError):
    """An entry that is not exactly what was written; it is never data."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size in bytes of one file, and CRC-32C of its content.

    The content of a chunk leaves out the checksum that zarr puts at its end: with that, the CRC of
    all chunks of a size would be the same.
    """

    size: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class ArrayRecord:
    """Shape and numpy dtype name of one feature array."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class DoneRecord:
    """What an entry must be; written last, as the sign that all the rest is there."""

    key: str
    model: str
    tile_shape: tuple[int, int]
    arrays: dict[str, ArrayRecord]
    files: dict[str, FileRecord]

    @property
    def size(self) -> int:
        """Bytes of the entry's files without the record itself."""
        return sum(file.size for file in self.files.values())

    def to_bytes(self) -> bytes:
        """Return the record as JSON with its own checksum."""
        body = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)
        return f'{{"crc32": {zlib.crc32(body.encode())}, "done": {body}}}\n'.encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> DoneRecord:
        """Parse a record; raises DamagedEntry unless it is byte for byte what was written."""
        try:
            record = _parse(json.loads(raw)["done"])
            intact = record.to_bytes() == raw
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise DamagedEntry(f"unreadable done record: {error}") from error
        if not intact:
            raise DamagedEntry("damaged or foreign done record")
        return record


def _parse(done: dict[str, Any]) -> DoneRecord:
    height, width = done["tile_shape"]
    return DoneRecord(
        key=done["key"],
        model=done["model"],
        tile_shape=(height, width),
        arrays={k: _parse_array(a) for k, a in done["arrays"].items()},
        files={k: FileRecord(f["size"], f["crc32c"]) for k, f in done["files"].items()},
    )


def _parse_array(told: dict[str, Any]) -> ArrayRecord:
    shape, dtype = tuple(told["shape"]), told["dtype"]
    if dtype not in _DTYPES or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"an array of {dtype!r:.40} and shape {shape!r:.80}")
    return ArrayRecord(shape, dtype)


def encode_entry(key: str, embedding: Embedding) -> tuple[DoneRecord, Files]:
    """Return the done record and the files of a zarr v3 group, one chunk per array.

    Raises
    ------
    ValueError
        If an array has a name or a dtype that the format does not hold.
    """
    check_arrays(embedding)
    arrays = {k: ArrayRecord(a.shape, a.dtype.name) for k, a in embedding.arrays.items()}
    files: Files = {_METADATA: (_json(_GROUP),)}
    for name, array in embedding.arrays.items():
        files[f"{name}/{_METADATA}"] = (_json(_array_metadata(arrays[name])),)
        if array.size:
            files[_chunk_file(name, arrays[name])] = _chunk(array)
    record = DoneRecord(
        key=key,
        model=embedding.model,
        tile_shape=(int(embedding.tile_shape[0]), int(embedding.tile_shape[1])),
        arrays=arrays,
        files={name: _file_record(*parts) for name, parts in files.items()},
    )
    return record, files


def check_arrays(embedding: Embedding) -> None:
    """Raise ValueError if an array has a name or a dtype that the format does not hold."""
    for name, array in embedding.arrays.items():
        if not _NAME.match(name) or name == _METADATA:
            raise ValueError(f"feature name {name!r} cannot be stored")
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"feature {name!r} of dtype {array.dtype} cannot be stored")


def _chunk(array: NDArray[np.generic]) -> tuple[Bytes, ...]:
    """Return the only chunk of an array, encoded by zarr's codecs "bytes" and "crc32c"."""
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    # A copy only of arrays that are no C-ordered, little-endian block already.
    raw = little.reshape(-1).view(np.uint8)
    return raw.data, _stored(_crc32c(raw))


def _chunk_file(name: str, array: ArrayRecord) -> str:
    return "/".join([name, "c", *("0" for _ in array.shape)])


def _file_record(content: Bytes, *rest: Bytes) -> FileRecord:
    raw = np.frombuffer(content, np.uint8)
    return FileRecord(raw.size + sum(map(len, rest)), _crc32c(raw))


def _is_intact(name: str, raw: NDArray[np.uint8], record: FileRecord) -> bool:
    if name.endswith(_METADATA):
        return FileRecord(raw.size, _crc32c(raw)) == record
    checksum = _crc32c(raw[:-_CHECKSUM_BYTES])
    ends = bytes(raw[-_CHECKSUM_BYTES:]) == _stored(checksum)
    return ends and FileRecord(raw.size, checksum) == record


def _crc32c(raw: NDArray[np.uint8]) -> int:
    """Return the checksum that zarr has, too: processors compute it at the speed of memory."""
    return int(google_crc32c.value(raw))


def _stored(checksum: int) -> bytes:
    return checksum.to_bytes(_CHECKSUM_BYTES, "little")


_GROUP: dict[str, object] = {"attributes": {}, "zarr_format": 3, "node_type": "group"}


def _array_metadata(array: ArrayRecord) -> dict[str, object]:
    """Return what zarr v3 has to know (https://zarr-specs.readthedocs.io, core 3.1)."""
    # Chunks must not be empty even where the array is.
    chunks = [max(1, n) for n in array.shape]
    return {
        "shape": array.shape,
        "data_type": array.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill_value(array.dtype),
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "attributes": {},
        "zarr_format": 3,
        "node_type": "array",
    }


def _fill_value(dtype: str) -> object:
    if dtype == "bool":
        return False
    return "NaN" if dtype.startswith("float") else 0


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


def check_files(record: DoneRecord) -> None:
    """Raise DamagedEntry unless the files of a record are those that its arrays need."""
    needed: dict[str, int | None] = {_METADATA: None}
    for name, array in record.arrays.items():
        needed[f"{name}/{_METADATA}"] = None
        size = prod(array.shape) * np.dtype(array.dtype).itemsize
        if size:
            needed[_chunk_file(name, array)] = size + _CHECKSUM_BYTES
    if record.files.keys() != needed.keys() or any(
        size not in (None, record.files[name].size) for name, size in needed.items()
    ):
        raise DamagedEntry("files of other names or sizes than the arrays need")


def decode_entry(key: str, record: DoneRecord, files: Mapping[str, NDArray[np.uint8]]) -> Embedding:
    """Return the embedding, whose arrays lie in the bytes that are given, read-only.

    Raises
    ------
    DamagedEntry
        Unless every byte is what was written for `key`.
    """
    check_record(key, record)
    check_files(record)
    if files.keys() != record.files.keys() or not all(
        _is_intact(name, raw, record.files[name]) for name, raw in files.items()
    ):
        raise DamagedEntry("a file is missing, damaged or foreign")
    try:
        arrays = {name: _array(name, array, files) for name, array in record.arrays.items()}
    except ValueError as error:  # more than an array may have, of nothing
        raise DamagedEntry(f"unreadable arrays: {error}") from error
    return Embedding(arrays, record.tile_shape, record.model)


def check_record(key: str, record: DoneRecord) -> None:
    """Raise DamagedEntry for a record of another key or of another model than the key's."""
    if record.key != key or not is_key(key):
        raise DamagedEntry("entry of another key")
    if not belongs_to(key, record.model):
        raise DamagedEntry("entry of another model")


def _array(
    name: str, array: ArrayRecord, files: Mapping[str, NDArray[np.uint8]]
) -> NDArray[np.generic]:
    dtype = np.dtype(array.dtype).newbyteorder("<")
    raw = files.get(_chunk_file(name, array))
    pixels = np.empty(0, np.uint8) if raw is None else raw[:-_CHECKSUM_BYTES]
    found: NDArray[np.generic] = pixels.view(dtype).reshape(array.shape)
    found.flags.writeable = False
    return found
