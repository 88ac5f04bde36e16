"""Finished steps of a propagation, kept under what they were made from: in memory or on disk.

What a step has found is kept for good; label planes are deflated, so that is little. What its
stepper hands on (the carry) may be large, and the oldest goes first when there is too much: its
digest stays, so later steps still count as done, and it is made again if one of them is not.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.propagation import Doubt
from napari_ditto.data.blocks import DamagedBlock, digest, pack, unpack
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.errors import StoreError

Carry = Mapping[str, NDArray[np.generic]]

MEMORY_CARRY = 512 << 20
DISK_CARRY = 4 << 30
MAX_STEP = 2 << 30

STEP, CARRY = ".step", ".carry"


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What one step has left behind.

    Attributes
    ----------
    labels : ndarray of uint32, shape (height, width)
        As painted, doubtful objects included.
    areas : mapping of int to int
        Pixels of each object painted.
    believed : tuple of int
        The ids that later steps may read, rising.
    confidence : mapping of int to float
        Of each object looked for.
    doubts : tuple of Doubt
        What wants a look.
    carry : mapping of str to ndarray, or None
        What the stepper hands on; None if it was dropped for lack of room.
    digest : str
        Of all that later steps may read.
    """

    labels: NDArray[np.uint32]
    areas: Mapping[int, int]
    believed: tuple[int, ...]
    confidence: Mapping[int, float]
    doubts: tuple[Doubt, ...]
    carry: Carry | None
    digest: str

    @classmethod
    def of(
        cls,
        labels: NDArray[np.uint32],
        believed: Mapping[int, float],
        doubted: Mapping[int, float] | None = None,
        doubts: Collection[Doubt] = (),
        carry: Carry | None = None,
    ) -> StepRecord:
        """Return the record of a plane, given the confidence of its objects."""
        labels.flags.writeable = False
        ids, counts = np.unique(labels, return_counts=True)
        areas = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        areas.pop(0, None)
        confidence = {**believed, **(doubted or {})}
        made = cls(
            labels,
            areas,
            tuple(sorted(believed)),
            {n: float(confidence[n]) for n in sorted(confidence)},
            tuple(doubts),
            dict(carry or {}),
            "",
        )
        handed_on = {f"carry/{name}": array for name, array in (carry or {}).items()}
        return replace(made, digest=digest({"labels": made.memory(), **handed_on}))

    def memory(self, wanted: Collection[int] | None = None) -> NDArray[np.uint32]:
        """Return the labels that later steps may read, of all objects or of some."""
        ids = self.believed if wanted is None else set(self.believed) & set(wanted)
        if set(ids) >= self.areas.keys():
            return self.labels
        kept = np.isin(self.labels, np.array(sorted(ids), dtype=np.uint32))
        return np.where(kept, self.labels, np.uint32(0))

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take."""
        return int(self.labels.nbytes) + carry_bytes(self.carry)


class StepStore(Protocol):
    """Keeps finished steps under keys of 64 hexadecimal digits."""

    def get(self, key: str) -> StepRecord | None:
        """Return an intact record, or None."""
        ...

    def put(self, key: str, record: StepRecord) -> None:
        """Keep a record; raises :class:`~napari_ditto.errors.StoreError` if the disk refuses."""
        ...


class MemorySteps:
    """Steps in memory, as long as this object lives.

    Parameters
    ----------
    carry_bytes : int
        Most bytes of what steps hand on; the oldest goes first.
    """

    def __init__(self, carry_bytes: int = MEMORY_CARRY) -> None:
        self._limit, self._held = carry_bytes, 0
        self._blocks: dict[str, bytes] = {}
        self._carry: OrderedDict[str, Carry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: str) -> StepRecord | None:
        """Return a record, or None."""
        block = self._blocks.get(key)
        return None if block is None else replace(decode(block), carry=self._carry.get(key))

    def put(self, key: str, record: StepRecord) -> None:
        """Keep a record."""
        self._blocks[key] = encode(record)
        self._held -= carry_bytes(self._carry.pop(key, None))
        self._carry[key] = record.carry or {}
        self._held += carry_bytes(record.carry)
        while self._held > self._limit:
            self._held -= carry_bytes(self._carry.popitem(last=False)[1])


class DiskSteps:
    """Steps in a folder, one or two files each, which appear whole or not at all.

    A killed process loses nothing that it has put. There is no fsync: after a power cut a torn
    file is no record, and its step is done again.

    Parameters
    ----------
    folder : Path
        Made when first needed; may be deleted at any time when nothing runs.
    carry_bytes : int
        Most bytes of what steps hand on; the oldest goes first.
    """

    def __init__(self, folder: Path, carry_bytes: int = DISK_CARRY) -> None:
        self.folder, self._limit = Path(folder), carry_bytes
        self._held: int | None = None
        for path in (self.folder / "tmp").glob("*"):
            if is_orphan(path):
                path.unlink(missing_ok=True)

    def get(self, key: str) -> StepRecord | None:
        """Return an intact record, or None; raises StoreError if the disk cannot be read."""
        block = self._read(key + STEP)
        try:
            if block is None:
                return None
            return replace(decode(block), carry=self._get_carry(key, block))
        except DamagedBlock:
            return None

    def put(self, key: str, record: StepRecord) -> None:
        """Keep a record; when this returns, a kill loses nothing of it.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        carry = record.carry or {}
        if carry:
            self._write(key + CARRY, pack({}, carry))
        self._write(key + STEP, encode(record))
        if carry:
            self._make_room(carry_bytes(carry))

    def _get_carry(self, key: str, block: bytes) -> Carry | None:
        if not unpack(block)[0]["carries"]:
            return {}
        found = self._read(key + CARRY)
        with contextlib.suppress(DamagedBlock):
            return None if found is None else unpack(found)[1]
        return None

    def _read(self, name: str) -> bytes | None:
        try:
            return read_plain(self.folder / name, MAX_STEP)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error("read", error) from error

    def _write(self, name: str, block: bytes) -> None:
        scratch = self.folder / "tmp" / scratch_name()
        try:
            scratch.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_bytes(block)
            scratch.replace(self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink()
            raise self._error("written", error) from error

    def _make_room(self, added: int) -> None:
        """Remove the oldest files of carry if there are too many bytes of them."""
        if self._held is not None and self._held + added <= self._limit:
            self._held += added
            return
        files = sorted((e.stat().st_mtime_ns, e.stat().st_size, e.path) for e in self._carried())
        self._held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._held <= self._limit:
                break
            Path(path).unlink(missing_ok=True)
            self._held -= size

    def _carried(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.folder) as entries:
            return [e for e in entries if e.name.endswith(CARRY)]

    def _error(self, verb: str, error: OSError) -> StoreError:
        return StoreError(
            f"finished planes cannot be {verb}: {error.strerror or error}",
            where=str(self.folder),
            todo="Free some space there, then run again: it goes on where it stopped",
        )


def encode(record: StepRecord) -> bytes:
    """Return a record as bytes, without its carry."""
    head = {
        "shape": record.labels.shape,
        "areas": list(record.areas.items()),
        "believed": record.believed,
        "confidence": list(record.confidence.items()),
        "doubts": [doubt_to_json(d) for d in record.doubts],
        "carries": bool(record.carry),
        "digest": record.digest,
    }
    raw = zlib.compress(np.ascontiguousarray(record.labels, "<u4").tobytes(), 1)
    return pack(head, {"labels": np.frombuffer(raw, np.uint8)})


def decode(block: bytes) -> StepRecord:
    """Return the record, without its carry; raises DamagedBlock if it is not as it was written."""
    head, arrays = unpack(block)
    try:
        return _decode(head, arrays["labels"].tobytes())
    except (ValueError, TypeError, LookupError, OverflowError, zlib.error) as error:
        raise DamagedBlock(f"foreign step: {error}") from error


def _decode(head: dict[str, Any], raw: bytes) -> StepRecord:
    height, width = head["shape"]
    # One byte more than there may be shows what inflates to too much, without inflating it.
    plain = zlib.decompressobj().decompress(raw, 4 * height * width + 1)
    labels = np.frombuffer(plain, "<u4").reshape(height, width).astype(np.uint32, copy=False)
    return StepRecord(
        labels,
        {int(n): int(count) for n, count in head["areas"]},
        tuple(int(n) for n in head["believed"]),
        {int(n): float(value) for n, value in head["confidence"]},
        tuple(doubt_from_json(d) for d in head["doubts"]),
        None,
        str(head["digest"]),
    )


def carry_bytes(carry: Carry | None) -> int:
    """Return the memory that a carry takes."""
    return sum(int(array.nbytes) for array in (carry or {}).values())


def doubt_to_json(doubt: Doubt) -> list[object]:
    """Return a doubt as JSON types."""
    at = doubt.address
    return [[at.rows, at.columns, at.fixed], doubt.label, doubt.confidence, doubt.reasons]


def doubt_from_json(parts: list[Any]) -> Doubt:
    """Return the doubt that :func:`doubt_to_json` has told."""
    (rows, columns, fixed), label, confidence, reasons = parts
    address = PlaneAddress(rows, columns, tuple((name, index) for name, index in fixed))
    return Doubt(address, label, confidence, tuple(reasons))
