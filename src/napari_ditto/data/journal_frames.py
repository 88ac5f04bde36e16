"""The bytes of a journal: frames one after the other, each whole and in its place, or refused.

A file is :data:`FILE`, then frames. A frame is :data:`MARK`, the size of the block that follows as
four bytes, the CRC-32 of these eight, and the block (:mod:`napari_ditto.data.blocks`), whose head
names the journal and the number of the record. So a frame that is torn, damaged, copied from
elsewhere or out of order is recognised, and reading goes on behind it.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.blocks import MAGIC, Arrays, DamagedBlock, pack, unpack

FILE = b"ditto journal 1\n"
MARK = b"\xd1TTO"
_LEAD = struct.Struct("<4sII")
MAX_FRAME = 1 << 28
"""Largest block in bytes; a frame that claims more is damaged."""


@dataclass(frozen=True, eq=False)
class Record:
    """One record as it was written.

    Attributes
    ----------
    journal : str
        Which journal it belongs to.
    number : int
        Its place in the journal, from 0.
    kind : str
        What it tells.
    facts : dict
        JSON values, not checked yet.
    arrays : dict of ndarray
        Read-only.
    end : int
        Where in the file it ends.
    """

    journal: str
    number: int
    kind: str
    facts: dict[str, Any]
    arrays: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    end: int = 0


@dataclass(frozen=True)
class Gap:
    """Records that are missing or cannot be used.

    Attributes
    ----------
    lost : int
        How many.
    """

    lost: int


def frame(
    journal: str, number: int, kind: str, facts: Mapping[str, object], arrays: Arrays
) -> bytes:
    """Return a record of a journal as bytes."""
    head = {"journal": journal, "number": number, "kind": kind, "facts": dict(facts)}
    block = pack(head, arrays)
    if len(block) > MAX_FRAME:
        raise ValueError(f"a record of {len(block)} bytes is too large")
    return _LEAD.pack(MARK, len(block), _check(len(block))) + block


def read_frames(buffer: bytes | mmap.mmap) -> Iterator[Record | Gap]:
    """Yield what a journal holds, and a gap wherever records are missing.

    An append that the end of the file cuts short is no gap: nobody was told of it.
    """
    at, number, journal, damaged = len(FILE), 0, "", 0
    if buffer[: len(FILE)] != FILE:
        at = buffer.find(MARK)
    while 0 <= at < len(buffer):
        found = _read(buffer, at, journal)
        if found is None:
            damaged += not _is_torn(buffer, at)
            at = buffer.find(MARK, at + 1)
            continue
        journal, at, damaged = found.journal, found.end, 0
        if found.number < number:
            continue  # a copy of what has been read
        if found.number > number:
            yield Gap(found.number - number)
        number = found.number + 1
        yield found
    if damaged:
        yield Gap(damaged)


def _check(size: int) -> int:
    return zlib.crc32(MARK + size.to_bytes(4, "little"))


def _is_torn(buffer: bytes | mmap.mmap, at: int) -> bool:
    """Whether a frame was begun and not finished, or never reached the disk."""
    lead = buffer[at : at + _LEAD.size]
    if len(lead) < _LEAD.size or not any(lead):
        return True
    mark, size, check = _LEAD.unpack(lead)
    return bool(mark == MARK and check == _check(size) and at + _LEAD.size + size > len(buffer))


def _read(buffer: bytes | mmap.mmap, at: int, journal: str) -> Record | None:
    """Return the record of a frame, None unless all of it is right."""
    lead, start = buffer[at : at + _LEAD.size], at + _LEAD.size
    if len(lead) < _LEAD.size:
        return None
    mark, size, check = _LEAD.unpack(lead)
    if mark != MARK or check != _check(size) or size > MAX_FRAME or start + size > len(buffer):
        return None
    if buffer[start : start + len(MAGIC)] != MAGIC:
        return None  # before all of it is copied
    try:
        head, arrays = unpack(buffer[start : start + size])
        record = _record(head, arrays, start + size)
    except (DamagedBlock, ValueError, TypeError, LookupError):
        return None
    return record if record.journal == (journal or record.journal) else None


def _record(
    head: Any,  # noqa: ANN401 - whatever JSON held
    arrays: dict[str, NDArray[np.generic]],
    end: int,
) -> Record:
    journal, number, kind, facts = (head[key] for key in ("journal", "number", "kind", "facts"))
    if type(number) is not int or number < 0 or not isinstance(facts, dict):
        raise ValueError("no record")
    return Record(str(journal), number, str(kind), facts, arrays, end)
