"""Checks of plane addresses, boxes and levels that every source shares."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import Source
from napari_ditto.errors import SourceError


def resolve_plane(
    source: Source, index: Mapping[str, int] | None, displayed: tuple[str, str] | None
) -> PlaneAddress:
    """Return the address for two displayed axes and indices on the others (missing ones 0)."""
    rows, columns = displayed or (source.axes[-2], source.axes[-1])
    index = dict(index or {})
    others = [name for name in source.axes if name not in (rows, columns)]
    for name in index:
        if name not in others:
            state = "is displayed" if name in source.axes else "is not an axis of the image"
            raise SourceError(
                f"axis {name} {state}", where=source.name, todo=f"Axes: {', '.join(source.axes)}."
            )
    fixed = tuple((name, _whole(index.get(name, 0), name)) for name in others)
    address = PlaneAddress(rows, columns, fixed)
    check_address(source, address)
    return address


def check_address(source: Source, address: PlaneAddress) -> None:
    """Raise :class:`SourceError` unless the address names a plane of this source."""
    names = (address.rows, address.columns, *(name for name, _ in address.fixed))
    if sorted(names) != sorted(source.axes):
        raise SourceError(
            f"there is no {address}", where=f"{source.name}, axes {', '.join(source.axes)}"
        )
    sizes = dict(zip(source.axes, source.shape, strict=True))
    for name, i in address.fixed:
        if not 0 <= i < sizes[name]:
            raise SourceError(
                f"{name}={i} is outside the image",
                where=source.name,
                todo=f"Give {name} from 0 to {sizes[name] - 1}.",
            )


def check_level(source: Source, level: int) -> None:
    """Raise :class:`SourceError` unless the source has this level."""
    if not 0 <= level < source.levels:
        raise SourceError(f"there is no level {level}", where=f"{source.name}, {source.levels}")


def check_box(source: Source, address: PlaneAddress, box: Box, level: int) -> None:
    """Raise :class:`SourceError` unless the box lies in the plane at this level."""
    plane = Box.of_shape(source.plane_shape(address, level))
    if not plane.covers(box):
        raise SourceError(
            f"rows {box.y0}:{box.y1}, columns {box.x0}:{box.x1} reach outside the plane",
            where=f"{source.name}, {address}, level {level}: {plane.height} x {plane.width}",
        )


def pick_channels(
    count: int, channels: Sequence[int] | None, where: str
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the channels to read, at most three, and a note if some are left out unasked."""
    if channels is None and count:
        note = f"Of {count} channels only 0, 1 and 2 are read; choose others by channels=."
        return tuple(range(min(3, count))), (note,) if count > 3 else ()
    picks = tuple(_whole(c, "channel") for c in channels or ())
    if not 1 <= len(picks) <= 3 or not all(0 <= c < count for c in picks):
        raise SourceError(
            f"cannot read channels {list(picks)}",
            where=where,
            todo=f"Choose one to three of {count} channels, counted from 0.",
        )
    return picks, ()


def _whole(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise SourceError(f"the index on axis {name} must be whole, got {value!r}") from error
