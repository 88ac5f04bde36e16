"""Follow: objects carried plane by plane into a Labels layer, or cells through time as tracks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_ditto.core.propagation import Doubt
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import DittoError, LabelsError, SourceError
from napari_ditto.ui.examples import ways
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.follow_jobs import (
    Followed,
    FollowEdit,
    Trail,
    Way,
    follow_steps,
)
from napari_ditto.ui.examples.jobs import Work
from napari_ditto.ui.examples.session import Mark, Position
from napari_ditto.ui.history import PromptEdit
from napari_ditto.ui.job_values import Setup

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

NAME = "follow"
GONE = "Stopped: the Labels layer was deleted"


@dataclass(eq=False)
class Course:
    """One Labels layer that is being followed into, and what is known of its planes.

    Attributes
    ----------
    layer : str
        Its unique id.
    images : tuple of str
        The image.
    store : LabelStore
        What the layer shows.
    way : Way
        The planes.
    trail : Trail
        What earlier runs have left; the worker's own.
    marks, doubts : dict
        By position, as they are found.
    settled : set of (tuple of int, int)
        Doubts that the user has looked at.
    confirmed : set of tuple of int
        Planes that the user has found right.
    deltas : list of LabelDelta
        The writes of the run.
    """

    layer: str
    images: tuple[str, ...]
    store: LabelStore
    way: Way
    trail: Trail = field(default_factory=Trail)
    marks: dict[Position, Mark] = field(default_factory=dict)
    doubts: dict[Position, tuple[Doubt, ...]] = field(default_factory=dict)
    settled: set[tuple[Position, int]] = field(default_factory=set)
    confirmed: set[Position] = field(default_factory=set)
    deltas: list[LabelDelta] = field(default_factory=list)

    def begin(self, way: Way) -> None:
        """Forget what the last run said, not what it wrote."""
        self.way, self.deltas = way, []
        self.marks.clear()
        self.doubts.clear()

    def note(self, plane: Followed) -> None:
        """Take note of a finished plane."""
        position, done = plane.position, plane.done
        self.doubts[position] = tuple(
            doubt for doubt in done.doubts if (position, doubt.label) not in self.settled
        )
        sure = [value for value in done.confidence.values() if value > 0]
        least = min(sure, default=None)
        doubtful = bool(self.doubts[position])
        self.marks[position] = Mark(position, least, plane.anchor, doubtful)

    @property
    def review(self) -> tuple[Doubt, ...]:
        """All doubts, the worst first."""
        found = [doubt for doubts in self.doubts.values() for doubt in doubts]
        return tuple(sorted(found, key=lambda d: (d.confidence, d.address.fixed, d.label)))


class Following:
    """Carries labels along an axis."""

    def __init__(self, bench: Bench, collecting: Collecting) -> None:
        self._bench, self._state, self._collecting = bench, bench.state, collecting
        self._courses: dict[tuple[object, ...], Course] = {}
        self.course: Course | None = None
        self._running: tuple[Course, FollowEdit] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer that is followed into."""
        return (self.course.layer,) if self.course else ()

    # --- where -----------------------------------------------------------------------------------

    def look(self) -> None:
        """Bring the axes to choose from, and the plane on show, up to date."""
        state, bench = self._state, self._bench
        try:
            address = bench.scene.address(bench.session.images)
            source = bench.setup.source
        except DittoError:
            state.axis_choices, state.axis, state.shown = (), "", None
            return
        state.axis_choices = ways.axis_choices(source, address)
        axis = ways.first_axis(state.axis_choices, state.axis)
        if axis != state.axis or ways.length(source, axis) != state.planes:
            self.choose_axis(axis)
        state.shown = self.course.way.position(address) if self.course else None

    def choose_axis(self, axis: str) -> None:
        """Follow along another axis, all of it."""
        state = self._state
        state.axis, state.kind = axis, ways.usual_kind(axis)
        state.planes = ways.length(self._bench.setup.source, axis) if axis else 0
        state.first, state.last = 0, max(0, state.planes - 1)

    def way(self) -> Way:
        """Return the planes that are to be followed.

        Raises
        ------
        SourceError
            If there is no axis to follow.
        """
        state, bench = self._state, self._bench
        if not state.axis:
            raise SourceError(
                "this image has only one plane", todo="Choose an image with a z or t axis"
            )
        address = bench.scene.address(bench.session.images)
        return ways.make_way(bench.setup.source, address, state.axis, state.first, state.last)

    # --- running ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Follow from the examples of this image, once the user agrees to how long it takes."""
        self._collecting.add_if_empty()
        setup, way = self._bench.setup, self.way()
        objects = max((row.objects for row in self._state.rows), default=1)
        shape = setup.source.plane_shape(way.plane)
        work = Work(shape, way.count, objects, len(self._state.rows), objects)
        self._bench.when_agreed(setup, work, lambda: self._prepare(setup, way))

    def examples(self, setup: Setup, way: Way) -> tuple[PlaneExample, ...]:
        """Return the examples that lie on the way: of this image, on a plane of it."""
        image = self._bench.session.images[0]
        here = [row.example for row in self._state.rows if row.image == image]
        return tuple(
            # The image may have been opened anew since, with another intensity window.
            replace(example, source=setup.source)
            for example in here
            if example.enabled and way.position(example.address) is not None
        )

    def _prepare(self, setup: Setup, way: Way) -> None:
        """Find or make the layer to write to."""
        examples = self.examples(setup, way)
        if not examples:
            raise LabelsError(
                "no example lies in the range that is to be followed",
                todo="Add the plane on show as an example, or widen the range",
            )
        key, layer = self._target(way)
        course = self._courses.get(key)
        layer = course.layer if course and self._bench.stage.name(course.layer) else layer
        if layer:
            images = self._bench.session.images
            # Asked for each time: the user may have given the layer other data.
            store = self._bench.scene.label_store(layer, setup.source, images)
            return self._open(key, layer, store, setup, way, examples)
        workshop = self._bench.jobs.workshop
        self._bench.desk.run(
            "making a layer",
            lambda: workshop.new_labels(setup.source),
            lambda store: self._open(key, "", store, setup, way, examples),
        )
        return None

    def _target(self, way: Way) -> tuple[tuple[object, ...], str]:
        """Return what the run goes by, and the layer to write to; ``""`` for a new one."""
        bench = self._bench
        images = bench.session.images
        layer = ""
        if self._state.into == "same":
            from_layers = [r.layer for r in self._state.rows if r.image == images[0] and r.layer]
            layer = next((key for key in from_layers if bench.stage.name(key)), "")
        return (images, layer, way.axes, way.start), layer

    def _open(
        self,
        key: tuple[object, ...],
        layer: str,
        store: LabelStore,
        setup: Setup,
        way: Way,
        examples: tuple[PlaneExample, ...],
    ) -> None:
        images = self._bench.session.images
        layer = layer or self._bench.stage.add_result(images, setup.source, store, NAME)
        course = self._courses.get(key)
        if course is None or course.store is not store:
            course = self._courses[key] = Course(layer, images, store, way)
        self._follow(course, setup, way, examples)

    def _follow(
        self, course: Course, setup: Setup, way: Way, examples: tuple[PlaneExample, ...]
    ) -> None:
        bench, state = self._bench, self._state
        course.begin(way)
        self.course = course
        nothing, prints = PromptEdit.nothing(), dict(course.trail.prints)
        edit = FollowEdit(
            course.layer, course.store, course.deltas, nothing, trail=course.trail, prints=prints
        )
        self._running = (course, edit)
        state.doubt, state.followed = -1, ""
        self.show()
        kinds, overlap = ("objects" if state.one_kind else "classes"), bench.session.overlap
        confirmed = frozenset(course.confirmed)
        bench.desk.run(
            "following",
            lambda: follow_steps(
                bench.jobs.workshop, setup, course.store, way, examples,
                course.trail, course.deltas,
                kinds=kinds, overlap=overlap, confirmed=confirmed,  # type: ignore[arg-type]
            ),
            lambda reused: self._on_done(f"{len(course.marks)} planes", int(reused)),
            self._on_failed,
            on_partial=self._on_plane,
        )  # fmt: skip

    def _on_plane(self, plane: Followed) -> None:
        if self._running is None:
            return
        course, _ = self._running
        course.note(plane)
        self._bench.stage.redraw(course.layer, course.images, plane.done.address)
        self.show()

    def _on_done(self, what: str, reused: int = 0) -> None:
        self._end()
        doubtful = len(self._state.doubts)
        parts = [what]
        if reused:
            parts.append(f"{reused} as before")
        parts.append(f"{doubtful} doubtful: see Review" if doubtful else "none doubtful")
        self._state.followed = ", ".join(parts)

    def _on_failed(self, error: DittoError) -> None:
        self._end()
        self._bench.desk.fail(error)

    def cancelled(self) -> None:
        """Keep what was followed before the user had enough."""
        if self._running is not None:
            course, _ = self._running
            self._end()
            done, total = len(course.marks), course.way.count
            self._state.followed = f"Cancelled after {done} of {total} planes"

    def _end(self) -> None:
        """Close the books of a run, finished or not: it is one step for Undo."""
        running, self._running = self._running, None
        if running is not None:
            course, edit = running
            if course.deltas and self._bench.stage.name(course.layer):
                self._bench.scene.refresh_labels(course.layer)
                self._bench.labelling.record(edit)
            self.show()

    def show_tracks(self, course: Course) -> None:
        """Take the review list of cells that were tracked in place of that of a run."""
        self._courses["tracks", course.layer] = self.course = course
        self._state.doubt = -1
        self.show()

    # --- what is shown ---------------------------------------------------------------------------

    def show(self) -> None:
        """Bring curve and review list up to date."""
        course, state = self.course, self._state
        state.marks = tuple(course.marks[p] for p in sorted(course.marks)) if course else ()
        here = state.current
        state.doubts = course.review if course else ()
        state.doubt = state.doubts.index(here) if here in state.doubts else -1

    def settle(self, doubt: Doubt, *, anchor: bool) -> None:
        """Take a doubt off the list; `anchor` tells that its plane is the user's now."""
        course = self.course
        position = course.way.position(doubt.address) if course else None
        if course is None or position is None:
            self._state.doubts = tuple(d for d in self._state.doubts if d is not doubt)
            return
        course.settled.add((position, doubt.label))
        left = tuple(d for d in course.doubts.get(position, ()) if d.label != doubt.label)
        course.doubts[position] = left
        if not (left or anchor):
            # All that was doubtful here is right: the next run may build on this plane.
            course.confirmed.add(position)
        mark = course.marks.get(position)
        if mark is not None:
            sure = 1.0 if anchor else mark.confidence
            course.marks[position] = Mark(position, sure, mark.anchor or anchor, bool(left))
        self.show()

    def on_layers_changed(self) -> None:
        """Stop if the layer that is written to is gone, and forget what was known of it."""
        name = self._bench.stage.name
        for key in [key for key, course in self._courses.items() if not name(course.layer)]:
            gone = self._courses.pop(key)
            if self._running is not None and self._running[0] is gone:
                self._running = None
                self._bench.interrupt()
                self._state.followed = GONE
            if self.course is gone:
                self.course = None
                self.show()
