"""One cache entry as files: a zarr v3 group, and a done record that vouches for every byte.

Pure: bytes in, bytes out. The disk store writes and reads the files; zarr never sees the disk, so
what was verified is exactly what is decoded.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.data.keys import belongs_to, is_key

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_KINDS = "fiub"

Files = dict[str, bytes]


class DamagedEntry(ValueError):
    """An entry that is not exactly what was written; it is never data."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size in bytes and CRC-32 of one file."""

    size: int
    crc32: int


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
        arrays={k: ArrayRecord(tuple(a["shape"]), a["dtype"]) for k, a in done["arrays"].items()},
        files={k: FileRecord(f["size"], f["crc32"]) for k, f in done["files"].items()},
    )


def encode_entry(key: str, embedding: Embedding) -> tuple[DoneRecord, Files]:
    """Return the done record and the files of a zarr v3 group, one chunk per array.

    Raises
    ------
    ValueError
        If an array has a name or a dtype that the format does not hold.
    """
    for name, array in embedding.arrays.items():
        _check_array(name, array)
    files = _to_zarr(embedding)
    record = DoneRecord(
        key=key,
        model=embedding.model,
        tile_shape=(int(embedding.tile_shape[0]), int(embedding.tile_shape[1])),
        arrays={k: ArrayRecord(a.shape, a.dtype.name) for k, a in embedding.arrays.items()},
        files={name: FileRecord(len(raw), zlib.crc32(raw)) for name, raw in files.items()},
    )
    return record, files


def _check_array(name: str, array: NDArray[np.generic]) -> None:
    if not _NAME.match(name) or name == "zarr.json":
        raise ValueError(f"feature name {name!r} cannot be stored")
    if array.dtype.kind not in _KINDS:
        raise ValueError(f"feature {name!r} of dtype {array.dtype} cannot be stored")


def _to_zarr(embedding: Embedding) -> Files:
    import zarr
    from zarr.codecs import Crc32cCodec

    buffers: dict[str, Buffer] = {}
    group = zarr.create_group(zarr.storage.MemoryStore(buffers), zarr_format=3)
    for name, array in embedding.arrays.items():
        group.create_array(
            name,
            data=array,
            # Chunks must not be empty even where the array is.
            chunks=tuple(max(1, n) for n in array.shape),
            filters=None,
            compressors=[Crc32cCodec()],
            fill_value=np.nan if array.dtype.kind == "f" else 0,
            config={"write_empty_chunks": True},
        )
    return {name: buffer.to_bytes() for name, buffer in buffers.items()}


def decode_entry(key: str, record: DoneRecord, files: Mapping[str, bytes]) -> Embedding:
    """Return the embedding; raises DamagedEntry unless every byte is what was written for `key`."""
    check_record(key, record)
    if {n: FileRecord(len(b), zlib.crc32(b)) for n, b in files.items()} != record.files:
        raise DamagedEntry("a file is missing, damaged or foreign")
    try:
        arrays = _from_zarr(files)
    except (ValueError, TypeError, LookupError, RuntimeError, OSError) as error:
        raise DamagedEntry(f"unreadable arrays: {error}") from error
    if {k: ArrayRecord(a.shape, a.dtype.name) for k, a in arrays.items()} != record.arrays:
        raise DamagedEntry("arrays of another shape or dtype")
    return Embedding(arrays, record.tile_shape, record.model)


def check_record(key: str, record: DoneRecord) -> None:
    """Raise DamagedEntry for a record of another key or of another model than the key's."""
    if record.key != key or not is_key(key):
        raise DamagedEntry("entry of another key")
    if not belongs_to(key, record.model):
        raise DamagedEntry("entry of another model")


def _from_zarr(files: Mapping[str, bytes]) -> dict[str, NDArray[np.generic]]:
    import zarr
    from zarr.buffer import cpu

    buffers: dict[str, Buffer] = {name: cpu.Buffer.from_bytes(raw) for name, raw in files.items()}
    group = zarr.open_group(zarr.storage.MemoryStore(buffers), mode="r", zarr_format=3)
    return {name: _read_only(np.asarray(array[...])) for name, array in group.arrays()}


def _read_only(array: NDArray[np.generic]) -> NDArray[np.generic]:
    array.flags.writeable = False
    return array
