"""Cells followed through time: found by example in each frame, linked, shown as tracks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.errors import LabelsError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.follow_jobs import Tracks, Way
from napari_ditto.ui.examples.following import Course, Following
from napari_ditto.ui.examples.jobs import OBJECTS_PER_PLANE
from napari_ditto.ui.examples.session import Mark
from napari_ditto.ui.workshop import Setup

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

NAME = "tracks"
FORMATS = "Cell Tracking Challenge (*.ctc);;GEFF (*.geff)"


class Tracking:
    """Tracks cells that move and divide."""

    def __init__(self, bench: Bench, collecting: Collecting, following: Following) -> None:
        self._bench, self._state = bench, bench.state
        self._collecting, self._following = collecting, following
        self._tracks: tuple[str, Setup, Tracks] | None = None

    def run(self) -> None:
        """Track after the examples that are switched on, once the user agrees."""
        self._collecting.add_if_empty()
        examples = self._state.enabled
        if not examples:
            raise LabelsError("no example is switched on", todo="Tick one in the list")
        setup, way = self._bench.setup, self._following.way()
        height, width = setup.source.plane_shape(way.plane)
        frames = len(tuple(way.positions()))
        self._bench.when_agreed(
            setup,
            height * width,
            frames,
            OBJECTS_PER_PLANE,
            lambda: self._track(setup, way, examples),
        )

    def _track(self, setup: Setup, way: Way, examples: tuple[PlaneExample, ...]) -> None:
        jobs, images = self._bench.jobs, self._bench.session.images
        self._state.followed = ""
        self._bench.desk.run(
            "following cells",
            lambda: jobs.track(setup, way, examples),
            lambda tracks: self._show(tracks, setup, way, images),
        )

    def _show(self, tracks: Tracks, setup: Setup, way: Way, images: tuple[str, ...]) -> None:
        stage, lineage = self._bench.stage, tracks.lineage
        layer = stage.add_result(images, setup.source, tracks.store, NAME)
        if len(lineage.points):
            stage.add_tracks(images, setup.source, lineage)
        course = Course(layer, images, tracks.store, way)
        for position in way.positions():
            course.marks[position] = Mark(position, 1.0)
        for doubt in tracks.review:
            at = way.position(doubt.address)
            if at is not None:
                course.doubts[at] = (*course.doubts.get(at, ()), doubt)
                least = min(course.marks[at].confidence, doubt.confidence)
                course.marks[at] = Mark(at, least, doubtful=True)
        self._following.show_tracks(course)
        self._tracks = (layer, setup, tracks)
        self._state.can_export = True
        cells, divisions = len(lineage.tracks), len(lineage.divisions)
        self._state.followed = f"{cells} tracks, {divisions} divisions"

    def export(self) -> None:
        """Write the tracks to a folder that the user chooses, in one of the field's formats."""
        if self._tracks is None:
            return
        _, setup, tracks = self._tracks
        chosen = self._bench.asking.ask_save("Export tracks", "tracks.geff", FORMATS)
        if not chosen:
            return
        path, jobs = Path(chosen), self._bench.jobs
        self._bench.desk.run(
            f"writing {path.name}",
            lambda: jobs.export(setup, tracks, path),
            lambda _: self._tell(path),
            cancellable=False,
        )

    def _tell(self, path: Path) -> None:
        self._bench.session.hint = f"Tracks are in {path}"

    def on_layers_changed(self) -> None:
        """Forget tracks whose labels are gone."""
        if self._tracks is not None and not self._bench.stage.name(self._tracks[0]):
            self._tracks, self._state.can_export = None, False
