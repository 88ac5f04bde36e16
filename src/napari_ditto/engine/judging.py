"""What is believed of a step: its objects judged, painted without overlap, doubts written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import Mask, PlacedMask, components
from napari_ditto.core.propagation import Carried, Doubt, Gate, Step
from napari_ditto.data.steps import StepRecord

TINY = 16
"""An object of so few pixels may end without a word."""

FADED = 0.5
"""So may one that has shrunk to this part of the largest that the planes before show."""

HOPELESS = 0.15
"""What is found with less confidence is not the object: it has ended, and nothing is painted."""

ENDS = 0.5
"""Confidence of the doubt that an object has ended: most ends are true, so others come first."""

LEAST_OWN = 0.5
"""Least part of a mask that must be left when surer objects have taken theirs."""

LEAST_MEETING = 0.5
"""Where two runs meet, the masks from both sides overlap by this part of the gate's overlap."""

NOTHING = PlacedMask(Box(0, 0, 0, 0), np.zeros((0, 0), dtype=bool), 0.0)
"""What is left of an object that is not there."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How far off a plane before is, and the pixels of each object that is believed there."""

    distance: int
    areas: Mapping[int, int]


@dataclass(frozen=True, eq=False)
class Verdict:
    """One object after it was judged: what is wrong, and whether later steps may read it."""

    found: Carried
    reasons: tuple[str, ...]
    believed: bool
    confidence: float

    @property
    def rank(self) -> tuple[object, ...]:
        """Sorts the surest first. Ids come last, so that other ids give the same picture."""
        mask = self.found.mask
        box = mask.box
        place = (box.y0, box.x0, box.y1, box.x1)
        return (not self.believed, -mask.score, mask.area, place, self.found.label)


@dataclass(frozen=True, eq=False)
class Judge:
    """Judges steps.

    Attributes
    ----------
    gate : Gate
        What an object must reach.
    patience : int
        Planes that an object may fail in one after the other before it ends, after the first.
    """

    gate: Gate
    patience: int

    def alive(self, before: Sequence[Shown]) -> tuple[int, ...]:
        """Return the ids to look for: those believed in planes that are near enough."""
        near = (s.areas for s in before if s.distance <= self.patience + 1)
        return tuple(sorted({label for areas in near for label in areas}))

    def record(
        self,
        address: PlaneAddress,
        shape: tuple[int, int],
        step: Step,
        before: Sequence[Shown],
        disagreements: Mapping[int, str],
    ) -> StepRecord:
        """Return what is kept of a step.

        Parameters
        ----------
        address, shape : PlaneAddress, (int, int)
            The plane.
        step : Step
            What was found.
        before : sequence of Shown
            What the planes before show, the nearest first. Each object believed within patience
            is judged; if the step does not tell of it, it has ended here.
        disagreements : mapping of int to str
            What is wrong with objects that two runs tell differently, though they be believed.
        """
        told = {c.label: c for c in step.objects}
        objects = (told.get(n, Carried(n, NOTHING, NOTHING, 0.0)) for n in self.alive(before))
        verdicts = [self._judge(c, before) for c in objects]
        labels, own = paint(verdicts, shape)
        verdicts = [_robbed(v, own[v.found.label], disagreements) for v in verdicts]
        doubts = [
            Doubt(address, v.found.label, v.confidence if v.found.mask.area else ENDS, v.reasons)
            for v in verdicts
            if v.reasons
        ]
        return StepRecord.of(
            labels,
            {v.found.label: v.confidence for v in verdicts if v.believed},
            {v.found.label: v.confidence for v in verdicts if not v.believed},
            sorted(doubts, key=lambda d: (d.confidence, d.label)),
            step.carry,
        )

    def _judge(self, found: Carried, before: Sequence[Shown]) -> Verdict:
        areas = [(s.distance, s.areas[found.label]) for s in before if found.label in s.areas]
        last = min(areas)[0]
        quality = found.quality
        if quality.confidence < HOPELESS:
            told = last > 1 or _fades(areas)
            ended = replace(found, mask=NOTHING)
            return Verdict(ended, () if told else ("ends here",), False, 0.0)
        reasons = self.gate.judge(quality)
        if reasons and last > self.patience:
            reasons += ("not followed further",)
        return Verdict(found, reasons, not reasons, quality.confidence)

    def disagreements(self, a: StepRecord, b: StepRecord) -> dict[int, str]:
        """Say how two runs differ about objects where they meet, by id."""
        here = a.memory()
        ids, counts = np.unique(here[here == b.memory()], return_counts=True)
        shared = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        least = LEAST_MEETING * self.gate.min_overlap
        found = {}
        for label in sorted({*a.believed, *b.believed}):
            if label not in a.believed or label not in b.believed:
                found[label] = "two runs meet, and one has lost it"
                continue
            common = shared.get(label, 0)
            overlap = common / (a.areas[label] + b.areas[label] - common)
            if overlap < least:
                found[label] = f"two runs disagree: overlap {overlap:.2f}"
        return found


def paint(
    verdicts: Sequence[Verdict], shape: tuple[int, int]
) -> tuple[NDArray[np.uint32], dict[int, float]]:
    """Return labels, the surest objects on top, and the part of its mask that each has kept."""
    labels = np.zeros(shape, dtype=np.uint32)
    own: dict[int, float] = {}
    plane = Box.of_shape(shape)
    for verdict in sorted(verdicts, key=lambda v: v.rank):
        found = verdict.found
        box = found.mask.box.intersect(plane)
        mask = found.mask.in_box(box)
        window = labels[box.slices]
        free = mask & (window == 0)
        if (free != mask).any():
            free = main_pieces(mask, free)
        window[free] = found.label
        own[found.label] = np.count_nonzero(free) / max(1, found.mask.area)
    return labels, own


def main_pieces(whole: Mask, left: Mask) -> Mask:
    """Return the largest piece that is left of each piece of a mask."""
    before, _ = components(whole)
    after, count = components(left)
    sizes = np.bincount(after.ravel(), minlength=count + 1)
    parent = np.zeros(count + 1, dtype=np.int64)
    parent[after[left]] = before[left]
    # The last one written wins: the largest piece, and of equals the first.
    order = sorted(range(1, count + 1), key=lambda n: (sizes[n], -n))
    largest = {int(parent[n]): n for n in order}
    return np.isin(after, list(largest.values())) & left


def _robbed(verdict: Verdict, own: float, disagreements: Mapping[int, str]) -> Verdict:
    """Doubt an object of which others have taken most, and say where two runs disagree."""
    if not verdict.found.mask.area:
        return verdict
    if own < LEAST_OWN:
        reasons = (*verdict.reasons, f"covered by others, {own:.0%} left")
        worst = min(verdict.confidence, own)
        return replace(verdict, reasons=reasons, believed=False, confidence=worst)
    reason = disagreements.get(verdict.found.label)
    return replace(verdict, reasons=(*verdict.reasons, reason)) if reason else verdict


def _fades(areas: Sequence[tuple[int, int]]) -> bool:
    """Whether an object was so small, or has shrunk so much, that its end is no surprise.

    Takes pairs of distance and pixels.
    """
    nearest = min(areas)[0]
    last = max(area for distance, area in areas if distance == nearest)
    return last <= TINY or last <= FADED * max(area for _, area in areas)
