"""Objects over the seams of a run: pairs of every two neighbours, then groups of all."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.grouping import Grouping, Groups
from napari_ditto.core.progress import Progress
from napari_ditto.core.seams import Matches, match, neighbours
from napari_ditto.engine.whole.context import RunContext, Stored, TileLost, key_of


def after(run: RunContext, number: int) -> list[int]:
    """Return the finished tiles after this one that it shares pixels with."""
    grid = run.plan.grid
    plane, place = divmod(number, run.plan.per_plane)
    row, column = divmod(place, grid.columns.count)
    first = plane * run.plan.per_plane
    near = (first + r * grid.columns.count + c for r, c in neighbours(grid, row, column))
    return [other for other in near if other in run.finished]


def pairs_key(digests: Mapping[int, str], number: int, others: Sequence[int]) -> str:
    """Return the key of a tile's pairs: they are made anew if it or a neighbour is."""
    return key_of("pairs", *(digests[n] for n in (number, *others)))


def pairs_steps(run: RunContext, number: int) -> Generator[Progress, None, Stored]:
    """Match the objects of a tile with those of the tiles after it."""
    own, arrays = run.tile(number), dict[str, NDArray[Any]]()
    others = after(run, number)
    digests = {number: own.digest}
    for other in others:
        yield Progress("pairs", 0, len(others))
        tile = run.tile(other)
        digests[other] = tile.digest
        if len(own.objects) and len(tile.objects):
            windows = run.plan.tile(number).window, run.plan.tile(other).window
            found = match(
                own.labels,
                tile.labels,
                windows,
                (own.objects.cut, tile.objects.cut),
                run.plan.plane_shape,
                run.margin,
            )
            arrays[f"{other}.first"], arrays[f"{other}.second"] = found.first, found.second
            arrays[f"{other}.scores"] = found.scores
    key = pairs_key(digests, number, others)
    return Stored(lambda: {"digest": run.folder.put("pairs", number, key, {}, arrays)})


def read_pairs(
    run: RunContext, digests: Mapping[int, str]
) -> Iterator[tuple[tuple[int, int], Matches]]:
    """Yield the pairs of all finished tiles."""
    for number in digests:
        others = after(run, number)
        record = run.folder.get("pairs", number, pairs_key(digests, number, others))
        if record is None:
            raise TileLost(f"the pairs of tile {number} are damaged")
        for other in others:
            if f"{other}.first" in record.arrays:
                first, second, scores = (
                    record.arrays[f"{other}.{name}"] for name in ("first", "second", "scores")
                )
                yield (number, other), Matches(first, second, scores)


def group_steps(
    run: RunContext, digests: Mapping[int, str]
) -> Generator[Progress, None, tuple[str, int]]:
    """Make groups of all tiles, store the ids of each row; return their key and their number."""
    numbers = sorted(digests)
    key = key_of("groups", *(digests[n] for n in numbers))
    known = run.folder.told("groups", len(_rows(run)), key)
    if known is not None and all(run.folder.check("groups", r, key) for r in _rows(run)):
        return key, int(known[0]["count"])
    placed = []
    for i, number in enumerate(numbers):
        if i % 64 == 0:
            yield Progress("merge", i, len(numbers), "looking at the seams")
        placed.append(run.placed(number))
    grouping = Grouping(placed, run.plan.grid)
    yield Progress("merge", len(numbers), len(numbers), "joining objects over the seams")
    groups = grouping.join(dict(read_pairs(run, digests)))
    write_rows(run, key, numbers, grouping, groups)
    return key, groups.count


def write_rows(
    run: RunContext, key: str, numbers: Sequence[int], grouping: Grouping, groups: Groups
) -> None:
    """Store the ids of the objects of all tiles, one record for each row of tiles."""
    columns = run.plan.grid.columns.count
    own = np.array(numbers, dtype=np.int64)
    for row in _rows(run):
        here = own[(own >= row * columns) & (own < (row + 1) * columns)]
        parts = [grouping.positions(int(n)) for n in here]
        at = np.concatenate([np.zeros(0, np.int64), *(np.arange(p.start, p.stop) for p in parts)])
        arrays = {
            "numbers": here,
            "first": np.cumsum([0, *(p.stop - p.start for p in parts)]),
            "ids": groups.ids[at],
            "modes": groups.modes[at],
        }
        run.folder.put("groups", row, key, {}, arrays)
    run.folder.put("groups", len(_rows(run)), key, {"count": groups.count}, {})


def rename_rows(run: RunContext, key: str, new_key: str, ids: NDArray[np.int64]) -> None:
    """Store the rows under a new key with other ids: ``ids[old]`` for each."""
    for row in _rows(run):
        record = run.folder.get("groups", row, key)
        if record is None:
            raise TileLost(f"the ids of row {row} are damaged")
        arrays = {**record.arrays, "ids": ids[record.arrays["ids"].astype(np.int64)]}
        run.folder.put("groups", row, new_key, {}, arrays)
    count = int(ids.max(initial=0))
    run.folder.put("groups", len(_rows(run)), new_key, {"count": count}, {})


def _rows(run: RunContext) -> range:
    return range(run.plan.grid.rows.count * len(run.plan.addresses))
