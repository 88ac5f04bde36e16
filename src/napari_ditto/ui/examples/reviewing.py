"""The review list: go through what is doubtful, accept it, fix it, or delete it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.propagation import Doubt
from napari_ditto.errors import PromptError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.following import Course, Following
from napari_ditto.ui.examples.session import Position
from napari_ditto.ui.session import Fixing

FIX_HINT = "Fixing label {}: click on it and accept, or paint; then go on to the next"


class Reviewing:
    """Works through the doubts of what was followed last."""

    def __init__(
        self,
        bench: Bench,
        following: Following,
        collecting: Collecting,
        arm: Callable[[], None],
    ) -> None:
        self._bench, self._state = bench, bench.state
        self._following, self._collecting, self._arm = following, collecting, arm
        bench.labelling.fixed.connect(self._on_fixed)

    # --- going there -----------------------------------------------------------------------------

    def next(self) -> None:
        """Go to the next doubt; after the last to the first."""
        if self._state.doubts:
            self.go((self._state.doubt + 1) % len(self._state.doubts))

    def go(self, number: int) -> None:
        """Show the plane of a doubt with its object selected."""
        self._bench.session.fixing = None
        self._state.doubt = number
        doubt, course = self._state.current, self._following.course
        if doubt is None or course is None:
            return
        stage = self._bench.stage
        stage.go_to(course.images, doubt.address)
        stage.select_label(course.layer, doubt.label, course.images, self._middle(course, doubt))
        self._bench.session.hint = ""

    def go_to_position(self, position: Position) -> None:
        """Show a plane of the curve."""
        course = self._following.course
        if course is not None:
            self._bench.stage.go_to(course.images, course.way.address(position))

    def _middle(self, course: Course, doubt: Doubt) -> tuple[float, float] | None:
        """Return where the object is, None if it is not on the plane."""
        box = Box.of_shape(self._bench.setup.source.plane_shape(doubt.address))
        labels = self._bench.stage.labels_on_plane(course.layer, course.images, doubt.address, box)
        rows, columns = np.nonzero(labels == doubt.label)
        return (float(rows.mean()), float(columns.mean())) if len(rows) else None

    # --- deciding --------------------------------------------------------------------------------

    def _current(self) -> tuple[Doubt, Course]:
        doubt, course = self._state.current, self._following.course
        if doubt is None or course is None:
            raise PromptError("no doubt is chosen", todo="Choose a line of the table")
        return doubt, course

    def accept(self) -> None:
        """Leave the object as it is, and go on."""
        doubt, _ = self._current()
        self._after(doubt, anchor=False)

    def _after(self, doubt: Doubt, *, anchor: bool) -> None:
        """Take a doubt off the list and show the one that takes its place."""
        number = self._state.doubt
        self._following.settle(doubt, anchor=anchor)
        if self._state.doubts:
            self.go(min(max(number, 0), len(self._state.doubts) - 1))
        else:
            self._bench.session.hint = "Nothing more is doubtful"

    def delete(self) -> None:
        """Remove the object from this plane, and go on."""
        doubt, course = self._current()
        bench = self._bench
        workshop, setup = bench.jobs.workshop, bench.setup
        ids = (doubt.label,) if doubt.label else sorted(course.trail.ids)
        bench.labelling.write_to(
            course.layer,
            lambda: workshop.erase(setup, course.store, doubt.address, ids),
            lambda: self._after(doubt, anchor=True),
        )

    def fix(self) -> None:
        """Arm the prompts: the next mask that is accepted takes the object's place."""
        doubt, course = self._current()
        self.go(self._state.doubt)
        self._arm()
        session = self._bench.session
        session.fixing = Fixing(course.layer, course.store, doubt.address, doubt.label)
        session.hint = FIX_HINT.format(doubt.label)

    def _on_fixed(self, fixing: Fixing) -> None:
        """Take off the list what was written anew."""
        doubts = [
            d for d in self._state.doubts if (d.address, d.label) == (fixing.address, fixing.label)
        ]
        for doubt in doubts:
            self._following.settle(doubt, anchor=True)
        if self._state.keep_fixed:
            box = Box.of_shape(self._bench.setup.source.plane_shape(fixing.address))
            self._collecting.take(fixing.layer, fixing.address, box)

    def on_edited(self, layer: str) -> None:
        """Take what the user painted for the fix that was waited for."""
        fixing = self._bench.session.fixing
        if fixing is not None and fixing.layer == layer:
            self._bench.session.fixing = None
            self._on_fixed(fixing)
