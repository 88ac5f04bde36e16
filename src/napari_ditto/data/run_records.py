"""What a run keeps of one finished item, as bytes: a block of arrays, and a done record for it.

Pure: bytes in, bytes out. Nothing is believed that is not exactly what was written for the same
kind, number and key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.blocks import CHECK, MAGIC, Arrays, DamagedBlock, pack, unpack
from napari_ditto.data.bounded_decoding import check_claim

MOST_BYTES = 1 << 30
"""Of all arrays of a record, unpacked."""

Form = tuple[str, np.dtype[Any], tuple[int, ...]]
"""Name, type and shape of an array."""

_LEVEL = 1
"""Of zstd; a label window of 16 MB takes 8 ms and becomes 0.3 MB, and noise takes no longer."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a record is about.

    Attributes
    ----------
    kind : str
        Stage of a run.
    number : int
        In that stage.
    key : str
        What the result depends on.
    """

    kind: str
    number: int
    key: str


@dataclass(frozen=True, eq=False)
class Record:
    """A finished item.

    Attributes
    ----------
    head : dict
        JSON types.
    arrays : mapping of str to ndarray
        Little-endian, read-only.
    digest : str
        SHA-256 of kind, number, key and arrays, or of the head where there are no arrays.
    """

    head: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    digest: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a done record tells.

    Attributes
    ----------
    item : Item
        Which.
    head : dict
        As in :class:`Record`.
    digest : str
        Of the block.
    size : int
        Bytes of the block file, 0 if there are no arrays and thus no file.
    """

    item: Item
    head: dict[str, Any]
    digest: str
    size: int

    def to_bytes(self) -> bytes:
        """Return it sealed."""
        at = self.item
        return seal("done", [at.kind, at.number, at.key, self.head, self.digest, self.size])

    @classmethod
    def from_bytes(cls, raw: bytes, item: Item) -> Done:
        """Return what was written for an item; raises DamagedBlock if this is not it."""
        try:
            kind, number, key, head, digest, size = unseal("done", raw)
            done = cls(Item(kind, number, key), dict(head), str(digest), int(size))
            if done.size > 2 * MOST_BYTES:
                raise ValueError("it is too large")
        except (ValueError, TypeError) as error:
            raise DamagedBlock(f"foreign done record: {error}") from error
        if done.item != item:
            raise DamagedBlock("done record of something else")
        return done


def encode(item: Item, head: Mapping[str, Any], arrays: Arrays) -> tuple[Done, bytes]:
    """Return the done record and the block of a finished item; same content, same bytes.

    Raises
    ------
    ValueError
        If something cannot be kept: no JSON types, no numbers, or too much of them.
    """
    forms = [(name, a.dtype.newbyteorder("<"), a.shape) for name, a in arrays.items()]
    _check_forms(forms)
    solid = {name: _solid(array) for name, array in arrays.items()}
    plain = json.loads(json.dumps(head, allow_nan=False))
    told = {
        "item": [item.kind, item.number, item.key],
        # A head beside arrays may tell of seconds; two who find the same write the same block.
        "head": None if solid else plain,
        "forms": [(name, dtype.str, shape) for name, dtype, shape in forms],
    }
    block = pack(told, {name: _deflate(array) for name, array in solid.items()})
    return Done(item, plain, block_digest(block), len(block) if solid else 0), block


def decode(done: Done, block: bytes, names: Collection[str] | None = None) -> Record:
    """Return what was encoded, or the arrays of some names with it.

    Raises
    ------
    DamagedBlock
        Unless the block is the record's.
    """
    told, packed = unpack(block)
    forms = [form for form in _forms(done, block, told) if names is None or form[0] in names]
    try:
        arrays = {name: _inflate(packed[name], dtype, shape) for name, dtype, shape in forms}
    except (ValueError, LookupError, RuntimeError) as error:
        raise DamagedBlock(f"foreign block: {error}") from error
    return Record(done.head, arrays, done.digest)


def _forms(done: Done, block: bytes, told: dict[str, Any]) -> list[Form]:
    """Return the checked forms of a block's arrays, if it is the one of the record."""
    item = done.item
    try:
        if block_digest(block) != done.digest or told["item"] != [item.kind, item.number, item.key]:
            raise DamagedBlock("block of something else")
        forms = [(str(n), np.dtype(d), tuple(map(int, shape))) for n, d, shape in told["forms"]]
        _check_forms(forms)
    except (ValueError, TypeError, LookupError) as error:
        raise DamagedBlock(f"foreign block: {error}") from error
    return forms


def check(done: Done, block: bytes) -> None:
    """Raise DamagedBlock unless every byte of the block is the one that the record tells of."""
    body = memoryview(block)[len(MAGIC) + CHECK :]
    whole = block.startswith(MAGIC) and hashlib.sha256(body).hexdigest() == block_digest(block)
    if not whole or block_digest(block) != done.digest:
        raise DamagedBlock("damaged or foreign block")


def block_digest(block: bytes) -> str:
    """Return the SHA-256 that a block says it has."""
    return block[len(MAGIC) : len(MAGIC) + CHECK].hex()


def digest_of(array: NDArray[Any]) -> str:
    """Return SHA-256 over type, shape and values of an array, e.g. of a chunk that was stored."""
    solid = np.ascontiguousarray(array)
    total = hashlib.sha256(f"{solid.dtype.newbyteorder('<').str} {array.shape}\n".encode())
    total.update(solid.astype(solid.dtype.newbyteorder("<"), copy=False).tobytes())
    return total.hexdigest()


def seal(name: str, content: object) -> bytes:
    """Return JSON types as a line of JSON with its SHA-256."""
    body = json.dumps(content, allow_nan=False)
    return f'{{"sha256": "{_sha256(name, body)}", "{name}": {body}}}\n'.encode()


def unseal(name: str, raw: bytes) -> Any:  # noqa: ANN401  # whatever was sealed
    """Return what was sealed; raises DamagedBlock unless every byte is as it was written."""
    try:
        content = json.loads(raw)[name]
        whole = seal(name, content) == raw
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise DamagedBlock(f"not readable: {error}") from error
    if not whole:
        raise DamagedBlock("it was changed")
    return content


def _sha256(name: str, body: str) -> str:
    return hashlib.sha256(f"{name}\n{body}".encode()).hexdigest()


def _solid(array: NDArray[Any]) -> NDArray[Any]:
    little = np.asarray(array, array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(little).reshape(array.shape)


def _check_forms(forms: Sequence[Form]) -> None:
    for name, dtype, shape in forms:
        if dtype.kind not in "biuf" or any(n < 0 for n in shape):
            raise ValueError(f"{name} of {dtype} and shape {shape} cannot be kept")
    if sum(math.prod(shape) * dtype.itemsize for _, dtype, shape in forms) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes in one record")


def _deflate(array: NDArray[Any]) -> NDArray[np.uint8]:
    plain = array.reshape(-1).view(np.uint8)
    return np.frombuffer(_zstd().encode(plain) if plain.size else b"", np.uint8)


def _inflate(packed: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    size, plain = math.prod(shape) * dtype.itemsize, b""
    if size:
        check_claim("zstd", packed.tobytes(), size)
        plain = _zstd().decode(packed)
    if len(plain) != size:
        raise ValueError("an array of another size")
    return np.frombuffer(plain, dtype).reshape(shape)


def _zstd() -> Any:  # noqa: ANN401  # of numcodecs, which has no types
    from numcodecs import Zstd  # type: ignore[import-untyped]

    return Zstd(_LEVEL)
