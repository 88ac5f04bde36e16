"""A box of an image as an image of its own, so that what works on a plane works on a part of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.data import planes
from napari_ditto.data.protocols import Source
from napari_ditto.errors import SourceError


def cropped(
    source: Source, address: PlaneAddress, box: Box, *, hold: bool = False
) -> CroppedSource:
    """Return a source of one level that is cut to a box along two axes, and whole along others.

    Its addresses are those of `source`, except that indices on a cut axis count from the box.

    Parameters
    ----------
    source : Source
        Where it is read from; its intensity window and pixel size are kept.
    address : PlaneAddress
        A plane that shows the two axes.
    box : Box
        Inside that plane, not empty, pixels of level 0.
    hold : bool
        Whether to read the box at once when any of it is wanted, and to keep the pixels of the
        last plane: tiles that overlap are then read once.

    Raises
    ------
    SourceError
        If the box is empty or reaches outside the plane.
    """
    planes.check_box(source, address, box, 0)
    if box.is_empty:
        raise SourceError("an empty box has no pixels", where=f"{source.name}, {address}")
    return CroppedSource(source, (address.rows, address.columns), box, _Held() if hold else None)


@dataclass(frozen=True, eq=False)
class CroppedSource:
    """See :func:`cropped`; the contract is :class:`~napari_ditto.data.protocols.Source`."""

    parent: Source
    displayed: tuple[str, str]
    box: Box
    _held: _Held | None

    @property
    def name(self) -> str:
        """For messages: the parent's name."""
        return self.parent.name

    @property
    def axes(self) -> tuple[str, ...]:
        """The parent's axes."""
        return self.parent.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """The box along the displayed axes, all of the parent along the others."""
        sides = dict(zip(self.displayed, self.box.shape, strict=True))
        sizes = zip(self.axes, self.parent.shape, strict=True)
        return tuple(sides.get(name, size) for name, size in sizes)

    @property
    def scale(self) -> tuple[float, ...]:
        """Physical pixel size along `axes`, 1 where unknown."""
        return getattr(self.parent, "scale", (1.0,) * len(self.axes))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the parent's raw pixels; AttributeError if it has no single one."""
        return cast(np.dtype[Any], cast(Any, self.parent).dtype)

    @property
    def channels(self) -> int:
        """The parent's number of channels."""
        return self.parent.channels

    @property
    def window(self) -> Window:
        """The parent's intensity window."""
        return self.parent.window

    @property
    def levels(self) -> int:
        """One: the finest."""
        return 1

    def plane(
        self, index: Mapping[str, int] | None = None, displayed: tuple[str, str] | None = None
    ) -> PlaneAddress:
        """Return a checked address; missing indices are 0, default axes are the last two."""
        return planes.resolve_plane(self, index, displayed)

    def plane_shape(self, address: PlaneAddress, level: int = 0) -> tuple[int, int]:
        """Height and width of a plane."""
        planes.check_level(self, level)
        planes.check_address(self, address)
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return sizes[address.rows], sizes[address.columns]

    def factor(self, address: PlaneAddress, level: int) -> tuple[float, float]:
        """One: there is the finest level only."""
        planes.check_level(self, level)
        planes.check_address(self, address)
        return 1.0, 1.0

    def read(self, address: PlaneAddress, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the windowed pixels of a box, shape (h, w, 3) in [0, 1]."""
        planes.check_box(self, address, box, level)
        if self._held is not None and (address.rows, address.columns) == self.displayed:
            return self._held.read(self.parent, address, self.box, box)
        start = dict(zip(self.displayed, (self.box.y0, self.box.x0), strict=True))
        moved = box.shift(start.get(address.rows, 0), start.get(address.columns, 0))
        index = {name: i + start.get(name, 0) for name, i in address.fixed}
        return self.parent.read(address.with_index(index), moved)

    def pixels(self, address: PlaneAddress) -> NDArray[np.float32]:
        """Return all of a plane as it is held: one channel, or three; not to be written to."""
        planes.check_address(self, address)
        whole = Box.of_shape(self.plane_shape(address))
        if self._held is None or (address.rows, address.columns) != self.displayed:
            return self.read(address, whole)
        return self._held.get(self.parent, address, self.box)

    def with_window(self, window: Window) -> CroppedSource:
        """Return the same box with another window; nothing is read."""
        held = None if self._held is None else _Held()
        return replace(self, parent=self.parent.with_window(window), _held=held)


@dataclass(eq=False)
class _Held:
    """The pixels of one plane's box, read by whichever thread wants them first."""

    _of: PlaneAddress | None = None
    _pixels: NDArray[np.float32] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(
        self, parent: Source, address: PlaneAddress, whole: Box, box: Box
    ) -> NDArray[np.float32]:
        pixels = self.get(parent, address, whole)[box.slices]
        # One channel is held once and repeated here.
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels.copy()

    def get(self, parent: Source, address: PlaneAddress, whole: Box) -> NDArray[np.float32]:
        """Return the pixels of a plane, one channel or three."""
        with self._lock:
            if self._pixels is None or self._of != address:
                read = parent.read(address, whole)
                self._pixels = read[..., :1].copy() if parent.channels == 1 else read
                self._of = address
            return self._pixels
