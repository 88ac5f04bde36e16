"""What a user asks to be propagated, checked: axes, bounds, labelled planes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.routes import MOST_AXES, Index
from napari_ditto.data.protocols import Source
from napari_ditto.errors import LabelsError, SourceError

Examples = Mapping[int, NDArray[np.generic]] | Mapping[Index, NDArray[np.generic]]
Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Job:
    """Labelled planes and the planes that their labels are to be carried to.

    Attributes
    ----------
    source : Source
        The image.
    base : PlaneAddress
        The plane at index 0 of the axes walked.
    axes : tuple of str
        The axes walked.
    bounds : tuple of range
        The planes along each.
    anchors : mapping of index to ndarray of uint32, shape (height, width)
        The labelled planes.
    """

    source: Source
    base: PlaneAddress
    axes: tuple[str, ...]
    bounds: tuple[range, ...]
    anchors: Mapping[Index, NDArray[np.uint32]]

    @property
    def ids(self) -> tuple[int, ...]:
        """All objects, rising."""
        found = {int(n) for labels in self.anchors.values() for n in np.unique(labels)}
        return tuple(sorted(found - {0}))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each axis walked."""
        return tuple(self.source.shape[self.source.axes.index(name)] for name in self.axes)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of every plane."""
        return self.source.plane_shape(self.base)

    def address(self, index: Index) -> PlaneAddress:
        """Return the plane at an index."""
        return self.base.with_index(dict(zip(self.axes, index, strict=True)))


def read_job(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str],
    plane: PlaneAddress | Mapping[str, int] | None,
    within: Range | Mapping[str, Range] | None,
) -> Job:
    """Return a checked job; see :func:`napari_ditto.engine.propagate.propagate`.

    Raises
    ------
    SourceError, LabelsError
        What cannot be done, in one line.
    """
    axes, base, bounds = read_walk(source, axis, plane, within)
    shape = source.plane_shape(base)
    anchors = {}
    for key, labels in examples.items():
        index = read_index(key, axes, bounds)
        anchors[index] = as_labels(labels, shape, f"example at {told_index(axes, index)}")
    if not any(labels.any() for labels in anchors.values()):
        raise LabelsError(
            "no example shows an object",
            where=source.name,
            todo="Label an object in one plane first",
        )
    return Job(source, base, axes, bounds, anchors)


def read_walk(
    source: Source,
    axis: str | Sequence[str],
    plane: PlaneAddress | Mapping[str, int] | None,
    within: Range | Mapping[str, Range] | None,
) -> tuple[tuple[str, ...], PlaneAddress, tuple[range, ...]]:
    """Return the axes walked, the plane at index 0 of them and the planes along each, checked."""
    axes = (axis,) if isinstance(axis, str) else tuple(axis)
    base = _base(source, axes, plane)
    sizes = [source.shape[source.axes.index(name)] for name in axes]
    if max(sizes) == 1:
        raise SourceError(
            f"axis {', '.join(axes)} has one plane only", where=source.name, todo="Choose another"
        )
    bounds = _bounds(axes, sizes, within)
    return axes, base, bounds


def told_index(axes: Sequence[str], index: Index) -> str:
    """Return an index for people, e.g. ``t=0, z=3``."""
    return ", ".join(f"{name}={i}" for name, i in zip(axes, index, strict=True))


def as_labels(labels: object, shape: tuple[int, int], where: str) -> NDArray[np.uint32]:
    """Return a plane of ids; a bool mask is one object of id 1.

    Raises
    ------
    LabelsError
        If they are of another shape, or no ids.
    """
    found = np.asarray(labels)
    if found.shape != shape:
        raise LabelsError(f"labels of shape {found.shape} for a plane of {shape}", where=where)
    if found.dtype.kind not in "iub":
        raise LabelsError(
            f"labels of type {found.dtype} are no ids",
            where=where,
            todo="Convert them to an integer type",
        )
    if int(found.min(initial=0)) < 0 or int(found.max(initial=0)) > np.iinfo(np.uint32).max:
        raise LabelsError(
            f"ids from {found.min()} to {found.max()}, but they must be from 1 to 4294967295",
            where=where,
        )
    return found.astype(np.uint32)


def _base(
    source: Source, axes: tuple[str, ...], plane: PlaneAddress | Mapping[str, int] | None
) -> PlaneAddress:
    if not 1 <= len(axes) <= MOST_AXES or len(set(axes)) < len(axes):
        raise SourceError(f"labels go along one to {MOST_AXES} different axes, not {axes}")
    displayed = None
    if isinstance(plane, PlaneAddress):
        displayed, plane = (plane.rows, plane.columns), plane.index
    start = dict.fromkeys(axes, 0)
    return source.plane({**(plane or {}), **start}, displayed)


def _bounds(
    axes: tuple[str, ...], sizes: Sequence[int], within: Range | Mapping[str, Range] | None
) -> tuple[range, ...]:
    wanted = within if isinstance(within, Mapping) else {axes[0]: within} if within else {}
    if within and not isinstance(within, Mapping) and len(axes) > 1:
        raise SourceError("give the range of each axis", todo="within={'t': (0, 5), 'z': (2, 9)}")
    for name in wanted:
        if name not in axes:
            raise SourceError(f"a range of {name}, but the axes walked are {', '.join(axes)}")
    return tuple(_bound(n, size, wanted.get(n)) for n, size in zip(axes, sizes, strict=True))


def _bound(name: str, size: int, wanted: Range | None) -> range:
    start, stop = (0, size) if wanted is None else (operator.index(v) for v in wanted)
    if not 0 <= start < stop <= size:
        raise SourceError(
            f"the range {name}={start}:{stop} is empty or outside the image",
            todo=f"Give {name} from 0 to {size}, the end not included",
        )
    return range(start, stop)


def read_index(key: object, axes: tuple[str, ...], bounds: Sequence[range]) -> Index:
    """Return where an example is, checked."""
    parts = key if isinstance(key, tuple) else (key,)
    try:
        index = tuple(operator.index(i) for i in parts)
    except TypeError:
        index = ()
    if len(index) != len(axes):
        raise LabelsError(f"an example at {key!r}, not at an index on {', '.join(axes)}")
    for name, i, bound in zip(axes, index, bounds, strict=True):
        if i not in bound:
            raise LabelsError(
                f"the example at {name}={i} is outside {name}={bound.start}:{bound.stop}",
                todo="Widen the range, or leave the example out",
            )
    return index
