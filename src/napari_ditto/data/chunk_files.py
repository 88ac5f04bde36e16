"""Chunks of a zarr array on a local disk, read and written without zarr's event loop.

A chunk takes zarr 3.1 about 2 ms, most of it spent on handing work from thread to thread; here it
takes 0.3 ms. What is on disk is the same, and any other kind of array is left to zarr itself.
"""

from __future__ import annotations

import contextlib
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.plain_file import read_plain, real_inside
from napari_ditto.data.bounded_decoding import expand, is_bounded
from napari_ditto.data.regions import Region
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    import zarr

Block = NDArray[np.integer]
Step = tuple[Callable[[Any], Any], Callable[[Any, int], Any]]
"""How to encode bytes, and how to decode them to no more than so many."""

SPARE = 1 << 16
# https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
_BLOSC_FLAGS, _BLOSC_SHUFFLES = 2, 0b101


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

    Raises
    ------
    StoreError
        From any access, if a chunk is damaged.
    OSError
        If the disk refuses to write.
    """

    def __init__(self, array: zarr.Array[Any], codec: Codec) -> None:
        store: Any = array.store
        self.shape = array.shape
        self._chunks, self._key, self._codec = array.chunks, array.metadata.encode_chunk_key, codec
        self._folder = os.path.realpath(os.path.join(store.root, array.path))
        self._limit = 2 * math.prod(array.chunks) * codec.dtype.itemsize + SPARE

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
        self.update([(region, block)])

    def update(self, parts: Iterable[tuple[Region, Block]]) -> None:
        """Write the values of many regions; a chunk that several of them touch is written once."""
        chunks: dict[tuple[int, ...], Block] = {}
        changed = set()
        for region, block in parts:
            for position, inside, outside in self._parts(region):
                if position not in chunks and self._is_all_of(position, inside):
                    # What it holds does not matter, nor whether it can be read.
                    chunks[position] = np.zeros(self._chunks, self._codec.dtype)
                    changed.add(position)
                elif position not in chunks:
                    chunks[position] = self._load_to_change(position)
                if not np.array_equal(chunks[position][inside], block[outside]):
                    chunks[position][inside] = block[outside]
                    changed.add(position)
        for position in changed:
            self._save(position, chunks[position])

    def widen(self, region: Region) -> Region:
        """Return the region of all chunks that a region touches."""
        sides = zip(region, self._chunks, self.shape, strict=True)
        return tuple(
            slice(s.start // c * c, min(-(-s.stop // c) * c, n)) if s.start < s.stop else s
            for s, c, n in sides
        )

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
            stored = read_plain(file, self._limit, self._folder)
            return self._codec.decode(stored, self._limit).reshape(self._chunks)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise StoreError(
                f"a chunk of the labels is damaged: {error}",
                where=file,
                todo="Restore it from a copy, or delete this file to lose only what is in it",
            ) from error

    def _is_all_of(self, position: tuple[int, ...], inside: Region) -> bool:
        sides = zip(position, self._chunks, self.shape, inside, strict=True)
        return all(s.stop - s.start == min(c, n - at * c) for at, c, n, s in sides)

    def _load_to_change(self, position: tuple[int, ...]) -> Block:
        chunk = self._load(position)
        return np.zeros(self._chunks, self._codec.dtype) if chunk is None else chunk.copy()

    def _save(self, position: tuple[int, ...], chunk: Block) -> None:
        file = self._file(position)
        if not chunk.any():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file)
            return
        partial = f"{file}.{uuid.uuid4().hex}.partial"
        try:
            with self._create(partial) as stream:
                stream.write(self._codec.encode(chunk))
            os.replace(partial, file)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise

    def _create(self, file: str) -> BinaryIO:
        """Open a new file for writing, and make its folder if need be."""
        folder = os.path.dirname(file)
        real_inside(folder, self._folder)
        try:
            return open(file, "xb")
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            return open(file, "xb")

    def _file(self, position: tuple[int, ...]) -> str:
        return os.path.join(self._folder, self._key(position))


@dataclass(frozen=True, eq=False)
class Codec:
    """How a chunk is stored: as numbers of `dtype`, then through `steps` in turn."""

    dtype: np.dtype[Any]
    steps: tuple[Step, ...]

    def encode(self, chunk: Block) -> bytes:
        """Return what the file holds."""
        stored: Any = np.ascontiguousarray(chunk)
        for encode, _ in self.steps:
            stored = encode(stored)
        return bytes(stored)

    def decode(self, stored: bytes, limit: int) -> Block:
        """Return the values of a chunk, flat; any error means damage."""
        for _, decode in reversed(self.steps):
            stored = decode(stored, limit)
        return np.frombuffer(stored, self.dtype)


def chunk_files(array: zarr.Array[Any]) -> ChunkFiles | zarr.Array[Any]:
    """Return a quick way to an array if it is of a known kind, else the array itself."""
    from zarr.storage import LocalStore

    metadata: Mapping[str, Any] = array.metadata.to_dict()
    steps = _steps_3(metadata) if metadata["zarr_format"] == 3 else _steps_2(array, metadata)
    plain = isinstance(array.store, LocalStore) and array.fill_value in (0, None)
    if not plain or steps is None:
        return array
    return ChunkFiles(array, Codec(_stored_dtype(array, metadata), steps))


def _stored_dtype(array: zarr.Array[Any], metadata: Mapping[str, Any]) -> np.dtype[Any]:
    if metadata["zarr_format"] == 2:
        return np.dtype(array.dtype)
    big = (metadata["codecs"][0].get("configuration") or {}).get("endian") == "big"
    return np.dtype(array.dtype).newbyteorder(">" if big else "<")


def _steps_3(metadata: Mapping[str, Any]) -> tuple[Step, ...] | None:
    """Return the steps of numbers in bytes, with or without Blosc, with or without crc32c."""
    first, *rest = metadata["codecs"]
    known: Mapping[str, Callable[[Mapping[str, Any]], Step]] = {"blosc": _blosc, "crc32c": _crc32c}
    if first["name"] != "bytes" or not all(codec["name"] in known for codec in rest):
        return None
    return tuple(known[codec["name"]](codec.get("configuration") or {}) for codec in rest)


def _steps_2(array: zarr.Array[Any], metadata: Mapping[str, Any]) -> tuple[Step, ...] | None:
    """Return the step of a compressor whose output can be bounded, or none."""
    compressor, how = getattr(array.metadata, "compressor", None), metadata.get("compressor")
    if metadata.get("filters") or metadata["order"] != "C":
        return None
    if compressor is None or how is None:
        return ()
    if how["id"] == "blosc" and how["shuffle"] == 0:
        return (_blosc({**how, "shuffle": "noshuffle"}),)
    return (_bounded(compressor),) if is_bounded(compressor.codec_id) else None


def _blosc(how: Mapping[str, Any]) -> Step:
    from numcodecs import Blosc  # type: ignore[import-untyped]

    shuffle = ("noshuffle", "shuffle", "bitshuffle").index(how["shuffle"])
    encode, decode = _bounded(Blosc(how["cname"], how["clevel"], shuffle))

    def decode_checked(stored: bytes, limit: int) -> bytes:
        # The only bits of a header whose damage would go unnoticed where streams have checksums.
        if shuffle == 0 and stored[_BLOSC_FLAGS] & _BLOSC_SHUFFLES:
            raise ValueError("it is shuffled, which it should not be")
        return bytes(decode(stored, limit))

    return encode, decode_checked


def _bounded(codec: Any) -> Step:  # noqa: ANN401  # of numcodecs, which has no types
    def decode(stored: bytes, limit: int) -> bytes:
        plain = expand(codec.codec_id, codec.get_config(), stored, limit)
        return bytes(codec.decode(stored)) if plain is None else plain

    return codec.encode, decode


def _crc32c(_: Mapping[str, Any]) -> Step:
    from google_crc32c import value

    def checksum(stored: bytes) -> bytes:
        return int(value(stored)).to_bytes(4, "little")

    def encode(stored: bytes) -> bytes:
        return bytes(stored) + checksum(bytes(stored))

    def decode(stored: bytes, _: int) -> bytes:
        if checksum(stored[:-4]) != stored[-4:]:
            raise ValueError("the checksum does not fit")
        return stored[:-4]

    return encode, decode
