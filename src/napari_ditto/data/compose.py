"""Up to three single-channel sources as the channels of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.data import planes
from napari_ditto.data.origin import Origin
from napari_ditto.data.protocols import Source
from napari_ditto.data.sampling import WindowLike, as_window
from napari_ditto.errors import SourceError


@dataclass(frozen=True, eq=False)
class ComposedSource:
    """Two or three single-channel sources read as the channels of one.

    Attributes
    ----------
    name : str
        For messages.
    parts : tuple of Source
        One channel each, same axes and shape.
    levels : int
        Leading levels at which all parts have the same size.
    notes : tuple of str
        Choices made while opening that a user should know.
    """

    name: str
    parts: tuple[Source, ...]
    levels: int
    notes: tuple[str, ...] = ()

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names."""
        return self.parts[0].axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Level-0 size along `axes`."""
        return self.parts[0].shape

    @property
    def scale(self) -> tuple[float, ...]:
        """Physical pixel size along `axes`, 1 where unknown."""
        return getattr(self.parts[0], "scale", (1.0,) * len(self.axes))

    @property
    def origin(self) -> Origin | None:
        """How another process opens the same image; None if that cannot be told of all parts."""
        told = [getattr(part, "origin", None) for part in self.parts]
        parts = tuple(origin for origin in told if origin is not None)
        return Origin(name=self.name, parts=parts) if len(parts) == len(told) else None

    @property
    def channels(self) -> int:
        """Number of parts."""
        return len(self.parts)

    @property
    def window(self) -> Window:
        """One pair of limits per part."""
        windows = [part.window for part in self.parts]
        return Window(tuple(w.low[0] for w in windows), tuple(w.high[0] for w in windows))

    def plane(
        self, index: Mapping[str, int] | None = None, displayed: tuple[str, str] | None = None
    ) -> PlaneAddress:
        """Return a checked address; missing indices are 0, default axes are the last two."""
        return planes.resolve_plane(self, index, displayed)

    def plane_shape(self, address: PlaneAddress, level: int = 0) -> tuple[int, int]:
        """Height and width of a plane at a level."""
        planes.check_level(self, level)
        return self.parts[0].plane_shape(address, level)

    def factor(self, address: PlaneAddress, level: int) -> tuple[float, float]:
        """Level-0 pixels per pixel of `level`, along the plane's rows and columns."""
        planes.check_level(self, level)
        return self.parts[0].factor(address, level)

    def read(self, address: PlaneAddress, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the windowed pixels of a box, shape (h, w, 3) in [0, 1]."""
        planes.check_box(self, address, box, level)
        image = np.zeros((*box.shape, 3), dtype=np.float32)
        for i, part in enumerate(self.parts):
            image[..., i] = part.read(address, box, level)[..., 0]
        return image

    def with_window(self, window: WindowLike) -> ComposedSource:
        """Return the same image with another window; nothing is read."""
        checked = as_window(window, self.channels)
        pairs = zip(checked.low, checked.high, strict=True)
        changed = (
            p.with_window(Window.from_pairs([w])) for p, w in zip(self.parts, pairs, strict=True)
        )
        return replace(self, parts=tuple(changed))

    def close(self) -> None:
        """Close the parts' files."""
        for part in self.parts:
            close = getattr(part, "close", None)
            if close is not None:
                close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def compose(
    sources: Sequence[Source], where: str, channels: Sequence[int] | None = None
) -> ComposedSource:
    """Return the chosen sources as one; raises :class:`SourceError` if they do not fit."""
    picks, notes = planes.pick_channels(len(sources), channels, where)
    parts = tuple(sources[i] for i in picks)
    first = parts[0]
    for part in parts:
        if part.channels != 1:
            raise SourceError(
                f"{part.name} has {part.channels} channels, one is needed",
                where=where,
                todo="Choose one of its channels by open_source(..., channels=[0]).",
            )
        if (part.axes, part.shape) != (first.axes, first.shape):
            raise SourceError(
                f"{part.name} {part.shape} does not fit {first.name} {first.shape}",
                where=where,
                todo="Channels need the same axes and size.",
            )
    for part in parts:
        notes += getattr(part, "notes", ())
    return ComposedSource(where, parts, _common_levels(parts), notes)


def _common_levels(parts: Sequence[Source]) -> int:
    level = 1
    while level < min(p.levels for p in parts) and len({_sides(p, level) for p in parts}) == 1:
        level += 1
    return level


def _sides(source: Source, level: int) -> tuple[tuple[int, int], ...]:
    pairs = [(name, source.axes[-1]) for name in source.axes[:-1]]
    return tuple(source.plane_shape(source.plane(displayed=pair), level) for pair in pairs)
