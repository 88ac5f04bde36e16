"""Arrays and a line of JSON as one block of bytes under one checksum.

A block is either exactly what was written, or refused. Nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]

MAGIC = b"ditto block 1\n"
CHECK = 32
"""Bytes of the checksum, SHA-256 over all that follows it."""


class DamagedBlock(ValueError):
    """A block that is not exactly what was written."""


def pack(head: Mapping[str, object], arrays: Arrays) -> bytes:
    """Return a JSON-able mapping and arrays of numbers as bytes."""
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    if any(array.dtype.hasobject for array in solid.values()):
        raise ValueError("only arrays of numbers can be packed")
    forms = [(name, a.dtype.str, np.shape(arrays[name])) for name, a in solid.items()]
    line = json.dumps({"head": head, "arrays": forms}, default=_plain).encode() + b"\n"
    body = b"".join([line, *(a.tobytes() for a in solid.values())])
    return b"".join([MAGIC, hashlib.sha256(body).digest(), body])


def unpack(block: bytes) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Return what was packed, the arrays read-only.

    Raises
    ------
    DamagedBlock
        Unless every byte is as it was written.
    """
    start = len(MAGIC) + CHECK
    body = memoryview(block)[start:]
    if not block.startswith(MAGIC) or hashlib.sha256(body).digest() != block[len(MAGIC) : start]:
        raise DamagedBlock("damaged or foreign block")
    try:
        return _unpack(block, start)
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        # The checksum only tells that the writer was careful, not that it was us.
        raise DamagedBlock(f"foreign block: {error}") from error


def _unpack(block: bytes, start: int) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    at = block.index(b"\n", start) + 1
    told = json.loads(block[start:at])
    arrays = {}
    for name, dtype, shape in told["arrays"]:
        count = int(np.prod(shape, dtype=np.int64))
        found = np.frombuffer(block, np.dtype(dtype), count, at).reshape(shape)
        arrays[name] = found
        at += found.nbytes
    return told["head"], arrays


def digest(arrays: Arrays) -> str:
    """Return SHA-256 over names, types, shapes and values of arrays, in any order of names."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def _plain(value: object) -> object:
    """Return numpy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be packed")
