"""Finished steps of a propagation, kept under what they were made from: in memory or on disk.

A record is one block of bytes: a line of JSON, then the arrays, under one checksum. What is
damaged, cut off or foreign is no record, and its step is done again. Label planes are deflated, so
a run may keep every plane that it has seen.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.propagation import Doubt

MAGIC = b"ditto step 1\n"
CHECK = 32
"""Bytes of the checksum (SHA-256) that follows the magic line."""


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What one step has left behind.

    Attributes
    ----------
    labels : ndarray of uint32, shape (height, width)
        As painted, doubtful objects included.
    believed : tuple of int
        The ids that later steps may read, rising.
    confidence : mapping of int to float
        Of each object looked for.
    doubts : tuple of Doubt
        What wants a look.
    carry : mapping of str to ndarray
        The stepper's own.
    """

    labels: NDArray[np.uint32]
    believed: tuple[int, ...]
    confidence: Mapping[int, float]
    doubts: tuple[Doubt, ...] = ()
    carry: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def memory(self) -> NDArray[np.uint32]:
        """The labels that later steps may read."""
        return only(self.labels, self.believed)

    @property
    def digest(self) -> str:
        """What later steps may read, in 64 digits."""
        return digest({"labels": self.memory, **{f"carry/{k}": a for k, a in self.carry.items()}})


class StepStore(Protocol):
    """Keeps finished steps under keys of 64 hexadecimal digits."""

    def get(self, key: str) -> StepRecord | None:
        """Return an intact record, or None."""
        ...

    def put(self, key: str, record: StepRecord) -> None:
        """Keep a record; raises :class:`~napari_ditto.errors.StoreError` if the disk refuses."""
        ...


class MemorySteps:
    """Steps in memory, as long as this object lives."""

    def __init__(self) -> None:
        self._blocks: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, key: str) -> StepRecord | None:
        """Return a record, or None."""
        block = self._blocks.get(key)
        return None if block is None else decode(block)

    def put(self, key: str, record: StepRecord) -> None:
        """Keep a record."""
        self._blocks[key] = encode(record)


class DamagedStep(ValueError):
    """A block that is not exactly what was written."""


def encode(record: StepRecord) -> bytes:
    """Return a record as bytes."""
    carry = {name: np.ascontiguousarray(array) for name, array in record.carry.items()}
    labels = zlib.compress(np.ascontiguousarray(record.labels, "<u4").tobytes(), 1)
    head = {
        "shape": record.labels.shape,
        "labels": len(labels),
        "believed": record.believed,
        "confidence": [(label, value) for label, value in record.confidence.items()],
        "doubts": [_doubt_to_json(d) for d in record.doubts],
        "carry": [(name, a.dtype.str, a.shape) for name, a in carry.items()],
    }
    line = json.dumps(head, default=_plain).encode() + b"\n"
    body = b"".join([line, labels, *(a.tobytes() for a in carry.values())])
    return b"".join([MAGIC, hashlib.sha256(body).digest(), body])


def decode(block: bytes) -> StepRecord:
    """Return the record; raises :class:`DamagedStep` unless every byte is as it was written."""
    start = len(MAGIC) + CHECK
    body = memoryview(block)[start:]
    if not block.startswith(MAGIC) or hashlib.sha256(body).digest() != block[len(MAGIC) : start]:
        raise DamagedStep("damaged or foreign step")
    # The checksum is that of what we wrote, so from here on nothing can be of another form.
    end = block.index(b"\n", start) + 1
    head: dict[str, Any] = json.loads(block[start:end])
    stop = end + head["labels"]
    labels = np.frombuffer(zlib.decompress(block[end:stop]), "<u4").reshape(head["shape"])
    carry = {}
    for name, dtype, shape in head["carry"]:
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(block, np.dtype(dtype), count, stop)
        carry[name] = array.reshape(shape)
        stop += array.nbytes
    return StepRecord(
        labels.astype(np.uint32, copy=False),
        tuple(head["believed"]),
        {int(label): value for label, value in head["confidence"]},
        tuple(_doubt_from_json(d) for d in head["doubts"]),
        carry,
    )


def only(labels: NDArray[np.uint32], ids: Collection[int]) -> NDArray[np.uint32]:
    """Return labels without all other objects."""
    wanted = np.isin(labels, np.array(sorted(ids), dtype=np.uint32))
    return np.where(wanted, labels, np.uint32(0))


def digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Return SHA-256 over names, types, shapes and values of arrays, in any order of names."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _doubt_to_json(doubt: Doubt) -> list[object]:
    at = doubt.address
    return [[at.rows, at.columns, at.fixed], doubt.label, doubt.confidence, doubt.reasons]


def _doubt_from_json(parts: list[Any]) -> Doubt:
    (rows, columns, fixed), label, confidence, reasons = parts
    address = PlaneAddress(rows, columns, tuple((name, index) for name, index in fixed))
    return Doubt(address, label, confidence, tuple(reasons))


def _plain(value: object) -> object:
    """Return numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept")
