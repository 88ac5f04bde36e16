"""Chunks of a zarr array on a local disk, read and written without zarr's event loop.

A chunk takes zarr 3.1 about 2 ms, most of it spent on handing work from thread to thread; here it
takes 0.3 ms. What is on disk is the same, and any other kind of array is left to zarr itself.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.regions import Region
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    import zarr

Block = NDArray[np.integer]


class ChunkFiles:
    """The values of a zarr array of integers, by region; made by :func:`chunk_files`.

    A chunk that is missing is zeros, and one of zeros is removed. A file is replaced in one step,
    so that nobody ever reads half a chunk, and stays as it is if it would not change.

    Parameters
    ----------
    array : zarr.Array
        In a local folder, with a fill value of 0.
    codec : Codec
        How its chunks are stored.
    """

    def __init__(self, array: zarr.Array[Any], codec: Codec) -> None:
        self.shape, self._chunks = array.shape, array.chunks
        self._key = array.metadata.encode_chunk_key
        self._folder, self._codec = _folder(array), codec
        self._checked: set[Path] = set()

    def __getitem__(self, region: Region) -> Block:
        """Return a copy of the values of a region that lies inside the array."""
        found = np.zeros([s.stop - s.start for s in region], self._codec.dtype)
        for position, inside, outside in self._parts(region):
            chunk = self._load(position)
            if chunk is not None:
                found[outside] = chunk[inside]
        return found

    def __setitem__(self, region: Region, block: Block) -> None:
        """Write the values of a region that lies inside the array."""
        for position, inside, outside in self._parts(region):
            old = self._load(position)
            new = np.zeros(self._chunks, self._codec.dtype) if old is None else old.copy()
            new[inside] = block[outside]
            if not new.any():
                self._file(position).unlink(missing_ok=True)
            elif old is None or not np.array_equal(old, new):
                self._save(position, new)

    def _parts(self, region: Region) -> Iterator[tuple[tuple[int, ...], Region, Region]]:
        """Yield the chunks under a region: position, part of the chunk, part of the region."""
        if any(s.start >= s.stop for s in region):
            return
        sides = zip(region, self._chunks, strict=True)
        for position in product(*(range(s.start // n, -(-s.stop // n)) for s, n in sides)):
            inside, outside = [], []
            for at, size, wanted in zip(position, self._chunks, region, strict=True):
                first, last = max(at * size, wanted.start), min((at + 1) * size, wanted.stop)
                inside.append(slice(first - at * size, last - at * size))
                outside.append(slice(first - wanted.start, last - wanted.start))
            yield position, tuple(inside), tuple(outside)

    def _load(self, position: tuple[int, ...]) -> Block | None:
        file = self._file(position)
        try:
            stored = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._codec.decode(stored).reshape(self._chunks)
        except Exception as error:
            raise StoreError(
                "a chunk of the labels is damaged",
                where=str(file),
                todo="Restore it from a copy, or delete this file to lose only what is in it",
            ) from error

    def _save(self, position: tuple[int, ...], chunk: Block) -> None:
        file = self._file(position)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")
        try:
            partial.write_bytes(self._codec.encode(chunk))
            os.replace(partial, file)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _file(self, position: tuple[int, ...]) -> Path:
        file = self._folder / self._key(position)
        # A link among the folders would lead out of the store.
        if file.parent not in self._checked and not file.parent.resolve().is_relative_to(
            self._folder
        ):
            raise StoreError("a folder of the labels leads elsewhere", where=str(file.parent))
        self._checked.add(file.parent)
        return file


@dataclass(frozen=True, eq=False)
class Codec:
    """How a chunk is stored: as numbers of `dtype`, then through `steps` in turn."""

    dtype: np.dtype[Any]
    steps: tuple[tuple[Callable[[Any], Any], Callable[[Any], Any]], ...]

    def encode(self, chunk: Block) -> bytes:
        """Return what the file holds."""
        stored: Any = np.ascontiguousarray(chunk)
        for encode, _ in self.steps:
            stored = encode(stored)
        return bytes(stored)

    def decode(self, stored: bytes) -> Block:
        """Return the values of a chunk, flat; any error means damage."""
        for _, decode in reversed(self.steps):
            stored = decode(stored)
        return np.frombuffer(stored, self.dtype)


def chunk_files(array: zarr.Array[Any]) -> ChunkFiles | zarr.Array[Any]:
    """Return a quick way to an array if it is of a known kind, else the array itself."""
    from zarr.storage import LocalStore

    metadata: Mapping[str, Any] = array.metadata.to_dict()
    codec = _codec_3(array, metadata) if metadata["zarr_format"] == 3 else _codec_2(array, metadata)
    plain = isinstance(array.store, LocalStore) and array.fill_value in (0, None)
    return ChunkFiles(array, codec) if plain and codec is not None else array


def _codec_3(array: zarr.Array[Any], metadata: Mapping[str, Any]) -> Codec | None:
    """Return the codec of numbers in bytes, with or without Blosc, with or without crc32c."""
    first, *rest = metadata["codecs"]
    made = {"blosc": _blosc, "crc32c": _crc32c}
    if first["name"] != "bytes" or not all(codec["name"] in made for codec in rest):
        return None
    big = (first.get("configuration") or {}).get("endian") == "big"
    steps = tuple(made[codec["name"]](codec.get("configuration") or {}) for codec in rest)
    return Codec(np.dtype(array.dtype).newbyteorder(">" if big else "<"), steps)


def _codec_2(array: zarr.Array[Any], metadata: Mapping[str, Any]) -> Codec | None:
    """Return the codec of numbers with or without a compressor, which numcodecs has made."""
    compressor = getattr(array.metadata, "compressor", None)
    if metadata.get("filters") or metadata.get("order") != "C":
        return None
    steps = () if compressor is None else ((compressor.encode, compressor.decode),)
    return Codec(np.dtype(array.dtype), steps)


def _blosc(how: Mapping[str, Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    from numcodecs import Blosc  # type: ignore[import-untyped]

    shuffle = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}[how["shuffle"]]
    blosc = Blosc(how["cname"], how["clevel"], shuffle, how["blocksize"])
    return blosc.encode, blosc.decode


def _crc32c(_: Mapping[str, Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    from google_crc32c import value

    def encode(stored: bytes) -> bytes:
        stored = bytes(stored)
        return stored + int(value(stored)).to_bytes(4, "little")

    def decode(stored: bytes) -> bytes:
        if int(value(stored[:-4])).to_bytes(4, "little") != stored[-4:]:
            raise ValueError("the checksum does not fit")
        return stored[:-4]

    return encode, decode


def _folder(array: zarr.Array[Any]) -> Path:
    store: Any = array.store
    return Path(store.root, array.path).resolve()
