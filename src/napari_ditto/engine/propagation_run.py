"""One run of a propagation: plane after plane, each step found in the store or done and kept."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, PlaneDone, Seen
from napari_ditto.core.routes import MOST_BEFORE, Index, Route, Visit, are_opposite, steps_between
from napari_ditto.data.steps import StepRecord, StepStore
from napari_ditto.engine.judging import Judge, Shown
from napari_ditto.engine.propagation_input import Job
from napari_ditto.engine.stepping import Foreseeing, Stepper
from napari_ditto.errors import StoreError

VERSION = 1
"""Of the rules by which steps are judged and painted; a change does all steps again."""

RECENT_BYTES = 16 << 20
"""Label planes that are held decoded."""

RECENT_LEAST = MOST_BEFORE + 2
"""Planes that are held decoded however large they are: all that a step reads, and its own."""

BAND = 1 << 22
"""Pixels that are read at once to tell what a plane shows."""

Walk = Generator[Progress, None, PlaneDone]


@dataclass(frozen=True, slots=True)
class _Read:
    """A finished plane that a step reads, and what tells its content from any other."""

    index: Index
    distance: int
    pixels: str
    content: str

    @property
    def rank(self) -> tuple[object, ...]:
        """Sorts the nearest first; of equals what they show decides, never where they lie."""
        return self.distance, self.pixels, self.content, self.index


class Run:
    """Walks all planes of a job.

    Parameters
    ----------
    job : Job
        What is to be done.
    stepper : Stepper
        Finds the objects.
    judge : Judge
        Believes them or not.
    steps : StepStore
        Where finished steps are looked for and kept.
    """

    def __init__(self, job: Job, stepper: Stepper, judge: Judge, steps: StepStore) -> None:
        self.job, self.stepper, self.judge, self.steps = job, stepper, judge, steps
        self._anchors = {i: _anchor(labels) for i, labels in job.anchors.items()}
        self._contents = {i: record.digest for i, record in self._anchors.items()}
        self.route = Route(job.bounds, self._contents)
        self._pixels: dict[Index, str] = {}
        self._keys: dict[Index, str] = {}
        self._recent: OrderedDict[Index, StepRecord] = OrderedDict()
        self._held = 0

    def walk(self) -> Generator[Progress, None, None]:
        """Yield the progress of every plane, with the plane as partial result when it is done."""
        total = len(self.route)
        for number, (visit, after) in enumerate(pairwise(chain(self.route, (None,))), 1):
            if visit is None:
                return
            if after and after.distance and isinstance(self.stepper, Foreseeing):
                self.stepper.expect(self.job.address(after.index))
            done = yield from self._visit(visit)
            yield Progress("write", number, total, f"plane {number} of {total}", partial=done)

    def _visit(self, visit: Visit) -> Walk:
        address, reused = self.job.address(visit.index), False
        if visit.distance:
            reused = yield from self._step(visit)
        record = self._record(visit.index)
        doubts = (*record.doubts, *self._seams(visit))
        return PlaneDone(address, record.labels, record.confidence, doubts, reused)

    def _step(self, visit: Visit) -> Generator[Progress, None, bool]:
        """Find or do one step; return whether it was there."""
        before, anchors = self._reads(visit, visit.before), self._reads(visit, visit.anchors)
        key = self._keys[visit.index] = self._key(visit, before, anchors)
        record = self.steps.get(key)
        reused = record is not None
        if record is None:
            yield from self._restore(visit)
            record = yield from self._find(visit, before, anchors)
            self.steps.put(key, record)
        self._contents[visit.index] = record.digest
        self._remember(visit.index, record)
        return reused

    def _find(
        self, visit: Visit, before: Sequence[_Read], anchors: Sequence[_Read]
    ) -> Generator[Progress, None, StepRecord]:
        """Return what is found in a plane, and believed of it."""
        shown = [self._shown(r) for r in before]
        wanted = self.judge.alive(shown)
        address, shape = self.job.address(visit.index), self.job.plane_shape
        if not wanted:
            return StepRecord.of(np.zeros(shape, dtype=np.uint32), {})
        step = yield from self.stepper.step(
            address, [self._seen(r, wanted) for r in before], [self._seen(r) for r in anchors]
        )
        return self.judge.record(address, shape, step, shown, self._meeting(visit, before))

    def _lost(self, visit: Visit) -> list[Index]:
        """Return the planes to do again for a carry that was dropped, one run after the other.

        Those that a step reads are all among them then: doing the others may drop theirs.
        """
        lost: set[Index] = set()
        queue = [visit]
        while queue:
            missing = {i for i in queue.pop().before if self._record(i).carry is None} - lost
            lost |= missing
            queue += [self.route.visit(i) for i in missing]
        if lost:
            lost |= set(visit.before) - self._anchors.keys()
        side = {i: [a > b for a, b in zip(i, visit.index, strict=True)] for i in lost}
        return sorted(lost, key=lambda i: (side[i], self.route.distance(i), i))

    def _restore(self, visit: Visit) -> Generator[Progress, None, None]:
        """Do those steps again whose carry was dropped and is needed now."""
        for index in self._lost(visit):
            again = self.route.visit(index)
            reads = self._reads(again, again.before), self._reads(again, again.anchors)
            record = yield from self._find(again, *reads)
            self.steps.put(self._keys[index], record)
            self._remember(index, record)

    def _meeting(self, visit: Visit, before: Sequence[_Read]) -> dict[int, str]:
        """Return what is wrong with objects where two runs come from opposite sides."""
        near = [r.index for r in before if r.distance == 1]
        found: dict[int, str] = {}
        for a, b in combinations(near, 2):
            if are_opposite(a, b, visit.index):
                found |= self.judge.disagreements(self._record(a), self._record(b))
        return found

    # -- what a step reads -------------------------------------------------------------------

    def _reads(self, visit: Visit, indices: Sequence[Index]) -> list[_Read]:
        found = [
            _Read(i, steps_between(i, visit.index), self._pixel_digest(i), self._contents[i])
            for i in indices
        ]
        return sorted(found, key=lambda r: r.rank)

    def _seen(self, read: _Read, wanted: Sequence[int] | None = None) -> Seen:
        """Return a plane as a step reads it: without doubtful objects, and those that ended."""
        record = self._record(read.index)
        labels = record.memory(wanted)
        # An anchor from which something was left out is no longer true about its background.
        true = read.index in self.job.anchors and labels is record.labels
        address = self.job.address(read.index)
        if record.carry is None:
            raise StoreError("there is no room for what steps hand on", where=str(address))
        return Seen(address, labels, true, read.distance, record.carry)

    def _shown(self, read: _Read) -> Shown:
        record = self._record(read.index)
        return Shown(read.distance, {n: record.areas[n] for n in record.believed})

    def _key(self, visit: Visit, before: Sequence[_Read], anchors: Sequence[_Read]) -> str:
        """Return a name for everything that the step's result depends on."""
        parts = {
            "version": VERSION,
            "stepper": self.stepper.key,
            "judge": asdict(self.judge),
            "plane": [str(self.job.address(visit.index)), self._pixel_digest(visit.index)],
            "before": [self._told(r) for r in before],
            "anchors": [self._told(r) for r in anchors],
        }
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _told(self, read: _Read) -> list[object]:
        is_anchor = read.index in self.job.anchors
        return [str(self.job.address(read.index)), is_anchor, read.pixels, read.content]

    def _pixel_digest(self, index: Index) -> str:
        if index not in self._pixels:
            self._pixels[index] = self._digest_pixels(index)
        return self._pixels[index]

    def _digest_pixels(self, index: Index) -> str:
        """Hash what the source shows of a plane, band by band."""
        source, address = self.job.source, self.job.address(index)
        height, width = self.job.plane_shape
        rows = max(1, BAND // width)
        total = hashlib.sha256()
        for top in range(0, height, rows):
            band = source.read(address, Box(top, 0, min(top + rows, height), width))
            total.update(np.ascontiguousarray(band[..., : source.channels]).data)
        return total.hexdigest()

    # -- finished planes ---------------------------------------------------------------------

    def _record(self, index: Index) -> StepRecord:
        record = self._anchors.get(index) or self._recent.get(index)
        if record is None:
            record = self.steps.get(self._keys[index])
            if record is None:
                raise StoreError("a finished step is gone", where=str(self.job.address(index)))
            self._remember(index, record)
        return record

    def _remember(self, index: Index, record: StepRecord) -> None:
        old = self._recent.pop(index, None)
        self._recent[index] = record
        self._held += record.nbytes - (old.nbytes if old else 0)
        while len(self._recent) > RECENT_LEAST and self._held > RECENT_BYTES:
            self._held -= self._recent.popitem(last=False)[1].nbytes

    def _seams(self, visit: Visit) -> list[Doubt]:
        """Return doubts about objects that differ between two runs that end side by side."""
        doubts = []
        for near in self.route.neighbours(visit.index, visit.distance):
            if near < visit.index and visit.distance:
                doubts += self._seam(near, visit.index)
        return doubts

    def _seam(self, a: Index, b: Index) -> list[Doubt]:
        """Return the doubts of one seam, each told of the plane that is less sure."""
        here, there = self._record(a), self._record(b)
        doubts = []
        for label, reason in self.judge.disagreements(here, there).items():
            sure = {i: r.confidence.get(label, 0.0) for i, r in ((a, here), (b, there))}
            worst = min(sure, key=lambda i: (sure[i], i))
            doubts.append(Doubt(self.job.address(worst), label, sure[worst], (reason,)))
        return doubts


def _anchor(labels: NDArray[np.uint32]) -> StepRecord:
    ids = [int(n) for n in np.unique(labels) if n]
    return StepRecord.of(labels, dict.fromkeys(ids, 1.0))
