"""What steps with a video model hand on: of each object its tile, its memory, and older traces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.tiling import Tile

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class Handed:
    """What a step hands on of one object.

    Attributes
    ----------
    tile : Tile
        Where the object was looked for: what is remembered of places is about this tile.
    memory : mapping of str to ndarray
        What the model remembers of it in the step's plane.
    past : tuple of (int, mapping of str to ndarray)
        What is still of use of planes before that one, and how far before it they lie.
    """

    tile: Tile
    memory: Arrays
    past: tuple[tuple[int, Arrays], ...] = ()


def pack(handed: Mapping[int, Handed], lasting: Collection[str]) -> dict[str, NDArray[np.generic]]:
    """Return what is handed on of all objects as a few arrays.

    Parameters
    ----------
    handed : mapping of int to Handed
        By object.
    lasting : collection of str
        The arrays of a memory that `past` holds.
    """
    if not handed:
        return {}
    past = [(n, distance, arrays) for n, h in handed.items() for distance, arrays in h.past]
    names = next(iter(handed.values())).memory
    corners = [
        (h.tile.box.y0, h.tile.box.x0, h.tile.box.y1, h.tile.box.x1) for h in handed.values()
    ]
    levels = [[h.tile.level] for h in handed.values()]
    packed: dict[str, NDArray[np.generic]] = {
        "ids": np.array(list(handed), dtype=np.int64),
        "tiles": np.concatenate([levels, corners], axis=1).astype(np.int64),
        "past.ids": np.array([n for n, _, _ in past], dtype=np.int64),
        "past.distances": np.array([d for _, d, _ in past], dtype=np.int64),
    }
    for name in names:
        packed[f"memory.{name}"] = np.stack([h.memory[name] for h in handed.values()])
    for name in lasting if past else ():
        packed[f"past.{name}"] = np.stack([arrays[name] for _, _, arrays in past])
    return packed


def unpack(carry: Arrays, label: int) -> Handed | None:
    """Return what a carry holds of one object, or None."""
    if not carry or not (carry["ids"] == label).any():
        return None
    row = np.flatnonzero(carry["ids"] == label)[0]
    level, *corners = np.asarray(carry["tiles"])[row].tolist()
    older = np.flatnonzero(carry["past.ids"] == label)
    distances = np.asarray(carry["past.distances"])[older].tolist()
    past = (_part(carry, "past.", i, skip={"ids", "distances"}) for i in older)
    return Handed(
        Tile(level, Box(*corners)),
        _part(carry, "memory.", row),
        tuple(zip(distances, past, strict=True)),
    )


def _part(carry: Arrays, prefix: str, row: np.intp, skip: Collection[str] = ()) -> Arrays:
    names = {n.removeprefix(prefix): a for n, a in carry.items() if n.startswith(prefix)}
    return {n: a[row] for n, a in names.items() if n not in skip}
