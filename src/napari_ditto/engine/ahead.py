"""Tiles that will be asked about next, encoded before they are: those in view, then those around.

Nothing is encoded that a budget does not allow, and every tile is a place to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from time import monotonic

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.predict import Pyramid

MOST_IN_VIEW = 400
"""A view that holds more tiles is looked at on a coarser level, where boxes of its size are."""

SLOW_SECONDS = 2.0
"""A tile that takes longer ends it: the next click would have to wait for so long."""

Corner = tuple[int, int]


def ahead_level(pyramid: Pyramid, size: int, view: Box) -> int:
    """Return the finest level on which a view holds few tiles.

    Parameters
    ----------
    pyramid : Pyramid
        The levels of the plane.
    size : int
        Side of a tile.
    view : Box
        What is on show, pixels at level 0.
    """
    for level in range(len(pyramid.shapes)):
        top, left, bottom, right = _range(pyramid, size, view, level)
        if (bottom - top + 1) * (right - left + 1) <= MOST_IN_VIEW:
            return level
    return len(pyramid.shapes) - 1


def ahead(pyramid: Pyramid, size: int, view: Box) -> Iterator[Tile]:
    """Yield all tiles of one level: those in view from the middle outwards, then those around.

    Tiles around come in rings, of each ring the nearest to the middle first. Nothing is listed
    before it is needed, so a plane of any size costs nothing.

    Parameters
    ----------
    pyramid, size, view
        As for :func:`ahead_level`, which chooses the level.
    """
    level = ahead_level(pyramid, size, view)
    grid, factor = Grid(pyramid.shapes[level], size, level=level), pyramid.factors[level]
    middle = view.center[0] / factor[0], view.center[1] / factor[1]
    top, left, bottom, right = _range(pyramid, size, view, level)
    inside = [(r, c) for r in range(top, bottom + 1) for c in range(left, right + 1)]
    yield from _nearest_first(grid, inside, middle)
    last = (grid.rows.count - 1, grid.columns.count - 1)
    for width in range(1, max(grid.rows.count, grid.columns.count)):
        ring = _ring((top - width, left - width), (bottom + width, right + width), last)
        yield from _nearest_first(grid, ring, middle)


def ahead_steps(
    encoder: TileEncoder,
    address: PlaneAddress,
    view: Box,
    budget: int,
    go_on: Callable[[], bool] = lambda: True,
) -> Generator[Progress, None, bool]:
    """Encode tiles that are not yet, in the order of :func:`ahead`.

    Parameters
    ----------
    encoder : TileEncoder
        Of one image and model.
    address : PlaneAddress
        The plane.
    view : Box
        What is on show, pixels at level 0.
    budget : int
        How many tiles the view may have ready at most, those that are ready already included.
    go_on : callable
        Asked before each tile.

    Returns
    -------
    bool
        Whether there is no more to do for this view; False where `go_on` has ended it.

    Yields
    ------
    Progress
        Before each tile, a place to cancel; ``partial`` tells how many are ready.
    """
    pyramid = Pyramid.of(encoder.source, address)
    tiles = list(islice(ahead(pyramid, encoder.tile_size, view), budget))
    with encoder.reading_ahead((address, tile) for tile in tiles):
        for ready, tile in enumerate(tiles):
            if encoder.knows(address, tile):
                continue
            if not go_on():
                return False
            yield Progress("encode", ready, budget, "encoding ahead", ready)
            start = monotonic()
            drain(encoder.embed_steps(address, [tile]))
            if monotonic() - start > SLOW_SECONDS:
                break
    return True


def _range(pyramid: Pyramid, size: int, view: Box, level: int) -> tuple[int, int, int, int]:
    """Return the first and last row and column of tiles in whose cores the view lies."""
    grid, (fy, fx) = Grid(pyramid.shapes[level], size, level=level), pyramid.factors[level]
    rows, columns = grid.rows, grid.columns
    return (
        rows.nearest(view.y0 / fy),
        columns.nearest(view.x0 / fx),
        rows.nearest((view.y1 - 1) / fy),
        columns.nearest((view.x1 - 1) / fx),
    )


def _ring(first: Corner, last: Corner, most: Corner) -> list[Corner]:
    """Return the positions on a rectangle's border that are in the grid."""
    (top, left), (bottom, right) = first, last
    rows = range(max(top, 0), min(bottom, most[0]) + 1)
    columns = range(max(left + 1, 0), min(right - 1, most[1]) + 1)
    sides = [(row, column) for column in (left, right) if 0 <= column <= most[1] for row in rows]
    ends = [(row, column) for row in (top, bottom) if 0 <= row <= most[0] for column in columns]
    return sides + ends


def _nearest_first(
    grid: Grid, positions: Sequence[Corner], middle: tuple[float, float]
) -> list[Tile]:
    tiles = [grid.tile(row, column) for row, column in positions]
    return sorted(tiles, key=lambda tile: _apart(tile.box.center, middle))


def _apart(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
