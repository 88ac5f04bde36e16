"""Objects of single planes that become one: over slices by overlap, over frames by tracking."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.engine.joining import LEAST_OVERLAP, join_tables
from napari_ditto.engine.lineages import name_tracks
from napari_ditto.engine.links import Nodes, Rules, link_frames
from napari_ditto.engine.observation import FrameObjects, Indices, Shared, observe_steps
from napari_ditto.engine.segments import LATE, join_segments
from napari_ditto.engine.whole.context import Blocks, RunContext, Stored, TileLost, key_of

GAP = 1
"""In how many slices on end an object may be missing."""

FRAMES = 2
"""In how many frames on end."""

Rows = NDArray[np.int64]


def stacks(run: RunContext) -> list[list[int]]:
    """Return the planes along the axis that is joined, one list for each place on the others."""
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, address in enumerate(run.plan.addresses):
        others = tuple(pair for pair in address.fixed if pair[0] != run.plan.join)
        groups.setdefault(others, []).append(number)
    return list(groups.values())


def items(run: RunContext) -> int:
    """Return how many items the stage "join" has."""
    return len(stacks(run)) * _blocks(run).count if run.plan.join == "z" else 0


def join_item_steps(run: RunContext, item: int, key: str) -> Generator[Progress, None, Stored]:
    """Measure the objects in one block of all slices of a stack, and who lies on whom."""
    stack, number = divmod(item, _blocks(run).count)
    planes, box = stacks(run)[stack], _blocks(run).box(number)
    objects, shared = [np.zeros((0, 5), np.int64)], [np.zeros((0, 5), np.int64)]
    recent: list[NDArray[np.int64]] = []
    for at, plane in enumerate(planes):
        yield Progress("join", at, len(planes))
        labels = run.render(plane, box, key)
        objects.append(_measured(labels, at, box))
        for lag, before in enumerate(reversed(recent)):
            shared.append(_met(before, labels, at, lag))
        recent = [*recent, labels][-(GAP + 1) :]
    arrays = {"objects": np.concatenate(objects), "shared": np.concatenate(shared)}
    return Stored(lambda: {"digest": run.folder.put("join", item, key, {}, arrays)})


def joined_steps(
    run: RunContext, key: str, count: int
) -> Generator[Progress, None, tuple[str, NDArray[np.int64]]]:
    """Return a key for the joined ids, and the new id of each old one."""
    new = np.zeros(count + 1, dtype=np.int64)
    first = 0
    for number, planes in enumerate(stacks(run)):
        if run.plan.join == "z":
            tables, meetings = _tables(run, number, len(planes), key)
            yield Progress("join", number, len(stacks(run)), "joining slices")
            ids = np.concatenate(
                [np.zeros(0, np.int64), *join_tables(tables, meetings, LEAST_OVERLAP)]
            )
            old = np.concatenate([np.zeros(0, np.int64), *(t.ids for t in tables)])
        else:
            old, ids = yield from _linked_steps(run, planes, key)
        new[old] = np.where(ids > 0, ids + first, 0)
        first = max(first, int(new.max(initial=0)))
    used, place = np.unique(new, return_inverse=True)
    dense = np.arange(len(used)) + (0 if len(used) and used[0] == 0 else 1)
    return key_of("joined", run.plan.join, key), dense[place].astype(np.int64)


def _blocks(run: RunContext) -> Blocks:
    return Blocks(run.plan.plane_shape)


def _measured(labels: NDArray[np.int64], at: int, box: Box) -> Rows:
    """Return slice, id, pixels, and sums of rows and columns of each object."""
    rows, columns = np.nonzero(labels)
    ids, place = np.unique(labels[rows, columns], return_inverse=True)
    pixels = np.bincount(place, minlength=len(ids))
    sums = [
        np.bincount(place, c, len(ids)).astype(np.int64) + pixels * start
        for c, start in ((rows, box.y0), (columns, box.x0))
    ]
    return np.stack([np.full(len(ids), at), ids, pixels, *sums], axis=1).astype(np.int64)


def _met(before: NDArray[np.int64], after: NDArray[np.int64], at: int, lag: int) -> Rows:
    """Return slice, lag, both ids and common pixels of objects that lie on one another."""
    both = (before > 0) & (after > 0)
    pairs, pixels = np.unique(
        np.stack([before[both], after[both]], axis=1), axis=0, return_counts=True
    )
    told = np.broadcast_to([at, lag], (len(pairs), 2))
    return np.concatenate([told, pairs.reshape(-1, 2), pixels[:, None]], axis=1)


def _tables(
    run: RunContext, stack: int, depth: int, key: str
) -> tuple[list[FrameObjects], list[list[Shared]]]:
    """Return what the blocks of a stack have told, added up."""
    parts = []
    for item in range(stack * _blocks(run).count, (stack + 1) * _blocks(run).count):
        record = run.folder.get("join", item, key)
        if record is None:
            raise TileLost(f"the record of block {item} is damaged")
        parts.append(record.arrays)
    objects = _added([p["objects"] for p in parts], 2)
    shared = _added([p["shared"] for p in parts], 4)
    tables = [_table(objects[objects[:, 0] == at]) for at in range(depth)]
    meetings = [
        [
            _shared(shared[(shared[:, 0] == at) & (shared[:, 1] == lag)], tables, at, lag)
            for lag in range(min(at, GAP + 1))
        ]
        for at in range(depth)
    ]
    return tables, meetings


def _added(parts: Sequence[NDArray[np.generic]], names: int) -> Rows:
    """Return rows with equal first columns as one, the others added up."""
    rows = np.concatenate([np.zeros((0, 5), np.int64), *parts]).astype(np.int64)
    told, place = np.unique(rows[:, :names], axis=0, return_inverse=True)
    total = np.zeros((len(told), 5), np.int64)
    total[:, :names] = told
    np.add.at(total[:, names:], place.ravel(), rows[:, names:])
    return total


def _table(rows: Rows) -> FrameObjects:
    """Return the objects of a slice, in the order of their centres."""
    pixels = rows[:, 2].astype(np.float64)
    centers = rows[:, 3:5] / np.maximum(pixels, 1)[:, None]
    order = np.lexsort((pixels, *centers.T[::-1]))
    border = np.zeros(len(rows), dtype=bool)
    return FrameObjects(rows[order, 1], centers[order], pixels[order], border)


def _shared(rows: Rows, tables: Sequence[FrameObjects], at: int, lag: int) -> Shared:
    before, after = tables[at - 1 - lag], tables[at]
    return Shared(
        before.rows(rows[:, 2]), after.rows(rows[:, 3]), rows[:, 4].astype(float), np.zeros(2)
    )


class _Frames(Sequence[NDArray[np.integer]]):
    """Whole planes, put together when they are asked for."""

    def __init__(self, run: RunContext, planes: Sequence[int], key: str) -> None:
        self._run, self._planes, self._key = run, planes, key

    def __len__(self) -> int:
        return len(self._planes)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.integer]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NDArray[np.integer]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> NDArray[np.integer] | Sequence[NDArray[np.integer]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        box = Box.of_shape(self._run.plan.plane_shape)
        return self._run.render(self._planes[index], box, self._key)

    def __iter__(self) -> Iterator[NDArray[np.integer]]:
        return (self[i] for i in range(len(self)))


def _linked_steps(
    run: RunContext, planes: Sequence[int], key: str
) -> Generator[Progress, None, tuple[Indices, Indices]]:
    """Return the ids of the objects of all frames, and their tracks."""
    rules = Rules(gap=FRAMES)
    tables, meetings = yield from observe_steps(_Frames(run, planes, key), max(FRAMES, LATE) + 1)
    nodes = Nodes(tables, meetings, rules)
    yield Progress("join", 0, 1, "linking")
    links = link_frames(nodes)
    join_segments(nodes, links, rules)
    return nodes.ids, name_tracks(nodes, links, keep=()).ids
