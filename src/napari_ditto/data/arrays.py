"""One way to read a box of any array: numpy, dask, zarr, or whatever slices like them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.zarrs import check_zarr, metadata_file
from napari_ditto.errors import DittoError, SourceError

if TYPE_CHECKING:
    import dask.array
    import zarr

Index = tuple[slice, ...]
Fetch = Callable[[Index], object]


class Sliceable(Protocol):
    """What numpy, dask, zarr, tensorstore and HDF5 arrays have in common."""

    @property
    def shape(self) -> Sequence[int]:
        """Size along each axis."""
        ...

    def __getitem__(self, index: Index, /) -> object:
        """Return a box."""
        ...


@dataclass(frozen=True, eq=False)
class RawArray:
    """An array that is read box by box; nothing is read before :meth:`read`.

    Attributes
    ----------
    shape : tuple of int
        Size along each axis.
    dtype : dtype
        Boolean, integer or real floating, any byte order.
    chunks : tuple of int or None
        Largest chunk along each axis, None where any box costs the same.
    fetch : callable
        Takes one slice (start, stop, no step) per axis, returns that box.
    where : str
        For messages: the file or layer.
    grid : tuple of int or None
        Sides of the chunks, None unless all but the last along an axis are equal.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None
    fetch: Fetch
    where: str
    grid: tuple[int, ...] | None = None

    def read(self, index: Index) -> NDArray[Any]:
        """Return the box `index`; raises :class:`SourceError` whatever went wrong below."""
        try:
            block = np.asarray(self.fetch(index))
        except DittoError:
            raise
        except Exception as error:
            raise SourceError(
                f"cannot read the image: {_first_line(error)}",
                where=f"{self.where}, {_text(index)}",
                todo="Check that the file or store is still there and whole, then try again.",
            ) from error
        if block.shape != tuple(s.stop - s.start for s in index):
            raise SourceError(
                f"the image gave {block.shape} for a box", where=f"{self.where}, {_text(index)}"
            )
        return block


def wrap(data: object, where: str) -> RawArray:
    """Return `data` as a :class:`RawArray`; raises :class:`SourceError` if it is no image."""
    shape, dtype = _shape(data, where), _dtype(data, where)
    array = cast("Sliceable", data)
    chunks, fetch = _chunks(data, len(shape)), array.__getitem__
    if is_from("dask", data):
        fetch = _dask_fetch(cast("dask.array.Array", data))
    elif is_from("zarr", data):
        check_zarr(cast("zarr.Array[Any]", data), where)
        fetch = _zarr_fetch(cast("zarr.Array[Any]", data))
    grid = chunks if chunks and _is_regular(data) and all(chunks) else None
    return RawArray(shape, dtype, chunks, fetch, where, grid)


def is_from(package: str, data: object) -> bool:
    """Whether `data` is an object of a package, told without importing it."""
    return type(data).__module__.partition(".")[0] == package


def _dask_fetch(data: dask.array.Array) -> Fetch:
    def fetch(index: Index) -> object:
        # callbacks=(): dask swaps its global callbacks (napari's opportunistic cache) in and out
        # without a lock, so that two threads could lose them; our tiles are cached elsewhere.
        return data[index].compute(scheduler="threads", callbacks=())

    return fetch


def _zarr_fetch(data: zarr.Array[Any]) -> Fetch:
    anchor = metadata_file(data)

    def fetch(index: Index) -> object:
        block = data[index]
        if anchor is not None:
            # zarr fills in for chunks that it cannot find, so a store that has gone (an
            # unmounted drive) would read as zeros.
            anchor.stat()
        return block

    return fetch


def _shape(data: object, where: str) -> tuple[int, ...]:
    shape = getattr(data, "shape", None)
    if shape is None or not hasattr(data, "dtype"):
        raise SourceError(
            f"{type(data).__name__} is not an image",
            where=where,
            todo="Give a path, a numpy, dask or zarr array, or a list of them as levels.",
        )
    try:
        return tuple(int(size) for size in shape)
    except (TypeError, ValueError) as error:
        raise SourceError(
            "the size of the image is not known",
            where=where,
            todo="Call compute_chunk_sizes() on a dask array first.",
        ) from error


def _dtype(data: object, where: str) -> np.dtype[Any]:
    kind = getattr(data, "dtype", None)
    try:
        # tensorstore hides the numpy dtype one level down.
        dtype: np.dtype[Any] = np.dtype(getattr(kind, "numpy_dtype", kind))
    except TypeError as error:
        raise SourceError(f"cannot read pixels of type {kind}", where=where) from error
    if dtype.kind == "c":
        raise SourceError(
            f"complex pixels ({dtype}) have no single brightness",
            where=where,
            todo="Give np.abs(image) or its real part.",
        )
    if dtype.kind not in "biuf":
        raise SourceError(
            f"cannot read pixels of type {dtype}",
            where=where,
            todo="Give booleans, integers or real floats.",
        )
    return dtype


def _chunks(data: object, ndim: int) -> tuple[int, ...] | None:
    """Return the largest chunk along each axis; dask lists all of them, zarr and HDF5 one."""
    chunks = getattr(data, "chunks", None)
    if not isinstance(chunks, Sequence) or len(chunks) != ndim:
        return None
    return tuple(int(max(c)) if isinstance(c, Sequence) else int(c) for c in chunks)


def _is_regular(data: object) -> bool:
    """Whether chunks start at multiples of their size."""
    listed = [c for c in getattr(data, "chunks", ()) if isinstance(c, Sequence)]
    return all(set(sides[:-1]) <= {sides[0]} and sides[-1] <= sides[0] for sides in listed)


def _text(index: Index) -> str:
    return "[" + ", ".join(f"{s.start}:{s.stop}" for s in index) + "]"


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
