"""A movie's label frames, read one at a time, and the store that their tracks are written to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    Frame = NDArray[np.integer]

AXES = ("t", "z", "y", "x")


class Frames(Sequence["Frame"]):
    """Frames along one axis of a label array that is read when a frame is asked for.

    Parameters
    ----------
    labels : array or iterable of ndarray
        An array (numpy, dask, zarr) of all frames, or frames one by one, which are kept.
    axes : sequence of str, optional
        One name per axis of the array; the last of t, z, y, x by default.
    axis : str
        Which of them is time.

    Raises
    ------
    LabelsError
        If there is no such axis, or the frames differ in shape.
    """

    def __init__(
        self,
        labels: NDArray[Any] | Iterable[Frame],
        axes: Sequence[str] | None = None,
        axis: str = "t",
    ) -> None:
        self._data: Any = labels if hasattr(labels, "shape") else _stack(labels)
        self.shape = tuple(int(n) for n in self._data.shape)
        self.axes = _axes(len(self.shape), axes)
        if len(self.shape) != len(self.axes) or axis not in self.axes[:-2]:
            raise LabelsError(
                f"labels of shape {self.shape} have no axis {axis} before rows and columns",
                todo="Name the axes, such as axes='tyx'",
            )
        self.axis = axis
        self._at = self.axes.index(axis)

    def __len__(self) -> int:
        return self.shape[self._at]

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | Sequence[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        where = (*(slice(None) for _ in range(self._at)), index)
        return np.asarray(self._data[where])


def new_store(frames: Frames, out: Path | None) -> LabelStore:
    """Return an empty label image of the frames' shape: numpy, or a new OME-Zarr at `out`."""
    from napari_ditto.data.labels import ArrayLabels
    from napari_ditto.data.pyramid_labels import PyramidLabels

    if out is not None:
        return PyramidLabels.create(out, frames.shape, frames.axes)
    return ArrayLabels(np.zeros(frames.shape, dtype=np.uint32), frames.axes)


def write_frame(
    store: LabelStore, axes: Sequence[str], axis: str, number: int, frame: NDArray[np.uint32]
) -> list[PlaneAddress]:
    """Write one frame, plane by plane, to an empty part of a store; return its planes."""
    box = Box.of_shape(frame.shape[-2:])
    others = [name for name in axes[:-2] if name != axis]
    written = []
    for index in np.ndindex(*frame.shape[:-2]):
        at = {axis: number, **dict(zip(others, index, strict=True))}
        address = PlaneAddress(axes[-2], axes[-1], tuple((name, at[name]) for name in axes[:-2]))
        plane = frame[index]
        if plane.any():
            delta = LabelDelta(address, box, np.zeros_like(plane), plane, int(plane.max()))
            store.apply(delta)
        written.append(address)
    return written


def _axes(count: int, axes: Sequence[str] | None) -> tuple[str, ...]:
    if axes is not None:
        return tuple(axes)
    return AXES[:1] + AXES[len(AXES) - count + 1 :] if 3 <= count <= len(AXES) else ()


def _stack(frames: Iterable[Frame]) -> Frame:
    kept = [np.asarray(frame) for frame in frames]
    if len({frame.shape for frame in kept}) != 1:
        raise LabelsError("the frames are none, or differ in shape")
    return np.stack(kept)
