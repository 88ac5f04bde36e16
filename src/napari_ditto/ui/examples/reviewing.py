"""The review list: go through what is doubtful, accept it, fix it, or delete it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.propagation import Doubt
from napari_ditto.core.proposals import Proposals
from napari_ditto.errors import DittoError, PromptError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.following import Course, Following
from napari_ditto.ui.examples.session import Position
from napari_ditto.ui.session import Fixing

MARGIN = 5
"""Pixels between a doubtful object and the frame that points it out."""

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
        where = self._find(course, doubt)
        center = where.center if where else None
        stage.select_label(course.layer, doubt.label, course.images, center)
        self._bench.session.hint = ""
        self.point_out()

    def point_out(self) -> None:
        """Frame the doubtful object, if its plane is on show and no proposal is."""
        doubt, course, bench = self._state.current, self._following.course, self._bench
        if doubt is None or course is None or bench.session.has_object:
            return
        try:
            if bench.scene.address(course.images) != doubt.address:
                return
        except DittoError:
            return  # no plane of the image is on show, such as in 3-D view
        where = self._find(course, doubt)
        if where is None:
            bench.scene.hide_preview()
            return
        plane = Box.of_shape(bench.setup.source.plane_shape(doubt.address))
        box = where.grow(MARGIN).intersect(plane)
        mask, sure = np.ones((1, *box.shape), dtype=bool), np.ones(1, dtype=np.float32)
        frame = Proposals(mask, box, sure, 0, doubt.address, PromptSet())
        bench.scene.show_preview(course.images, frame, 0)

    def go_to_position(self, position: Position) -> None:
        """Show a plane of the curve."""
        course = self._following.course
        if course is not None:
            self._bench.stage.go_to(course.images, course.way.address(position))

    def _find(self, course: Course, doubt: Doubt) -> Box | None:
        """Return where an object is, or was on a plane beside this one; None if nowhere."""
        if not doubt.label:
            return None
        plane = Box.of_shape(self._bench.setup.source.plane_shape(doubt.address))
        for address in (doubt.address, *course.way.beside(doubt.address)):
            stage = self._bench.stage
            labels = stage.labels_on_plane(course.layer, course.images, address, plane)
            box = bounding_box(labels == doubt.label)
            if not box.is_empty:
                return box
        return None

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
            self._bench.scene.hide_preview()
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
