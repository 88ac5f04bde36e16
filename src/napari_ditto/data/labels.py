"""Label images: written by box, undone bit for bit, never an id used twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import LabelDelta, LabelStore, OverlapPolicy, Recorder, Source
from napari_ditto.data.regions import PlaneRegion, Region, bounding_box, plane_region
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    import zarr

    LabelArray = NDArray[Any] | zarr.Array[Any]

PLANE_LIMIT = 1 << 24
"""Largest plane in pixels that is kept as one plain, editable numpy array."""
MEMORY_LIMIT = 1 << 30
"""Largest numpy array in bytes; its maximum is found in about 50 ms."""


class ArrayLabels:
    """A label image over a numpy or zarr array, which others may edit at the same time.

    Parameters
    ----------
    data : ndarray or zarr.Array
        Any integer type and byte order; written in place, shared with the viewer.
    axes : sequence of str
        One name per array axis.
    shape : sequence of int, optional
        The shape of the image that the labels belong to, to be checked.

    Raises
    ------
    LabelsError
        If the array is no label image of this shape.

    Attributes
    ----------
    recorder : Recorder or None
        Is told of every write before it is made: the journal.
    """

    def __init__(
        self, data: LabelArray, axes: Sequence[str], shape: Sequence[int] | None = None
    ) -> None:
        _check_array(data)
        _check_shape(data.shape, tuple(axes), shape)
        self._data: Any = data
        self._dtype: np.dtype[np.integer] = np.dtype(data.dtype)
        self._axes = tuple(axes)
        self._lock = threading.RLock()
        self._reserved = 0
        self._scanned: int | None = None
        self.recorder: Recorder | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names."""
        return self._axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along :attr:`axes`."""
        return tuple(int(n) for n in self._data.shape)

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Integer type of the ids."""
        return self._dtype

    @property
    def data(self) -> LabelArray:
        """The array itself."""
        array: LabelArray = self._data
        return array

    def read(self, address: PlaneAddress, box: Box) -> NDArray[np.integer]:
        """Return a copy of the labels of a box, shape ``box.shape``, native byte order."""
        region = self._region(address, box)
        with self._lock:
            return self._fetch(region)

    def write(
        self,
        address: PlaneAddress,
        box: Box,
        mask: NDArray[np.bool_],
        label: int,
        overlap: OverlapPolicy = "keep",
    ) -> LabelDelta:
        """Write `label` where `mask` is true; return what changed.

        Parameters
        ----------
        address, box : PlaneAddress, Box
            Where; the box must lie inside the plane.
        mask : ndarray of bool, shape ``box.shape``
            The object.
        label : int
            Its id; 0 with "replace" erases.
        overlap : "keep" or "replace"
            Whether pixels of other objects stay or are taken over.

        Returns
        -------
        LabelDelta
            Its box is the smallest around the changed pixels, empty if none changed.

        Raises
        ------
        LabelsError
            If plane, mask or id do not fit, or the array is read-only.
        StoreError
            If the disk refuses; the box is put back as far as the disk allows.
        """
        region = self._region(address, box)
        self._check_label(label)
        if mask.shape != box.shape:
            raise LabelsError(f"mask of {mask.shape} for a box of {box.shape}", where=str(address))
        with self._lock:
            old = self._fetch(region)
            changed = mask.astype(bool) & (old != label)
            if overlap == "keep":
                changed &= old == 0
            delta = _delta(address, box, old, changed, label)
            self._put(delta, delta.old, delta.new)
        return delta

    def apply(self, delta: LabelDelta) -> None:
        """Redo a write; pixels that someone else has changed since stay as they are."""
        with self._lock:
            self._exchange(delta, delta.old, delta.new)

    def revert(self, delta: LabelDelta) -> None:
        """Undo a write; pixels that someone else has changed since stay as they are."""
        with self._lock:
            self._exchange(delta, delta.new, delta.old)

    def next_label(self) -> int:
        """Return an id above all that are or were in use.

        A numpy array up to :data:`MEMORY_LIMIT` is searched every time, so that ids painted by
        hand count. Larger arrays and zarr are searched once; :meth:`reserve` tells of others.
        Ids of undone objects are used again only when there are no others.

        Raises
        ------
        LabelsError
            If the type holds no higher id.
        """
        limit = int(np.iinfo(self.dtype).max)
        with self._lock:
            label = max(self._reserved, self._highest()) + 1
            if label > limit:
                label = self._highest(fresh=True) + 1
        if label > limit:
            raise LabelsError(
                f"no free id: {limit} is the last of {self.dtype.name}",
                todo="Convert the Labels layer to a wider integer type, or relabel it",
            )
        return label

    def reserve(self, label: int) -> None:
        """Never hand out ids up to `label` again: for ids that others have in use."""
        with self._lock:
            self._reserved = max(self._reserved, int(label))

    def release(self, label: int) -> None:
        """Hand out ids above `label` again: they are in use nowhere, as after a renumbering."""
        with self._lock:
            self._reserved, self._scanned = label, None

    def record(self, index: Region) -> None:
        """Tell the recorder what a region shows that someone else has written."""
        with self._lock:
            if self.recorder is not None:
                self.recorder.wrote(self, index, None, self._fetch_block(index), 0)

    # -- for subclasses ----------------------------------------------------------------------

    def _store(
        self, region: PlaneRegion, new: NDArray[np.integer], old: NDArray[np.integer]
    ) -> None:
        """Write rows and columns to the array, or put back `old`, which is there now."""
        try:
            self._write_block(region.index, region.to_block(new))
        except (OSError, StoreError):
            # Chunks before the one that failed are written already.
            with contextlib.suppress(OSError, StoreError):
                self._write_block(region.index, region.to_block(old))
            raise

    def _write_block(self, index: Region, block: NDArray[np.integer]) -> None:
        """Write a region of the array."""
        self._data[index] = block

    def _fetch_block(self, index: Region) -> NDArray[np.integer]:
        """Return a copy of a region of the array."""
        return np.array(self._data[index])

    def _highest(self, fresh: bool = False) -> int:
        """Return the largest id in the array, at least 0."""
        if isinstance(self._data, np.ndarray) and _in_memory(self._data):
            return max(0, int(self._data.max(initial=0)))
        if self._scanned is None or fresh:
            from napari_ditto.data.labelscan import largest_id

            self._scanned = largest_id(self._data)
        return self._scanned

    # -- private -----------------------------------------------------------------------------

    def _region(self, address: PlaneAddress, box: Box) -> PlaneRegion:
        return plane_region(self._axes, self.shape, address, box)

    def _fetch(self, region: PlaneRegion) -> NDArray[np.integer]:
        try:
            block = self._fetch_block(region.index).astype(self.dtype.newbyteorder("="), copy=False)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(
                f"the labels cannot be read: {error}",
                todo="Check that the store is still there and whole",
            ) from error
        return region.to_plane(block)

    def _exchange(
        self, delta: LabelDelta, before: NDArray[np.integer], after: NDArray[np.integer]
    ) -> None:
        """Turn `before` into `after` where they differ and `before` is what is there."""
        if delta.box.is_empty:
            return
        self._check_label(max(0, int(after.max())))
        current = self._fetch(self._region(delta.address, delta.box))
        if not np.array_equal(current, before):
            after = np.where((before != after) & (current == before), after, current)
        self._put(delta, current, after.astype(current.dtype, copy=False))

    def _put(
        self, delta: LabelDelta, current: NDArray[np.integer], new: NDArray[np.integer]
    ) -> None:
        """Write the box of `delta`, where `current` is now."""
        if delta.box.is_empty:
            return
        _check_writable(self._data)
        region = self._region(delta.address, delta.box)
        # First, so that a write which ends half-way can be finished from the journal.
        self._tell(region, current, new, delta.label)
        try:
            self.reserve(delta.label)
            self._store(region, new, current)
        except (OSError, StoreError) as error:
            self._tell(region, new, current, delta.label)
            if isinstance(error, StoreError):
                raise
            raise StoreError(
                f"the labels cannot be written: {error.strerror or error}",
                todo="Free some space, then accept again",
            ) from error

    def _tell(
        self, region: PlaneRegion, old: NDArray[np.integer], new: NDArray[np.integer], label: int
    ) -> None:
        if self.recorder is not None:
            blocks = region.to_block(old), region.to_block(new)
            self.recorder.wrote(self, region.index, *blocks, label)

    def _check_label(self, label: int) -> None:
        limit = int(np.iinfo(self.dtype).max)
        if not 0 <= label <= limit:
            raise LabelsError(
                f"id {label} does not fit labels of type {self.dtype.name} (1 to {limit})",
                todo="Convert the Labels layer to a wider integer type",
            )


def new_labels(
    source: Source, path: Path | None = None, dtype: DTypeLike = np.uint32
) -> LabelStore:
    """Return an empty label image for a source.

    Numpy while planes are at most 16 Mpx and the whole fits 1 GiB, and no path is given; a zarr
    pyramid otherwise (in a temporary folder without a path).
    """
    plane = int(np.prod(source.shape[-2:], dtype=object))
    nbytes = int(np.prod(source.shape, dtype=object)) * np.dtype(dtype).itemsize
    if path is None and plane <= PLANE_LIMIT and nbytes <= MEMORY_LIMIT:
        return ArrayLabels(np.zeros(source.shape, dtype), source.axes)
    from napari_ditto.data.pyramid_labels import PyramidLabels

    return PyramidLabels.create(path, source.shape, source.axes, dtype=dtype)


def _delta(
    address: PlaneAddress,
    box: Box,
    old: NDArray[np.integer],
    changed: NDArray[np.bool_],
    label: int,
) -> LabelDelta:
    tight = bounding_box(changed)
    before = old[tight.slices].copy()
    after = before.copy()
    after[changed[tight.slices]] = label
    return LabelDelta(address, tight.shift(box.y0, box.x0), before, after, label)


def _in_memory(data: NDArray[np.integer]) -> bool:
    return not isinstance(data, np.memmap) and data.nbytes <= MEMORY_LIMIT


def _is_zarr(data: object) -> TypeGuard[zarr.Array[Any]]:
    # By name, so that numpy users need not wait for zarr to be imported.
    return type(data).__module__.partition(".")[0] == "zarr" and hasattr(data, "shape")


def _check_array(data: object) -> None:
    if not isinstance(data, np.ndarray) and not _is_zarr(data):
        raise LabelsError(
            f"labels in a {type(data).__name__} cannot be written",
            todo="Choose a Labels layer over a numpy or zarr array, or let Ditto make a new one",
        )
    check_dtype(np.dtype(data.dtype))


def check_dtype(dtype: np.dtype[Any]) -> None:
    """Raise :class:`LabelsError` for a type that cannot hold ids."""
    if dtype.kind not in "iu":
        raise LabelsError(
            f"labels of type {dtype} have no room for ids",
            todo="Convert the Labels layer to an integer type such as uint32",
        )


def _check_shape(found: tuple[int, ...], axes: Sequence[str], wanted: Sequence[int] | None) -> None:
    if len(found) != len(axes):
        raise LabelsError(f"labels of shape {found} do not have the axes {', '.join(axes)}")
    if wanted is not None and tuple(found) != tuple(wanted):
        raise LabelsError(
            f"labels of shape {tuple(found)} for an image of {tuple(wanted)}",
            todo="Choose a Labels layer of the image's shape, or let Ditto make a new one",
        )


def _check_writable(data: LabelArray) -> None:
    read_only = not data.flags.writeable if isinstance(data, np.ndarray) else data.read_only
    if read_only:
        raise LabelsError(
            "the label image is read-only",
            todo="Duplicate the Labels layer and choose the copy as target",
        )
