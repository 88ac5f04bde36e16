"""What every stepper must do, whatever model is behind it.

A subclass overrides `stepper`, which gets the image: discs that drift, ids 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask, iou
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.data.protocols import Source
from napari_ditto.data.source import open_source
from napari_ditto.engine.stepping import Stepper
from napari_ditto.testing.scenes import drifting

Labels = NDArray[np.integer]

SHAPE = (96, 112)
DEPTH = 5
FAR = np.array([0, 70_000, 3, 4_000_000_000], dtype=np.uint32)
"""Other ids for 1, 2, 3; the order is another, too."""


class StepperContract:
    """Subclass and override the fixture `stepper`."""

    least_iou = 0.7

    @pytest.fixture
    def truth(self) -> Labels:
        return drifting(DEPTH, SHAPE, 3, seed=4)

    @pytest.fixture
    def source(self, truth: Labels) -> Source:
        """Return grey discs on noise, each of another brightness."""
        noise = np.random.default_rng(0).normal(0, 3, truth.shape)
        pixels = np.clip(50 + 50 * truth + noise, 0, 255).astype(np.uint8)
        return open_source(pixels, axes="zyx", window=(0, 255))

    @pytest.fixture
    def stepper(self, source: Source) -> Stepper:
        """Return the stepper under test."""
        raise NotImplementedError

    def seen(self, source: Source, labels: Labels, at: int, to: int, anchor: bool = True) -> Seen:
        """Return a plane as a step at `to` reads it."""
        address = source.plane({"z": at})
        return Seen(address, labels[at].astype(np.uint32), anchor, abs(at - to))

    def go(self, stepper: Stepper, source: Source, to: int, before: Sequence[Seen]) -> Step:
        """Return one step."""
        anchors = [s for s in before if s.is_anchor]
        return drain(stepper.step(source.plane({"z": to}), before, anchors))

    def test_the_key_tells_who_it_is(self, stepper: Stepper) -> None:
        assert stepper.key
        assert stepper.key == stepper.key

    def test_objects_are_found_in_the_next_plane(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        step = self.go(stepper, source, 3, [self.seen(source, truth, 2, 3)])
        assert {c.label for c in step.objects} == {1, 2, 3}
        for carried in step.objects:
            self.check(carried)
            true = truth[3] == carried.label
            whole = PlacedMask(Box.of_shape(SHAPE), true)
            assert iou(carried.mask, whole) > self.least_iou

    def check(self, carried: Carried) -> None:
        """Check shapes and ranges."""
        for placed in (carried.mask, carried.expected):
            assert placed.mask.shape == placed.box.shape
            assert placed.mask.dtype == bool
            assert Box.of_shape(SHAPE).covers(placed.cropped().box)
        assert 0 <= carried.mask.score <= 1
        assert 0 <= carried.similarity <= 1 + 1e-6

    def test_the_same_step_twice_is_the_same(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        before = [self.seen(source, truth, 2, 3), self.seen(source, truth, 1, 3)]
        first, second = (self.go(stepper, source, 3, before) for _ in range(2))
        assert told(first) == told(second)

    def test_no_object_that_the_planes_before_do_not_show(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        before = [self.seen(source, np.where(truth == 2, 0, truth), 2, 3)]
        anchors = [self.seen(source, truth, 0, 3), *before]
        step = drain(stepper.step(source.plane({"z": 3}), before, anchors))
        assert {c.label for c in step.objects} <= {1, 3}

    def test_an_older_plane_tells_of_what_the_nearest_lacks(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        near = self.seen(source, np.where(truth == 2, 0, truth), 2, 3, anchor=False)
        step = self.go(stepper, source, 3, [near, self.seen(source, truth, 1, 3)])
        found = {c.label: c.mask.area for c in step.objects}
        assert set(found) == {1, 2, 3}
        assert found[2] > 0

    def test_the_order_of_two_runs_does_not_matter(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        left, right = (self.seen(source, truth, at, 2) for at in (1, 3))
        assert alike(
            self.go(stepper, source, 2, [left, right]), self.go(stepper, source, 2, [right, left])
        )

    def test_other_ids_give_the_same_masks(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        plain = self.go(stepper, source, 3, [self.seen(source, truth, 2, 3)])
        named = self.go(stepper, source, 3, [self.seen(source, FAR[truth], 2, 3)])
        renamed = tuple(replace(c, label=int(FAR[c.label])) for c in plain.objects)
        assert alike(Step(renamed), named)

    def test_what_is_handed_on_can_be_kept(
        self, stepper: Stepper, source: Source, truth: Labels
    ) -> None:
        step = self.go(stepper, source, 3, [self.seen(source, truth, 2, 3)])
        assert all(array.dtype.kind in "fiub" for array in step.carry.values())


def told(step: Step) -> list[tuple[object, ...]]:
    """Return everything about a step, bit for bit, by id."""
    objects = [
        (c.label, c.mask.score, c.similarity, _pixels(c.mask), _pixels(c.expected))
        for c in sorted(step.objects, key=lambda c: c.label)
    ]
    return [*objects, *((k, a.tobytes()) for k, a in sorted(step.carry.items()))]


def alike(a: Step, b: Step) -> bool:
    """Whether two steps tell the same, numbers but for rounding."""
    first, second = ({c.label: c for c in step.objects} for step in (a, b))
    return first.keys() == second.keys() and all(
        _pixels(c.mask) == _pixels(second[n].mask)
        and _pixels(c.expected) == _pixels(second[n].expected)
        and np.allclose(
            (c.mask.score, c.similarity), (second[n].mask.score, second[n].similarity), atol=1e-5
        )
        for n, c in first.items()
    )


def _pixels(placed: PlacedMask) -> tuple[object, ...]:
    tight = placed.cropped()
    return tight.box if tight.area else None, tight.mask.tobytes()
