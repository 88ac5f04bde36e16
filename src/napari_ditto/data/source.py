"""Any image as a :class:`~napari_ditto.data.protocols.Source`: opened, checked, read lazily."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.data import planes
from napari_ditto.data.arrays import is_from, wrap
from napari_ditto.data.axes import Axes, name_axes
from napari_ditto.data.compose import ComposedSource, compose
from napari_ditto.data.opening import Opened, open_path, open_zarr_object
from napari_ditto.data.origin import Origin, origin_of
from napari_ditto.data.protocols import Source
from napari_ditto.data.pyramid import Pyramid, stored_factors
from napari_ditto.data.sampling import WindowLike, as_window, sample_window
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import zarr


def open_source(
    data: object,
    axes: str | Sequence[str] | None = None,
    channel_axis: int | str | None = None,
    window: WindowLike | None = None,
    name: str | None = None,
    channels: Sequence[int] | None = None,
    scale: Sequence[float] | None = None,
) -> ArraySource | ComposedSource:
    """Open any image; no pixel is read yet (picture files excepted).

    Parameters
    ----------
    data : array, sequence of arrays, path or Source
        A numpy, dask or zarr array, or anything that slices like one; levels of a pyramid,
        finest first; an OME-Zarr or zarr folder, a TIFF, PNG or JPEG; a zarr group.
    axes : str or sequence of str, optional
        ``"tzyx"``; by default from the metadata, else ``..., t, z, y, x`` from the right.
        ``c`` (or ``s``) is the channel axis.
    channel_axis : int or str, optional
        Position or name of the channel axis. Without it and without `axes`, a last axis of 3 or
        4 on a picture larger than 30 x 30 is taken for colours, which ``notes`` then says.
    window : Window, (low, high) or one such pair per channel, optional
        Raw values shown as black and white; by default percentiles of a small sample, taken
        when first needed.
    name : str, optional
        For messages; by default the path.
    channels : sequence of int, optional
        One to three channels to read; by default the first three.
    scale : sequence of float, optional
        Physical size of a pixel along the axes but the channels', 1 where not known; by default
        from the metadata.

    Returns
    -------
    Source
        An :class:`ArraySource`, a context manager that closes its file.

    Raises
    ------
    SourceError
        If this is no image that can be read, in one line.
    """
    if is_source(data):
        checked = data if window is None else data.with_window(as_window(window, data.channels))
        return cast("ArraySource | ComposedSource", checked)
    where = name or (str(data) if isinstance(data, str | Path) else type(data).__name__)
    if isinstance(data, Sequence) and len(data) and all(map(is_source, data)):
        return open_source(compose(data, where, channels), window=window)
    opened = _open(data, where)
    resource = _Resource(opened.close)
    try:
        pyramid, notes = _pyramid(opened, axes, channel_axis, channels, where)
        fixed = None if window is None else as_window(window, max(1, len(pyramid.picks)))
        sizes = _scale(pyramid, opened) if scale is None else _given_scale(scale, pyramid, where)
    except SourceError:
        resource.close()
        raise
    origin, notes = origin_of(data, where, pyramid, sizes), (*opened.notes, *notes)
    return ArraySource(where, pyramid, sizes, notes, _Windowing(fixed), resource, origin)


def compose_sources(
    parts: Sequence[object],
    axes: str | Sequence[str] | None = None,
    name: str | None = None,
    channels: Sequence[int] | None = None,
) -> ComposedSource:
    """Return one source whose channels are the given single-channel images.

    Parameters
    ----------
    parts : sequence of Source, array or path
        Same axes and shape, one channel each; what is not a source yet is opened with `axes`.
    axes : str or sequence of str, optional
        As in :func:`open_source`.
    name : str, optional
        For messages.
    channels : sequence of int, optional
        Which parts to use, one to three; by default the first three, which ``notes`` says if
        there are more.

    Raises
    ------
    SourceError
        If the parts do not fit together.
    """
    sources = [p if is_source(p) else open_source(p, axes) for p in parts]
    return compose(sources, name or "composed channels", channels)


def is_source(data: object) -> TypeGuard[Source]:
    """Whether `data` is a source already; ``isinstance`` would ask it for its window."""
    return hasattr(type(data), "with_window") and hasattr(type(data), "plane_shape")


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An image in arrays; see :class:`~napari_ditto.data.protocols.Source` for the contract.

    Attributes
    ----------
    name : str
        For messages.
    pyramid : Pyramid
        The arrays and how their axes are used.
    scale : tuple of float
        Physical pixel size along `axes`, 1 where unknown.
    notes : tuple of str
        Choices made while opening that a user should know.
    origin : Origin or None
        How another process opens the same image; None for arrays of this process.
    """

    name: str
    pyramid: Pyramid
    scale: tuple[float, ...]
    notes: tuple[str, ...]
    _windowing: _Windowing
    _resource: _Resource
    origin: Origin | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names without the channel axis."""
        return self.pyramid.names

    @property
    def shape(self) -> tuple[int, ...]:
        """Level-0 size along `axes`."""
        return tuple(self.pyramid.side(name, 0) for name in self.axes)

    @property
    def channels(self) -> int:
        """Number of raw channels that are read."""
        return max(1, len(self.pyramid.picks))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the raw pixels."""
        return self.pyramid.stored[0].dtype

    @property
    def levels(self) -> int:
        """Number of levels, stored and virtual."""
        return self.pyramid.levels

    @property
    def stored_levels(self) -> int:
        """Number of levels that are stored."""
        return len(self.pyramid.stored)

    @property
    def window(self) -> Window:
        """The intensity window; sampled on first use, then fixed."""
        return self._windowing.get(self.pyramid)

    def plane(
        self, index: Mapping[str, int] | None = None, displayed: tuple[str, str] | None = None
    ) -> PlaneAddress:
        """Return a checked address; missing indices are 0, default axes are the last two."""
        return planes.resolve_plane(self, index, displayed)

    def plane_shape(self, address: PlaneAddress, level: int = 0) -> tuple[int, int]:
        """Height and width of a plane at a level."""
        planes.check_level(self, level)
        planes.check_address(self, address)
        return self.pyramid.side(address.rows, level), self.pyramid.side(address.columns, level)

    def factor(self, address: PlaneAddress, level: int) -> tuple[float, float]:
        """Level-0 pixels per pixel of `level`, along the plane's rows and columns."""
        planes.check_level(self, level)
        planes.check_address(self, address)
        factor = self.pyramid.factor
        return factor(address.rows, level), factor(address.columns, level)

    def read(self, address: PlaneAddress, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the windowed pixels of a box, shape (h, w, 3) in [0, 1]."""
        planes.check_box(self, address, box, level)
        if box.is_empty:
            return np.zeros((*box.shape, 3), dtype=np.float32)
        self._resource.check(self.name)
        pixels = self.window.apply(self.pyramid.read(address, box, level))
        image = np.empty((*box.shape, 3), dtype=np.float32)
        image[..., : self.channels] = pixels
        image[..., self.channels :] = pixels if self.channels == 1 else 0
        return image

    def with_window(self, window: WindowLike) -> ArraySource:
        """Return the same image with another window; nothing is read, the file is shared."""
        return replace(self, _windowing=_Windowing(as_window(window, self.channels)))

    def close(self) -> None:
        """Close the file, also for the sources made from this one; further reads fail."""
        self._resource.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Windowing:
    """A window that is given, or sampled once by whichever thread needs it first."""

    def __init__(self, window: Window | None) -> None:
        self._window, self._lock = window, threading.Lock()

    def get(self, pyramid: Pyramid) -> Window:
        with self._lock:
            if self._window is None:
                self._window = sample_window(pyramid)
            return self._window


class _Resource:
    """An open file, closed on demand or with the last source that uses it."""

    def __init__(self, close: Callable[[], None] | None) -> None:
        self._finalizer = weakref.finalize(self, close or (lambda: None))

    def check(self, where: str) -> None:
        if not self._finalizer.alive:
            raise SourceError("the image has been closed", where=where, todo="Open it again.")

    def close(self) -> None:
        self._finalizer()


def _open(data: object, where: str) -> Opened:
    if isinstance(data, str | Path):
        if "://" in str(data):
            raise SourceError(
                "remote addresses are not opened by name",
                where=where,
                todo="Open it with zarr or dask and give the array.",
            )
        return open_path(Path(data).expanduser())
    if is_from("zarr", data):
        return open_zarr_object(cast("zarr.Group", data), where)
    if hasattr(data, "shape") and not hasattr(data, "shapes"):  # napari's MultiScaleData has both
        return Opened((data,))
    if isinstance(data, Sequence) and not isinstance(data, bytes) and len(data):
        return Opened(tuple(data))
    raise SourceError(
        f"{type(data).__name__} is not an image",
        where=where,
        todo="Give a path, a numpy, dask or zarr array, or a list of them as levels.",
    )


def _pyramid(
    opened: Opened,
    axes: str | Sequence[str] | None,
    channel_axis: int | str | None,
    channels: Sequence[int] | None,
    where: str,
) -> tuple[Pyramid, tuple[str, ...]]:
    stored = tuple(wrap(level, where) for level in opened.levels)
    shapes = [raw.shape for raw in stored]
    named = name_axes(shapes[0], axes or opened.axes, channel_axis, where)
    _check_levels(shapes, named, where)
    picks, notes = _picks(shapes[0], named, channels, where)
    return Pyramid(stored, named, stored_factors(shapes, opened.scales), picks), notes


def _check_levels(shapes: Sequence[tuple[int, ...]], named: Axes, where: str) -> None:
    for name, size in zip(named.names, shapes[0], strict=True):
        if size == 0:
            raise SourceError(f"the image is empty: axis {name} has length 0", where=where)
    for finer, coarser in pairwise(shapes):
        shrinks = len(finer) == len(coarser) and all(
            1 <= c <= f for f, c in zip(finer, coarser, strict=True)
        )
        if not shrinks or finer == coarser or _channels(finer, named) != _channels(coarser, named):
            raise SourceError(
                f"level shapes must shrink and keep their axes: {finer}, then {coarser}",
                where=where,
                todo="Give levels finest first; for channels use compose_sources.",
            )


def _channels(shape: Sequence[int], named: Axes) -> int:
    return 1 if named.channel is None else shape[named.channel]


def _picks(
    shape: Sequence[int], named: Axes, channels: Sequence[int] | None, where: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if named.channel is None:
        planes.pick_channels(1, channels, where)
        return (), ()
    count = shape[named.channel]
    notes = []
    if named.guessed:
        notes.append(f"The last axis of {count} is read as colours; give axes= to change that.")
    if named.rgb and channels is None:
        if count == 4:
            notes.append("The alpha channel is left out.")
        return (0, 1, 2), tuple(notes)
    picks, more = planes.pick_channels(count, channels, where)
    return picks, (*notes, *more)


def _scale(pyramid: Pyramid, opened: Opened) -> tuple[float, ...]:
    sizes = opened.scales[0] if opened.scales else (1.0,) * len(pyramid.axes.names)
    return tuple(s for i, s in enumerate(sizes) if i != pyramid.axes.channel)


def _given_scale(scale: Sequence[float], pyramid: Pyramid, where: str) -> tuple[float, ...]:
    sizes = tuple(float(s) for s in scale)
    if len(sizes) != len(pyramid.names) or not all(0 < s < float("inf") for s in sizes):
        raise SourceError(
            f"a scale of {sizes} for the axes {', '.join(pyramid.names)}",
            where=where,
            todo="Give a positive pixel size for each axis",
        )
    return sizes
