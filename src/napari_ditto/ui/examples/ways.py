"""Which axes can be followed, and what a sensible way is: pure functions over a source."""

from __future__ import annotations

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.data.protocols import Source
from napari_ditto.ui.examples.follow_jobs import Way
from napari_ditto.ui.examples.session import NO_AXIS, Kind
from napari_ditto.ui.session import Choice

TIME_NAMES = frozenset({"t", "time", "frame", "frames"})


def axis_choices(source: Source, address: PlaneAddress) -> tuple[Choice, ...]:
    """Return the axes that are not shown and longer than one plane, then two of them together."""
    sizes = dict(zip(source.axes, source.shape, strict=True))
    axes = [axis for axis in source.axes if axis in address.index and sizes[axis] > 1]
    single = [Choice(axis, axis, f"{sizes[axis]} planes") for axis in reversed(axes)]
    if len(axes) < 2:
        return tuple(single)
    pair = axes[-2:]
    note = f"{sizes[pair[0]] * sizes[pair[1]]} planes in one run"
    return (*single, Choice(",".join(pair), " and ".join(pair), note))


def first_axis(choices: tuple[Choice, ...], now: str) -> str:
    """Return the axis to begin with: the present one if it can stay."""
    keys = [choice.key for choice in choices]
    return now if now in keys else (keys[0] if keys else NO_AXIS)


def usual_kind(axis: str) -> Kind:
    """Return what is usually followed along an axis."""
    return "cells" if axis in TIME_NAMES else "objects"


def length(source: Source, axis: str) -> int:
    """Return the number of planes along the first axis of a choice."""
    name = axis.split(",")[0]
    return int(source.shape[source.axes.index(name)]) if name else 0


def make_way(source: Source, address: PlaneAddress, axis: str, first: int, last: int) -> Way:
    """Return the way from plane `first` to `last` of the first axis, both included."""
    axes = tuple(axis.split(","))
    within = {name: (0, int(source.shape[source.axes.index(name)])) for name in axes}
    within[axes[0]] = (min(first, last), max(first, last) + 1)
    return Way(axes, address, within)
