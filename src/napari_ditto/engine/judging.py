"""What is believed of a step: its objects judged, painted without overlap, doubts written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import Mask, PlacedMask, bounding_box, components
from napari_ditto.core.propagation import Carried, Doubt, Gate, Seen
from napari_ditto.data.steps import StepRecord

TINY = 16
"""An object of so few pixels may end without a word."""

FADED = 0.5
"""So may one that has shrunk to this part of the largest that the planes before show."""

LEAST_OWN = 0.5
"""Least part of a mask that must be left when surer objects have taken theirs."""

LEAST_MEETING = 0.5
"""Where two runs meet, the masks from both sides overlap by this part of the gate's overlap."""


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

    def alive(self, before: Sequence[tuple[int, Sequence[int]]]) -> tuple[int, ...]:
        """Return the ids to look for, given those believed at each distance."""
        near = (ids for distance, ids in before if distance <= self.patience + 1)
        return tuple(sorted({label for ids in near for label in ids}))

    def record(
        self,
        address: PlaneAddress,
        shape: tuple[int, int],
        objects: Sequence[Carried],
        carry: Mapping[str, NDArray[np.generic]],
        before: Sequence[Seen],
        meeting: Sequence[tuple[Seen, Seen]],
    ) -> StepRecord:
        """Return what is kept of a step.

        Parameters
        ----------
        address, shape : PlaneAddress, (int, int)
            The plane.
        objects : sequence of Carried
            What was found of each object that is looked for.
        carry : mapping of str to ndarray
            What the stepper hands on.
        before : sequence of Seen
            What the step has read, the nearest first.
        meeting : sequence of (Seen, Seen)
            Neighbours on opposite sides.
        """
        verdicts = [self._judge(c, before) for c in objects]
        labels, own = paint(verdicts, shape)
        verdicts = [_robbed(v, own[v.found.label]) for v in verdicts]
        found = {v.found.label: v for v in verdicts}
        doubts = [Doubt(address, n, v.confidence, v.reasons) for n, v in found.items() if v.reasons]
        doubts += self._disagreements(address, found, meeting)
        return StepRecord(
            labels,
            tuple(sorted(n for n, v in found.items() if v.believed)),
            {n: found[n].confidence for n in sorted(found)},
            tuple(sorted(doubts, key=lambda d: (d.confidence, d.label))),
            carry,
        )

    def _judge(self, found: Carried, before: Sequence[Seen]) -> Verdict:
        seen = [s for s in before if (s.labels == found.label).any()]
        last = min(s.distance for s in seen)
        if not found.mask.area:
            told = last > 1 or _fades(found.label, seen)
            return Verdict(found, () if told else ("ends here",), False, 0.0)
        quality = found.quality
        reasons = self.gate.judge(quality)
        if reasons and last > self.patience:
            reasons += ("not followed further",)
        return Verdict(found, reasons, not reasons, quality.confidence)

    def _disagreements(
        self,
        address: PlaneAddress,
        found: Mapping[int, Verdict],
        meeting: Sequence[tuple[Seen, Seen]],
    ) -> list[Doubt]:
        """Return doubts about objects that two runs tell differently."""
        doubts = []
        for label, verdict in found.items():
            for a, b in meeting:
                reason = self.disagreement(a.labels == label, b.labels == label)
                if reason and verdict.believed:
                    doubts.append(Doubt(address, label, verdict.confidence, (reason,)))
                    break
        return doubts

    def disagreement(self, a: Mask, b: Mask) -> str:
        """Say how two runs differ about an object where they meet; nothing if they agree."""
        if not (a.any() or b.any()):
            return ""
        if not (a.any() and b.any()):
            return "two runs meet, and one has lost it"
        overlap = np.count_nonzero(a & b) / np.count_nonzero(a | b)
        least = LEAST_MEETING * self.gate.min_overlap
        return f"two runs disagree: overlap {overlap:.2f}" if overlap < least else ""


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


def placed(mask: Mask, score: float = 1.0) -> PlacedMask:
    """Return a plane's mask in its bounding box."""
    box = bounding_box(mask)
    return PlacedMask(box, mask[box.slices], score)


def _robbed(verdict: Verdict, own: float) -> Verdict:
    """Doubt an object of which others have taken most."""
    if own >= LEAST_OWN or not verdict.found.mask.area:
        return verdict
    reasons = (*verdict.reasons, f"covered by others, {own:.0%} left")
    return replace(
        verdict, reasons=reasons, believed=False, confidence=min(verdict.confidence, own)
    )


def _fades(label: int, seen: Sequence[Seen]) -> bool:
    """Whether an object was so small, or has shrunk so much, that its end is no surprise."""
    areas = [(s.distance, int(np.count_nonzero(s.labels == label))) for s in seen]
    last = max(area for distance, area in areas if distance == min(areas)[0])
    return last <= TINY or last <= FADED * max(area for _, area in areas)
