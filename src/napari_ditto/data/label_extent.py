"""Where one object of a label image lies, without a look at the whole plane if it can be helped."""

from __future__ import annotations

from collections.abc import Iterator

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import bounding_box
from napari_ditto.data.labels import PLANE_LIMIT
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import LabelsError

ROOM = 64
LARGEST = 1 << 26
"""Most pixels of a plane that are held in memory to edit one object."""


def label_extent(
    store: LabelStore, address: PlaneAddress, shape: tuple[int, int], label: int, near: Box
) -> Box:
    """Return the box of an object: of all of it, or on a large plane, of its parts near a place.

    On a plane past :data:`PLANE_LIMIT` the search goes on for as long as it finds more, and over
    the whole plane only if there is nothing near.

    Parameters
    ----------
    store, address
        Where.
    shape : (int, int)
        Of the plane.
    label : int
        The object.
    near : Box
        Where to look first.

    Returns
    -------
    Box
        Empty if the plane does not show the object.

    Raises
    ------
    LabelsError
        If the object is too large to be held in memory.
    """
    whole = Box.of_shape(shape)
    for start in (whole,) if whole.area <= PLANE_LIMIT else (near, *_strips(shape)):
        found = _grown(store, address, shape, label, start)
        if not found.is_empty:
            return found
    return Box(0, 0, 0, 0)


def _grown(
    store: LabelStore, address: PlaneAddress, shape: tuple[int, int], label: int, start: Box
) -> Box:
    window = with_room(start, (ROOM, ROOM), shape)
    while True:
        _check_size(window, label)
        inner = bounding_box(store.read(address, window) == label)
        if inner.is_empty:
            return inner
        found = inner.shift(window.y0, window.x0)
        room = (max(ROOM, found.height), max(ROOM, found.width))
        wider = window.union(with_room(found, room, shape))
        if wider == window or not _touches(found, window, shape):
            return found
        window = wider


def with_room(box: Box, room: tuple[int, int], shape: tuple[int, int]) -> Box:
    """Return a box with so many rows and columns on each side of it that lie on the plane."""
    dy, dx = room
    grown = Box(box.y0 - dy, box.x0 - dx, box.y1 + dy, box.x1 + dx)
    return grown.intersect(Box.of_shape(shape))


def _touches(found: Box, window: Box, shape: tuple[int, int]) -> bool:
    """Whether an object reaches an edge of the window that is no edge of the plane."""
    return (
        (found.y0 == window.y0 > 0)
        or (found.x0 == window.x0 > 0)
        or (found.y1 == window.y1 < shape[0])
        or (found.x1 == window.x1 < shape[1])
    )


def _strips(shape: tuple[int, int]) -> Iterator[Box]:
    height = max(1, LARGEST // 4 // max(1, shape[1]))
    for y in range(0, shape[0], height):
        yield Box(y, 0, min(y + height, shape[0]), shape[1])


def _check_size(window: Box, label: int) -> None:
    if window.area > LARGEST:
        raise LabelsError(
            f"label {label} covers too much of the plane ({window.area / 1e6:.0f} Mpx)",
            todo="Choose a smaller object",
        )
