"""A movie's label frames, read one at a time, and the store that their tracks are written to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.arrays import Sliceable, wrap
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    Frame = NDArray[np.integer]

AXES = ("t", "z", "y", "x")


class Frames(Sequence["Frame"]):
    """Frames along one axis of a label array, read when a frame is asked for.

    Parameters
    ----------
    labels : array or iterable of ndarray
        An array (numpy, dask, zarr) of all frames, or frames one by one, which are kept.
    axes : sequence of str, optional
        One name per axis of the array; ``tyx`` or ``tzyx`` by default.
    axis : str
        Which of them is time.
    within : (int, int), optional
        The frames that count, half-open; all by default.

    Raises
    ------
    LabelsError
        If there is no such axis or range, or the frames differ in shape.
    """

    def __init__(
        self,
        labels: Sliceable | Iterable[Frame],
        axes: Sequence[str] | None = None,
        axis: str = "t",
        within: tuple[int, int] | None = None,
    ) -> None:
        self._raw = wrap(labels if hasattr(labels, "shape") else _stack(labels), "labels")
        self.shape = self._raw.shape
        self.axes = _axes(len(self.shape), axes)
        if len(self.shape) != len(self.axes) or axis not in self.axes[:-2]:
            raise LabelsError(
                f"labels of shape {self.shape} have no axis {axis} before rows and columns",
                todo="Name the axes, such as axes='tyx'",
            )
        self.axis = axis
        self._at = self.axes.index(axis)
        self.start, self._stop = within or (0, self.shape[self._at])
        if not 0 <= self.start < self._stop <= self.shape[self._at]:
            raise LabelsError(
                f"no frames {self.start} to {self._stop} among {self.shape[self._at]}"
            )

    def __len__(self) -> int:
        return self._stop - self.start

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        at = self.start + index
        where = [slice(0, n) for n in self.shape]
        where[self._at] = slice(at, at + 1)
        frame: Frame = self._raw.read(tuple(where)).squeeze(self._at)
        return frame

    def planes(self, index: int) -> list[tuple[tuple[int, ...], PlaneAddress]]:
        """Return the planes of a frame: where they are in it, and in the whole."""
        others = [name for name in self.axes[:-2] if name != self.axis]
        sizes = [self.shape[self.axes.index(name)] for name in others]
        return [
            (at, self.address(index, dict(zip(others, at, strict=True))))
            for at in np.ndindex(*sizes)
        ]

    def address(self, index: int, others: Mapping[str, int]) -> PlaneAddress:
        """Return a plane of a frame by its indices on the other axes."""
        known = {**others, self.axis: self.start + index}
        fixed = tuple((name, known[name]) for name in self.axes[:-2])
        return PlaneAddress(self.axes[-2], self.axes[-1], fixed)


def new_store(shape: Sequence[int], axes: Sequence[str], out: Path | str | None) -> LabelStore:
    """Return an empty label image: a new OME-Zarr at `out`, or numpy while that fits 1 GiB."""
    from napari_ditto.data.labels import MEMORY_LIMIT, ArrayLabels
    from napari_ditto.data.pyramid_labels import PyramidLabels

    nbytes = math.prod(shape) * np.dtype(np.uint32).itemsize
    if out is None and nbytes <= MEMORY_LIMIT:
        return ArrayLabels(np.zeros(tuple(shape), dtype=np.uint32), axes)
    return PyramidLabels.create(None if out is None else Path(out), shape, axes)


def write_plane(store: LabelStore, address: PlaneAddress, labels: NDArray[np.integer]) -> None:
    """Put labels in the place of what a plane of a store holds."""
    box = Box.of_shape(labels.shape)
    old = store.read(address, box)
    if (old != labels).any():
        new = labels.astype(store.dtype)
        store.apply(LabelDelta(address, box, old, new, int(labels.max())))


def _axes(count: int, axes: Sequence[str] | None) -> tuple[str, ...]:
    if axes is not None:
        return tuple(axes)
    return AXES[:1] + AXES[len(AXES) - count + 1 :] if 3 <= count <= len(AXES) else ()


def _stack(frames: Iterable[Frame]) -> Frame:
    kept = [np.asarray(frame) for frame in frames]
    if len({frame.shape for frame in kept}) != 1:
        raise LabelsError("the frames are none, or differ in shape")
    return np.stack(kept)
