"""Decompress no more than was announced.

The metadata bound what an array's chunk takes; what a compressed chunk holds is another matter: a
kilobyte can decode to a gigabyte. What the standard library decodes is stopped at the limit; for
the others, the sizes in their headers bound what they will make, and are checked before.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

_ZSTD_FRAME = 0xFD2FB528
_ZSTD_SKIPPED = 0x184D2A50
_ZSTD_BLOCK = 1 << 17
_ZSTD_RAW = 0
_BLOSC_HEADER = 16
_LZMA_MEMORY = 1 << 28


class Decompressor(Protocol):
    """What ``zlib``, ``bz2`` and ``lzma`` decompressors have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was there."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""
        ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return at most so many bytes."""
        ...


def claims(name: str) -> bool:
    """Whether the data of a codec say how large they will be, and the codec holds to that."""
    return name in _CLAIMS


def check_claim(name: str, data: bytes, limit: int) -> None:
    """Raise ValueError for data that say they will take more than `limit` bytes."""
    _check(_CLAIMS[name](data), limit)


def expand(name: str, settings: Mapping[str, Any], data: bytes, limit: int) -> bytes | None:
    """Return what a codec makes of `data`, or None if its claim is right: ask the codec itself.

    Raises
    ------
    ValueError
        If that is more than `limit` bytes, or damaged.
    """
    if claims(name):
        check_claim(name, data, limit)
        return None
    try:
        return _inflate(lambda: _decompressor(name, settings), data, limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise ValueError(f"a chunk is damaged: {error}") from error


def is_bounded(name: str) -> bool:
    """Whether a codec is known here; all others cannot make more than they get."""
    return claims(name) or name in ("gzip", "zlib", "bz2", "lzma")


def _inflate(make: Callable[[], Decompressor], data: bytes, limit: int) -> bytes:
    parts, left = [], limit
    while data:
        stream = make()
        part = stream.decompress(data, left + 1)
        _check(len(part), left)
        if not stream.eof:
            raise EOFError("it ends too early")
        parts.append(part)
        left -= len(part)
        data = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _decompressor(name: str, settings: Mapping[str, Any]) -> Decompressor:
    if name == "bz2":
        return bz2.BZ2Decompressor()
    if name == "lzma":
        return _lzma(settings)
    return zlib.decompressobj(zlib.MAX_WBITS + 16 if name == "gzip" else zlib.MAX_WBITS)


def _lzma(settings: Mapping[str, Any]) -> Decompressor:
    kind, filters = settings.get("format", lzma.FORMAT_XZ), settings.get("filters")
    if kind != lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(kind, _LZMA_MEMORY)
    if any(f.get("dict_size", 0) > _LZMA_MEMORY for f in filters or ()):
        raise ValueError("its dictionary is too large")
    return lzma.LZMADecompressor(kind, None, filters)


def _blosc(data: bytes) -> int:
    if len(data) < _BLOSC_HEADER:
        raise ValueError("a chunk is damaged: it is shorter than its header")
    made, _, taken = struct.unpack("<III", data[4:_BLOSC_HEADER])
    if taken > len(data):
        raise ValueError("a chunk is damaged: it is shorter than its header says")
    return int(made)


def _lz4(data: bytes) -> int:
    return int.from_bytes(data[:4], "little")


def _zstd(data: bytes) -> int:
    """Return an upper bound of what the frames of RFC 8878 decode to."""
    total = at = 0
    try:
        while at < len(data):
            (magic,) = struct.unpack_from("<I", data, at)
            if magic & ~0xF == _ZSTD_SKIPPED:
                at += 8 + struct.unpack_from("<I", data, at + 4)[0]
            elif magic == _ZSTD_FRAME:
                made, at = _zstd_frame(data, at + 4)
                total += made
            else:
                raise ValueError("a chunk is damaged: it is no zstd")
    except (struct.error, IndexError) as error:
        raise ValueError("a chunk is damaged: it ends too early") from error
    return total


def _zstd_frame(data: bytes, at: int) -> tuple[int, int]:
    """Return the size that a frame decodes to, at most, and where it ends."""
    flags = data[at]
    single, size_flag = flags >> 5 & 1, flags >> 6
    at += 1 + (not single) + (0, 1, 2, 4)[flags & 3]
    width = (single, 2, 4, 8)[size_flag]
    said = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    at, last, blocks = at + width, False, 0
    while not last:
        (head,) = struct.unpack("<I", data[at : at + 3] + b"\0")
        last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        # A run is one byte that stands for many; any block makes 128 KiB at most.
        at += 3 + (1 if kind == 1 else size)
        blocks += size if kind in (_ZSTD_RAW, 1) else _ZSTD_BLOCK
    return (said if width else blocks), at + 4 * (flags >> 2 & 1)


def _check(made: int, limit: int) -> None:
    if made > limit:
        raise ValueError("a chunk decodes to more than its metadata announce")


_CLAIMS: Mapping[str, Callable[[bytes], int]] = {"blosc": _blosc, "lz4": _lz4, "zstd": _zstd}
