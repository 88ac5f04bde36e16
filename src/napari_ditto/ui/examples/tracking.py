"""Cells followed through time: found by example in each frame, linked, shown as tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.core.propagation import PlaneDone
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import DittoError, LabelsError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.follow_jobs import Way
from napari_ditto.ui.examples.following import GONE, Course, Following
from napari_ditto.ui.examples.jobs import Work
from napari_ditto.ui.examples.session import Mark
from napari_ditto.ui.job_values import Setup

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.engine.linking import Linked

NAME = "cells"
FORMATS = "GEFF (*.geff);;Cell Tracking Challenge, a folder (*)"
CANCELLED = "Cancelled: the cells found so far are labelled, but not linked"


def least_scores(tracks: Linked) -> dict[int, float]:
    """Return how sure the worst link into each frame is; frames without objects are absent."""
    frames = tracks.lineage.points[:, 1].astype(int)
    sure = np.where(np.isfinite(tracks.scores), tracks.scores, 1.0)
    return {int(f): float(sure[frames == f].min()) for f in np.unique(frames)}


@dataclass(frozen=True, eq=False)
class Shown:
    """Tracks, the image that they are of, and the Labels layer that shows them."""

    layer: str
    setup: Setup
    axis: str
    tracks: Linked


class Tracking:
    """Tracks cells that move and divide."""

    def __init__(self, bench: Bench, collecting: Collecting, following: Following) -> None:
        self._bench, self._state = bench, bench.state
        self._collecting, self._following = collecting, following
        self._running = ""
        self._shown: Shown | None = None

    def run(self) -> None:
        """Track after the examples that are switched on, once the user agrees."""
        self._collecting.add_if_empty()
        setup, way = self._bench.setup, self._following.way()
        examples = self._examples(setup)
        if not examples:
            raise LabelsError("no example is switched on", todo="Tick one in the list")
        shape = setup.source.plane_shape(way.plane)
        work = Work(shape, way.count, examples=len(examples))
        self._bench.when_agreed(setup, work, lambda: self._prepare(setup, way, examples))

    def _examples(self, setup: Setup) -> tuple[PlaneExample, ...]:
        """Return what is switched on; frames of this movie are told by their source."""
        image = self._bench.session.images[0]
        return tuple(
            replace(row.example, source=setup.source) if row.image == image else row.example
            for row in self._state.rows
            if row.example.enabled
        )

    def _prepare(self, setup: Setup, way: Way, examples: tuple[PlaneExample, ...]) -> None:
        workshop, images = self._bench.jobs.workshop, self._bench.session.images

        def done(store: LabelStore) -> None:
            layer = self._bench.stage.add_result(images, setup.source, store, NAME)
            self._track(Course(layer, images, store, way), setup, examples)

        self._bench.desk.run("making a layer", lambda: workshop.new_labels(setup.source), done)

    def _track(self, course: Course, setup: Setup, examples: tuple[PlaneExample, ...]) -> None:
        jobs = self._bench.jobs
        self._running, self._state.followed = course.layer, ""
        self._bench.desk.run(
            "following cells",
            lambda: jobs.track(setup, course.way, course.store, examples),
            lambda tracks: self._show(tracks, course, setup),
            self._on_failed,
            on_partial=lambda plane: self._draw(plane, course),
        )

    def _draw(self, plane: PlaneDone, course: Course) -> None:
        # A frame is told before it is written: the one before it is there for sure.
        axis = course.way.axes[0]
        before = plane.address.with_index({axis: plane.address.index[axis] - 1})
        for address in (before, plane.address):
            self._bench.stage.redraw(course.layer, course.images, address)

    def _on_failed(self, error: DittoError) -> None:
        self._running = ""
        self._bench.desk.fail(error)

    def _show(self, tracks: Linked, course: Course, setup: Setup) -> None:
        self._running = ""
        lineage, layers = tracks.lineage, [course.layer]
        if len(lineage.points):
            layers.append(self._bench.stage.add_tracks(course.images, setup.source, lineage))
        for doubt in tracks.review:
            at = course.way.position(doubt.address)
            if at is not None:
                course.doubts[at] = (*course.doubts.get(at, ()), doubt)
        sure = least_scores(tracks)
        for at in course.way.positions():
            course.marks[at] = Mark(at, sure.get(at[0]), doubtful=at in course.doubts)
        self._bench.scene.refresh_labels(course.layer)
        self._following.show_tracks(course)
        self._shown = Shown(course.layer, setup, course.way.axes[0], tracks)
        self._state.can_export = True
        self._bench.labelling.note_layers("tracks", *layers)
        cells, divisions = len(lineage.tracks), len(lineage.divisions)
        self._state.followed = f"{cells} tracks, {divisions} divisions"

    def cancelled(self) -> None:
        """Tell what has become of a run that the user cancelled."""
        if self._running:
            self._running, self._state.followed = "", CANCELLED

    # --- export ----------------------------------------------------------------------------------

    def export(self) -> None:
        """Write the tracks where the user chooses, in one of the field's formats."""
        if self._shown is None or not self._state.can_export:
            return
        shown, jobs = self._shown, self._bench.jobs
        chosen = self._bench.asking.ask_save("Export tracks", "tracks.geff", FORMATS)
        if not chosen:
            return
        path = Path(chosen)
        self._bench.desk.run(
            f"writing {path.name}",
            lambda: jobs.export(shown.setup, shown.axis, shown.tracks, path),
            lambda _: self._tell(path),
            cancellable=False,
        )

    def _tell(self, path: Path) -> None:
        self._bench.session.hint = f"Tracks are in {path}"

    def on_layers_changed(self) -> None:
        """Stop if the labels of a run are gone; export no tracks whose labels are."""
        name = self._bench.stage.name
        if self._running and not name(self._running):
            self._running, self._state.followed = "", GONE
            self._bench.interrupt()
        if self._shown is not None:
            self._state.can_export = bool(name(self._shown.layer))
