"""Label images changed in several places at once: all of it or nothing, and undone bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import bounding_box
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import StoreError

Labels = NDArray[np.integer]

PACKED_PIXELS = 1 << 14
"""Changes of larger boxes are kept compressed."""


class PackedDelta(LabelDelta):
    """A change whose pixels are kept compressed: labels shrink to a hundredth, or less.

    Renumbering a whole image is one step of undo, and is not worth twice the image's memory.
    """

    def __init__(self, delta: LabelDelta) -> None:
        keep = object.__setattr__
        for name in ("address", "box", "label"):
            keep(self, name, getattr(delta, name))
        keep(self, "_types", (delta.old.dtype, delta.new.dtype))
        keep(self, "_packed", (_pack(delta.old), _pack(delta.new)))

    @property
    def old(self) -> Labels:
        """Labels before."""
        return self._unpacked(0)

    @property
    def new(self) -> Labels:
        """Labels after."""
        return self._unpacked(1)

    @property
    def nbytes(self) -> int:
        """Memory that the change takes."""
        return sum(map(len, self._packed))

    _packed: tuple[bytes, bytes]
    _types: tuple[np.dtype[np.integer], np.dtype[np.integer]]

    def _unpacked(self, which: int) -> Labels:
        plain = _packer().decode(self._packed[which])
        return np.frombuffer(plain, self._types[which]).reshape(self.box.shape)


def _pack(labels: Labels) -> bytes:
    return bytes(_packer().encode(np.ascontiguousarray(labels)))


def _packer() -> Any:  # noqa: ANN401  # numcodecs has no types
    """Return a compressor of half the size and a quarter of the time of zlib, on labels."""
    from numcodecs import Blosc  # type: ignore[import-untyped]

    return Blosc("zstd", 1, Blosc.NOSHUFFLE)


def write_plane(
    store: LabelStore, address: PlaneAddress, box: Box, old: Labels, new: Labels
) -> LabelDelta:
    """Turn `old` into `new` in a box; pixels that someone has changed meanwhile stay."""
    tight = bounding_box(old != new)
    # Not cast to the store's type: it must see ids that do not fit.
    before, after = old[tight.slices].copy(), new[tight.slices].copy()
    where = tight.shift(box.y0, box.x0)
    # The store keeps its ids in mind in both directions.
    highest = max(int(before.max(initial=0)), int(after.max(initial=0)))
    delta = LabelDelta(address, where, before, after, highest)
    store.apply(delta)
    return delta if where.area < PACKED_PIXELS else PackedDelta(delta)


@contextlib.contextmanager
def all_or_nothing(store: LabelStore) -> Iterator[list[LabelDelta]]:
    """Collect changes; if one of them fails, or the job is cancelled, take the others back."""
    from napari_ditto.data.journal_recorder import together

    deltas: list[LabelDelta] = []
    with together(store):
        try:
            yield deltas
        except BaseException:
            for delta in reversed(deltas):
                # The first error is the one to tell; the disk may refuse this, too.
                with contextlib.suppress(StoreError):
                    store.revert(delta)
            raise


def among(labels: Labels, ids: Collection[int]) -> NDArray[np.bool_]:
    """Return where a label is one of `ids`."""
    limits = np.iinfo(labels.dtype)
    wanted = sorted(i for i in ids if limits.min <= i <= limits.max)
    if len(wanted) > _FEW:
        return np.isin(labels, np.array(wanted, dtype=labels.dtype))
    found = np.zeros(labels.shape, dtype=bool)
    for label in wanted:
        found |= labels == label
    return found


_FEW = 8
"""So many ids are looked for one by one: faster than a sort."""
