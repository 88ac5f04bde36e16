"""What is measured: a label image with the size of its pixels, and the channels of its image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_ditto.data.arrays import Index, RawArray
from napari_ditto.data.axes import default_names
from napari_ditto.data.compose import ComposedSource
from napari_ditto.data.grid import PixelGrid, read_grid, unit_name
from napari_ditto.data.label_reading import wrap_labels
from napari_ditto.data.labels import check_dtype
from napari_ditto.data.opening import open_path
from napari_ditto.data.source import ArraySource, is_source, open_source
from napari_ditto.errors import LabelsError

_SHORT = {
    "pixel": "px", "meter": "m", "centimeter": "cm", "millimeter": "mm", "micrometer": "µm",
    "nanometer": "nm", "angstrom": "Å", "inch": "in", "second": "s", "minute": "min", "hour": "h",
    "millisecond": "ms",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Subject:
    """A label image whose pixels have a size.

    Attributes
    ----------
    labels : RawArray
        Whole numbers, read box by box.
    axes : tuple of str
        One name per axis, rows and columns last.
    scale : tuple of float
        Size of a pixel along each axis.
    units : tuple of str
        Of the scale, short: ``"µm"``, ``"px"``.
    """

    labels: RawArray
    axes: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel of the image, read box by box of the labels."""

    raw: RawArray
    axes: tuple[str, ...]
    at: tuple[str, int] | None

    def read(self, axes: Sequence[str], box: Index) -> NDArray[Any]:
        """Return raw pixels, in the order of the labels' axes."""
        where = dict(zip(axes, box, strict=True))
        if self.at is not None:
            where[self.at[0]] = slice(self.at[1], self.at[1] + 1)
        block = self.raw.read(tuple(where[name] for name in self.axes))
        if self.at is not None:
            block = block.take(0, self.axes.index(self.at[0]))
        names = [name for name in self.axes if self.at is None or name != self.at[0]]
        return block.transpose([names.index(name) for name in axes])


@contextmanager
def open_subject(
    labels: object,
    axes: str | Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    units: Sequence[object] | None = None,
) -> Iterator[Subject]:
    """Open labels for measuring, closed at the end; see :func:`measuring.measure`.

    Raises
    ------
    LabelsError
        If they are no label image, or scale and units do not fit their axes.
    SourceError
        If they cannot be read.
    """
    with ExitStack() as stack:
        found, names, grid, where = labels, tuple(axes) if axes else None, PixelGrid(), "labels"
        if isinstance(labels, str | Path):
            where, path = str(labels), Path(labels).expanduser()
            opened = open_path(path)
            stack.callback(opened.close or (lambda: None))
            found, names, grid = opened.levels[0], names or opened.axes, read_grid(path)
        elif hasattr(labels, "data") and hasattr(labels, "axes"):
            found, names = labels.data, names or tuple(labels.axes)
        raw = wrap_labels(found, where)
        if raw.dtype.kind != "b":
            check_dtype(raw.dtype)
        names = names or default_names(len(raw.shape))
        told = grid.on(names)
        subject = Subject(
            raw,
            names,
            tuple(float(size) for size in (told["scale"] if scale is None else scale)),
            tuple(map(short_unit, told["units"] if units is None else units)),
        )
        _check(subject, where)
        yield subject


def short_unit(unit: object) -> str:
    """Return the sign of a unit, ``"px"`` where there is none."""
    name = unit_name(unit)
    return _SHORT.get(name, name or "px")


@contextmanager
def open_channels(image: object, subject: Subject) -> Iterator[list[Channel]]:
    """Open the channels of an image of the labels; none without one.

    Raises
    ------
    LabelsError
        If the image has other axes or another size than the labels.
    SourceError
        If it cannot be opened.
    """
    if image is None:
        yield []
        return
    if is_source(image):
        _check_fits(image, subject)
        yield list(_channels_of(image))
        return
    is_file = isinstance(image, str | Path)
    opened = open_source(image, **({} if is_file else _axes_of(image, subject)))
    try:
        _check_fits(opened, subject)
        yield list(_channels_of(opened))
    finally:
        if isinstance(opened, ArraySource):
            opened.close()


def _axes_of(image: object, subject: Subject) -> dict[str, Any]:
    """Return how to open an array: the labels' axes, and one of channels where there is a rest."""
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != len(subject.axes) + 1:
        return {"axes": subject.axes}
    place = next((i for i in (0, -1) if _without(shape, i) == subject.labels.shape), 0)
    return {"axes": subject.axes, "channel_axis": place}


def _without(shape: tuple[int, ...], place: int) -> tuple[int, ...]:
    sides = list(shape)
    del sides[place]
    return tuple(sides)


def _channels_of(source: Any) -> Iterator[Channel]:  # noqa: ANN401  # any kind of source
    if isinstance(source, ComposedSource):
        for part in source.parts:
            yield from _channels_of(part)
    elif isinstance(source, ArraySource):
        axes, raw = source.pyramid.axes, source.pyramid.stored[0]
        if axes.channel is None:
            yield Channel(raw, axes.names, None)
        else:
            name = axes.names[axes.channel]
            for number in range(raw.shape[axes.channel]):
                yield Channel(raw, axes.names, (name, number))
    else:
        raise LabelsError("intensities cannot be measured in an image of this kind")


def _check_fits(source: Any, subject: Subject) -> None:  # noqa: ANN401  # any kind of source
    if source.axes != subject.axes or tuple(source.shape) != subject.labels.shape:
        raise LabelsError(
            f"labels {subject.labels.shape} along {', '.join(subject.axes)} for an image "
            f"{tuple(source.shape)} along {', '.join(source.axes)}",
            where=source.name,
            todo="Measure labels in the image that they were made for",
        )


def _check(subject: Subject, where: str) -> None:
    count = len(subject.labels.shape)
    if count < 2 or {len(subject.axes), len(subject.scale), len(subject.units)} != {count}:
        raise LabelsError(
            f"labels of shape {subject.labels.shape} with axes {', '.join(subject.axes)}, "
            f"scale {subject.scale} and units {', '.join(subject.units)}",
            where=where,
            todo="Give one value for each axis",
        )
    if len(set(subject.axes)) < count or not all(0 < s < float("inf") for s in subject.scale):
        raise LabelsError(
            f"axes {', '.join(subject.axes)} with scale {subject.scale} make no sense", where=where
        )
