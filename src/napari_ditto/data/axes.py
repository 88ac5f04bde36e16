"""Names for axes: given, from the metadata, or by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_ditto.errors import SourceError

CHANNEL_NAMES = ("c", "s")
"""Axes that are read together: ``c`` as in OME, ``s`` (samples) as tifffile names RGB."""


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of an array.

    Attributes
    ----------
    names : tuple of str
        One per array axis, with the channel axis.
    channel : int or None
        Position of the channel axis.
    rgb : bool
        Whether the channels are the red, green, blue (and alpha) of one picture.
    guessed : bool
        Whether the channel axis was told by its size alone.
    """

    names: tuple[str, ...]
    channel: int | None = None
    rgb: bool = False
    guessed: bool = False


def name_axes(
    shape: Sequence[int],
    axes: str | Sequence[str] | None,
    channel_axis: int | str | None,
    where: str,
) -> Axes:
    """Return the named axes of an array of `shape`.

    Parameters
    ----------
    shape : sequence of int
        The array's shape, channel axis included.
    axes : str or sequence of str or None
        ``"tzyx"`` or ``["t", "z", "y", "x"]``; may leave out the channel axis if `channel_axis`
        is given as a number. None takes ``..., t, z, y, x`` from the right.
    channel_axis : int or str or None
        Position or name of the channel axis; None looks for ``c``, then ``s`` in `axes`, and
        without axes for a last axis of 3 or 4 on a larger picture, as napari does.

    Raises
    ------
    SourceError
        If the names do not fit the shape.
    """
    ndim = len(shape)
    if isinstance(channel_axis, str):
        names = _given(axes, ndim, where) if axes is not None else default_names(ndim)
        if channel_axis not in names:
            raise SourceError(f"no axis is called {channel_axis}", where=f"{where}: {names}")
        channel: int | None = names.index(channel_axis)
    elif channel_axis is not None:
        channel = _position(channel_axis, ndim, where)
        names = _with_channel(axes, channel, ndim, where)
    elif axes is not None:
        names = _given(axes, ndim, where)
        channel = next((names.index(n) for n in CHANNEL_NAMES if n in names), None)
    else:
        guessed = _looks_rgb(shape)
        channel = ndim - 1 if guessed else None
        names = _with_channel(None, channel, ndim, where)
        return _checked(Axes(names, channel, guessed, guessed), where)
    rgb = channel == ndim - 1 and shape[channel] in (3, 4)
    return _checked(Axes(names, channel, rgb), where)


def default_names(ndim: int) -> tuple[str, ...]:
    """Return ``(..., "d1", "d0", "t", "z", "y", "x")`` cut to `ndim` from the right."""
    extra = tuple(f"d{i}" for i in reversed(range(max(0, ndim - 4))))
    return (*extra, "t", "z", "y", "x")[-ndim:] if ndim else ()


def _looks_rgb(shape: Sequence[int]) -> bool:
    # The rule of napari's guess_rgb, so that both take the same arrays for pictures.
    return len(shape) > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 30


def _position(channel_axis: int, ndim: int, where: str) -> int:
    if not -ndim <= channel_axis < ndim:
        raise SourceError(f"there is no axis {channel_axis}", where=f"{where}, {ndim} axes")
    return channel_axis % ndim


def _with_channel(
    axes: str | Sequence[str] | None, channel: int | None, ndim: int, where: str
) -> tuple[str, ...]:
    if channel is None:
        return default_names(ndim)
    if axes is not None and len(axes) == ndim:
        return _given(axes, ndim, where)
    rest = default_names(ndim - 1) if axes is None else _given(axes, ndim - 1, where)
    return (*rest[:channel], "c", *rest[channel:])


def _given(axes: str | Sequence[str], ndim: int, where: str) -> tuple[str, ...]:
    names = tuple(str(name) for name in axes)
    if len(names) != ndim:
        raise SourceError(
            f"{len(names)} axis names ({', '.join(names)}) for {ndim} axes", where=where
        )
    return names


def _checked(axes: Axes, where: str) -> Axes:
    if len(set(axes.names)) != len(axes.names) or not all(axes.names):
        raise SourceError(f"axis names must differ: {', '.join(axes.names)}", where=where)
    if len(axes.names) - (axes.channel is not None) < 2:
        raise SourceError(
            "an image needs two axes besides its channels",
            where=f"{where}: {', '.join(axes.names)}",
        )
    return axes
