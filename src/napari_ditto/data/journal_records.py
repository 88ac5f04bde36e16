"""What a journal tells: where it began, and how labels looked after each write.

A write is kept as the values that pixels have after it, so that doing it twice, or over labels
that have it already, changes nothing. Everything is checked when read, and bounded before memory
is asked for: a journal may come from anywhere.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.blocks import DamagedBlock
from napari_ditto.data.regions import Region

Base = Literal["empty", "kept", "store", "none"]
"""What there was before the first write: nothing; labels that the journal holds; labels on disk at
a path; or labels that were too large to be kept."""

Told = tuple[Mapping[str, Any], Mapping[str, NDArray[np.generic]]]
BASES: tuple[Base, ...] = ("empty", "kept", "store", "none")
MAX_PIXELS = 1 << 24
"""Most pixels of one record, 128 MiB of the widest ids; a larger write is kept as several."""
MAX_AXES, MAX_SIDE = 12, 1 << 40
_LEVEL = 1  # label images shrink well at once, and the user waits


@dataclass(frozen=True)
class ImageNote:
    """Which image was labelled, and how to find it again.

    Attributes
    ----------
    name : str
        As the user knows it.
    path : str
        Where it was read from, ``""`` if it was not.
    reader : str
        The plugin that read it.
    shape : tuple of int
        Of the image layer.
    place : dict
        Scale, translation and so on of a layer that lies on it, as lists.
    """

    name: str = ""
    path: str = ""
    reader: str = ""
    shape: tuple[int, ...] = ()
    place: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the note as JSON values."""
        return {
            "name": self.name,
            "path": self.path,
            "reader": self.reader,
            "shape": list(self.shape),
            "place": dict(self.place),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> ImageNote:
        """Check and return a note."""
        if not isinstance(facts, dict) or not isinstance(facts.get("place", {}), dict):
            raise DamagedBlock("no image")
        name, path, reader = (_text(facts.get(key, "")) for key in ("name", "path", "reader"))
        place = facts.get("place", {})
        return cls(name, path, reader, _shape(facts.get("shape", [])), place)


@dataclass(frozen=True)
class Head:
    """The first record: whose journal it is.

    Attributes
    ----------
    program : str
        Which version wrote it.
    image : ImageNote
        What was labelled.
    name, dtype, shape, axes
        Of the labels; an empty shape means that there are none, only prompts.
    path : str
        Where the labels are on disk, ``""`` if they are not.
    base : {"empty", "kept", "store", "none"}
        What there was before the first write.
    """

    program: str
    image: ImageNote = field(default_factory=ImageNote)
    name: str = ""
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint32))
    shape: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()
    path: str = ""
    base: Base = "empty"

    def to_json(self) -> dict[str, object]:
        """Return the head as JSON values."""
        return {
            "program": self.program,
            "image": self.image.to_json(),
            "name": self.name,
            "dtype": self.dtype.str,
            "shape": list(self.shape),
            "axes": list(self.axes),
            "path": self.path,
            "base": self.base,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Head:
        """Check and return a head; raises :class:`DamagedBlock` or what JSON leads to."""
        dtype = np.dtype(_text(facts["dtype"]))
        shape, axes = _shape(facts["shape"]), tuple(_text(name) for name in facts["axes"])
        base = facts["base"]
        if dtype.kind not in "iu" or len(axes) != len(shape) or base not in BASES:
            raise DamagedBlock("no labels")
        if len(shape) == 1 or len(set(axes)) < len(axes):
            raise DamagedBlock("no plane")
        program, name, path = (_text(facts[key]) for key in ("program", "name", "path"))
        image = ImageNote.from_json(facts["image"])
        return cls(program, image, name, dtype, shape, axes, path, base)


@dataclass(frozen=True, eq=False)
class Paint:
    """How a part of the labels looks after a write.

    Attributes
    ----------
    index : tuple of slice
        Where, one slice per array axis.
    mask : ndarray of bool or None
        Which pixels of it; None for all.
    values : int or ndarray
        One id, or one for each pixel of the mask in C order.
    label : int
        The id that was written.
    told : tuple
        Facts and arrays of the record that told so, which take less room.
    """

    index: Region
    mask: NDArray[np.bool_] | None
    values: int | NDArray[np.integer]
    label: int
    told: Told

    def onto(self, block: NDArray[Any]) -> None:
        """Write to the block that `index` selects."""
        if self.mask is not None:
            block[self.mask] = self.values
        else:
            block[...] = (
                np.reshape(self.values, block.shape) if np.ndim(self.values) else self.values
            )


def encode_paint(
    index: Region, old: NDArray[Any] | None, new: NDArray[Any], label: int
) -> Iterator[tuple[dict[str, object], dict[str, NDArray[np.uint8]]]]:
    """Yield facts and arrays of the records that tell of a write.

    Parameters
    ----------
    index : tuple of slice
        Where.
    old : ndarray or None, shape of the region
        What was there; only what differs is kept. None keeps all.
    new : ndarray, shape of the region
        What is there now.
    label : int
        The id that was written.
    """
    parts = list(_parts(index))
    for number, part in enumerate(parts):
        inside = tuple(
            slice(p.start - i.start, p.stop - i.start) for p, i in zip(part, index, strict=True)
        )
        mask = None if old is None else old[inside] != new[inside]
        facts, arrays = _encode(part, mask, new[inside])
        # Half a write is never used: the last part tells that all are there.
        yield {**facts, "label": int(label), "more": number + 1 < len(parts)}, arrays


def _encode(
    index: Region, mask: NDArray[np.bool_] | None, new: NDArray[Any]
) -> tuple[dict[str, object], dict[str, NDArray[np.uint8]]]:
    facts: dict[str, object] = {
        "start": [i.start for i in index],
        "stop": [i.stop for i in index],
    }
    arrays = {}
    if mask is not None and not mask.all():
        arrays["mask"] = _deflate(np.packbits(mask))
    values = new[mask] if mask is not None else new.reshape(-1)
    if values.size and (values == values[0]).all():
        facts["value"] = int(values[0])
    else:
        arrays["values"] = _deflate(values.astype(values.dtype.newbyteorder("<")))
    return facts, arrays


def decode_paint(
    facts: Mapping[str, Any],
    arrays: Mapping[str, NDArray[np.generic]],
    shape: Sequence[int],
    dtype: np.dtype[Any],
) -> Paint:
    """Check and return what a record tells of labels of this shape and type.

    Raises
    ------
    DamagedBlock
        If it does not fit.
    """
    index = _index(facts, shape)
    size = tuple(i.stop - i.start for i in index)
    pixels = math.prod(size)
    if pixels > MAX_PIXELS:
        raise DamagedBlock("too large")
    mask = None
    if "mask" in arrays:
        bits = np.frombuffer(_inflate(arrays["mask"], -(-pixels // 8)), np.uint8)
        mask = np.unpackbits(bits, count=pixels).view(np.bool_).reshape(size)
    label, limit = _integer(facts["label"]), np.iinfo(dtype)
    if "value" in facts:
        value = _integer(facts["value"])
        if not limit.min <= value <= limit.max:
            raise DamagedBlock("an id that does not fit")
        return Paint(index, mask, value, label, (facts, arrays))
    count = pixels if mask is None else int(np.count_nonzero(mask))
    raw = _inflate(arrays["values"], count * dtype.itemsize)
    values = np.frombuffer(raw, dtype.newbyteorder("<"))
    return Paint(index, mask, values, label, (facts, arrays))


def _parts(index: Region) -> Iterator[Region]:
    """Yield a region in pieces of at most :data:`MAX_PIXELS`, along its longest axis."""
    sides = [i.stop - i.start for i in index]
    if math.prod(sides) <= MAX_PIXELS:
        yield index
        return
    axis = sides.index(max(sides))
    middle = index[axis].start + sides[axis] // 2
    for part in (slice(index[axis].start, middle), slice(middle, index[axis].stop)):
        yield from _parts((*index[:axis], part, *index[axis + 1 :]))


def _index(facts: Mapping[str, Any], shape: Sequence[int]) -> Region:
    starts, stops = facts["start"], facts["stop"]
    if not len(starts) == len(stops) == len(shape):
        raise DamagedBlock("of another shape")
    for start, stop, size in zip(starts, stops, shape, strict=True):
        if not 0 <= _integer(start) < _integer(stop) <= size:
            raise DamagedBlock("outside the labels")
    return tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))


def _deflate(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.compress(array.tobytes(), _LEVEL), np.uint8)


def _inflate(packed: NDArray[np.generic], size: int) -> bytes:
    """Return exactly `size` bytes; no more than that is ever made."""
    machine = zlib.decompressobj()
    try:
        raw = machine.decompress(packed.tobytes(), size + 1)
    except zlib.error as error:
        raise DamagedBlock(str(error)) from error
    if len(raw) != size or not machine.eof:
        raise DamagedBlock("of another size")
    return raw


def _shape(sides: Any) -> tuple[int, ...]:  # noqa: ANN401 - whatever JSON held
    if not isinstance(sides, list) or len(sides) > MAX_AXES:
        raise DamagedBlock("no shape")
    if not all(0 < _integer(side) <= MAX_SIDE for side in sides):
        raise DamagedBlock("no size")
    return tuple(sides)


def _integer(value: Any) -> int:  # noqa: ANN401 - whatever JSON held
    if type(value) is not int:
        raise DamagedBlock("no whole number")
    return value


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON held
    if not isinstance(value, str):
        raise DamagedBlock("no text")
    return value
