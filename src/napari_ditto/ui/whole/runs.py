"""Runs over whole images, as one part of the controller: set up, start, watch, pause, resume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.core.control import Control
from napari_ditto.core.run_plan import Kind, Plan
from napari_ditto.errors import DittoError, JobCancelled, SourceError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.examples.bench import NOT_RUN, Asking
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.runner import Job, Runner, Steps
from napari_ditto.ui.whole.jobs import Ended, Looked, Opened, Order, Planned, WholeJobs
from napari_ditto.ui.whole.last_run import remember_run, remembered_run
from napari_ditto.ui.whole.pace import Pace, duration
from napari_ditto.ui.whole.session import Cost, Counts, Found, WholeSession
from napari_ditto.ui.whole.setting_up import SettingUp
from napari_ditto.ui.whole.state import WholeState, cost_text, resolve_whole
from napari_ditto.ui.whole.targets import free_name
from napari_ditto.ui.whole.watching import Standing

if TYPE_CHECKING:
    from napari_ditto.data.pyramid_labels import PyramidLabels
    from napari_ditto.engine.lessons import Lesson
    from napari_ditto.engine.whole.work import RunSummary

LONG_SECONDS = 600.0
"""A run that takes longer is asked about; what it takes is on show before it starts."""

END_SECONDS = 3.0
"""How long closing waits for a run; what it has not stored by then is done again."""

_STEPS = {
    "pairs": "comparing tiles over their seams",
    "merge": "putting objects together",
    "join": "joining planes",
    "paint": "painting the labels",
    "pyramid": "making coarser levels",
    "write": "finishing",
}


class WholeRuns:
    """Runs the model over whole images, one run at a time, beside everything else.

    Parameters
    ----------
    desk, proposing
        Parts of the controller.
    examples : ExamplesSession
        What "more like this" is about.
    asking : Asking
        Who puts questions to the user.
    runner : Runner
        The runs' own background thread.
    note_layers : callable
        Told what a layer shows that was made, and its id, so that Undo can take it out.
    jobs : WholeJobs, optional
        Makes the background jobs.
    """

    def __init__(
        self,
        desk: Desk,
        proposing: Proposing,
        examples: ExamplesSession,
        asking: Asking,
        runner: Runner,
        note_layers: Callable[[str, str], None],
        jobs: WholeJobs | None = None,
    ) -> None:
        self.state = WholeSession()
        self._desk, self._examples, self._asking, self._runner = desk, examples, asking, runner
        self._jobs, self._note_layers = jobs or WholeJobs(desk.workshop), note_layers
        self._setting_up = SettingUp(desk, proposing, examples, self.state)
        self._control, self._pace = Control(), Pace()
        self._plan: Plan | None = None
        self._images: tuple[str, ...] = ()
        self._layers: dict[str, str] = {}
        self._noted: set[str] = set()
        self._running = ""
        self.actions: Mapping[str, Callable[[], None]] = {
            "whole_start": self._start,
            "whole_anew": self._start_anew,
            "whole_pause": self._pause,
            "whole_cancel": self._cancel,
            "whole_retry": self._retry,
            "whole_browse": self._browse,
            "whole_last": self._take_last,
        }

    def shown(self) -> dict[Kind, WholeState]:
        """Return what the sections of the two docks draw."""
        kinds: tuple[Kind, Kind] = ("all", "like")
        session = self._desk.session
        return {kind: resolve_whole(session, self._examples, self.state, kind) for kind in kinds}

    def takes(self, field: str) -> bool:
        """Whether a choice in a dock is ours."""
        return field.startswith("whole_")

    def choose(self, field: str, value: Any) -> None:  # noqa: ANN401 - what the dock says
        """Take over a setting, or what was done to the section."""
        name = field.removeprefix("whole_")
        if name == "open":
            self._open(value)
        elif name == "closed":
            self.state.is_open = self.state.is_open and self.state.kind != value
        elif name == "failure":
            self._go_to(value)
        else:
            self._setting_up.choose(name, value)
            self.refresh()

    def _open(self, kind: Kind) -> None:
        """Begin to keep a section up to date: it is on show now."""
        state = self.state
        state.is_open, state.kind, state.last = True, kind, remembered_run()
        self.refresh()

    # --- before a run ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at layers, plane and target again, if a section is on show."""
        state = self.state
        if not state.is_open or state.is_running:
            return
        try:
            self._setting_up.look()
            order = self._setting_up.order()
        except DittoError as problem:
            state.cost, state.found, state.trouble = None, None, str(problem)
            return
        state.trouble = ""
        self._submit(
            "estimating", lambda: self._jobs.look(order), self._on_looked, self._not_looked, True
        )

    def _on_looked(self, looked: Looked) -> None:
        state = self.state
        if not state.is_running:
            state.target, state.found = str(looked.target), looked.found
            state.cost, state.differs = looked.cost, looked.differs

    def _not_looked(self, error: DittoError) -> None:
        self.state.cost, self.state.trouble = None, str(error)

    def _browse(self) -> None:
        path = self._asking.ask_save("Save the labels to", self.state.target, "OME-Zarr (*.zarr)")
        if path:
            self._setting_up.choose("target", path)
            self.refresh()

    def _take_last(self) -> None:
        """Look at the run that was left unfinished."""
        self._setting_up.choose("target", self.state.last)
        self.refresh()

    # --- starting --------------------------------------------------------------------------------

    def _start(self) -> None:
        """Begin a run, or go on with the one that is at the target."""
        found = self.state.found
        if self.state.is_running:
            return
        if found is not None and found.finished:
            self._show_finished(self.state.folder)
        elif found is not None and found.plan is not None:
            self._resume(found)
        else:
            self._order()

    def _start_anew(self) -> None:
        self._setting_up.choose("target", str(free_name(self.state.folder)))
        self.state.found = None
        self._order()

    def _order(self) -> None:
        """Plan a new run, ask if it is long, and begin."""
        order = self._setting_up.order()
        self._begin(order.target)

        def planned(made: Planned) -> None:
            long = made.cost.seconds / max(1, order.workers) > LONG_SECONDS
            if long and not self._asking.confirm(question(made.cost, order.workers)):
                self._end(NOT_RUN)
            else:
                self._run(order, made.plan, made.lesson)

        self._submit("planning", lambda: self._jobs.order(order), planned, self._failed)

    def _show_finished(self, target: Path) -> None:
        """Show the labels of a run that has come to its end, whoever did it."""
        images, stage = self._desk.session.images, self._desk.scene.runs
        if self._desk.scene.stage.name(self._layers.get(str(target), "")):
            self.state.report = "These labels are on show already"
            return

        def opened(store: PyramidLabels) -> None:
            layer = self._layers[str(target)] = stage.show_run(images, store.levels)
            stage.finish_run(layer, store, dict(store.provenance))
            self._note(f"labels of {target.name}", layer)

        self._submit("opening", lambda: self._jobs.show(target), opened, self._failed)

    def _note(self, text: str, layer: str) -> None:
        """Let Undo take the layer out of the viewer; a run that was resumed is one step."""
        if layer not in self._noted and self._desk.scene.stage.name(layer):
            self._noted.add(layer)
            self._note_layers(text, layer)

    def _resume(self, found: Found) -> None:
        assert found.plan is not None  # noqa: S101 - asked for only if there is one
        order = self._setting_up.order()
        _check_image(found.plan, order)
        self._begin(order.target)
        self._run(order, found.plan)

    def _retry(self) -> None:
        """Try the tiles again that were given up."""
        if self._plan is not None and not self.state.is_running:
            self._setting_up.choose("target", self._plan.target)
            self._resume(Found(self._plan))

    def _begin(self, target: Path) -> None:
        state = self.state
        state.phase, state.error, state.report = "starting", "", ""
        state.failures, state.counts, state.fraction, state.left = (), Counts(), None, None
        state.found = None
        state.step, state.title = "", target.name
        self._control, self._pace = Control(), Pace()

    def _run(self, order: Order, plan: Plan, lesson: Lesson | None = None) -> None:
        self._plan, self._images = plan, self._desk.session.images
        self._running = str(order.target)
        remember_run(self._running)
        control = self._control
        self._submit(
            "running",
            lambda: self._jobs.run(order, plan, lesson, control),
            self._on_ended,
            self._failed,
            on_partial=self._on_partial,
        )

    # --- while it runs ---------------------------------------------------------------------------

    def _on_partial(self, partial: object) -> None:
        if isinstance(partial, Opened):
            self._show(partial)
        elif isinstance(partial, Standing):
            self._stand(partial)

    def _show(self, opened: Opened) -> None:
        """Show the labels as they come, in the layer of this run if there is one."""
        stage, target = self._desk.scene.runs, self._running
        if not self._desk.scene.stage.name(self._layers.get(target, "")):
            self._layers[target] = stage.show_run(self._images, opened.levels)
        else:
            stage.begin_again(self._layers[target])
        self.state.layer = self._layers[target]

    def _stand(self, now: Standing) -> None:
        state = self.state
        if state.phase == "starting":
            state.phase = "running"
        if now.stage == "tiles":
            state.counts = Counts(now.total, now.done, now.skipped, now.failed)
        step = _STEPS.get(now.stage, "")
        if step and not state.step and self._plan and self._pace.per_item:
            self._jobs.measured(self._plan, self._pace.per_item)
        if step != state.step:
            self._pace.restart()
        state.step = step
        self._pace.count(now.fresh)
        state.fraction = now.done / now.total if now.total else None
        state.left = self._pace.left(now.total - now.done)
        self._desk.scene.runs.refresh_run(state.layer)

    def _pause(self) -> None:
        state = self.state
        if state.phase == "running":
            self._control.pause()
            self._pace.pause()
            state.phase = "paused"
        elif state.phase == "paused":
            self._pace.resume()
            self._control.resume()
            state.phase = "running"

    def _cancel(self) -> None:
        self._control.cancel()
        if self.state.phase == "starting":
            # Nothing has been done yet, and loading or learning asks no control.
            self._runner.cancel()
            self._end(NOT_RUN)
        elif self.state.is_running:
            self.state.phase = "stopping"

    # --- its end ---------------------------------------------------------------------------------

    def _on_ended(self, ended: Ended) -> None:
        summary, state = ended.summary, self.state
        self._desk.scene.runs.finish_run(state.layer, ended.store, ended.provenance)
        self._note("whole-image run", state.layer)
        if summary.state == "finished":
            remember_run("")
        state.failures = summary.failed
        state.counts = Counts(
            summary.tiles, summary.tiles - len(summary.failed), summary.skipped, len(summary.failed)
        )
        self._end(report(summary))

    def _failed(self, error: DittoError) -> None:
        state = self.state
        counts = state.counts
        if isinstance(error, JobCancelled):
            kept = f"{counts.done:,} of {counts.total:,} tiles are done and kept"
            self._end(f"Stopped: {kept}. Resume when you like" if counts.total else NOT_RUN)
        else:
            self._end("")
            state.error = str(error)

    def _end(self, report: str) -> None:
        state = self.state
        self._desk.scene.runs.refresh_run(state.layer, now=True)
        state.phase, state.step, state.fraction, state.left = "idle", "", None, None
        state.report = report
        self.refresh()

    def _go_to(self, number: int) -> None:
        """Show a tile that was given up."""
        if self._plan is not None:
            tile = self._plan.tile(number)
            self._desk.scene.runs.go_to_tile(self._images, tile.address, tile.core)

    def close(self) -> bool:
        """Stop, in a way that can be resumed; return whether the thread has ended."""
        self._control.cancel()
        return self._runner.close(END_SECONDS)

    # --- jobs ------------------------------------------------------------------------------------

    def _submit(
        self,
        name: str,
        steps: Callable[[], Steps],
        on_done: Callable[[Any], None],
        on_error: Callable[[DittoError], None],
        replaceable: bool = False,
        on_partial: Callable[[object], None] | None = None,
    ) -> None:
        def on_progress(progress: Any) -> None:  # noqa: ANN401 - a Progress
            if progress.partial is not None and on_partial:
                self._desk.guarded(lambda: on_partial(progress.partial))
            elif self.state.phase == "starting":
                self.state.step = progress.text

        self._runner.submit(
            Job(
                name,
                steps,
                on_done=lambda result: self._desk.guarded(lambda: on_done(result)),
                on_error=lambda error: self._desk.guarded(lambda: on_error(error)),
                on_progress=on_progress,
                replaceable=replaceable,
            )
        )


def _check_image(plan: Plan, order: Order) -> None:
    """Refuse to go on with a run on another image."""
    source = order.setup.source
    if (plan.axes, plan.shape) != (source.axes, tuple(source.shape)):
        raise SourceError(
            f"that run is of an image of shape {plan.shape}, this one has {tuple(source.shape)}",
            where=plan.source.name,
            todo="Choose that image in the dock first",
        )


def question(cost: Cost, workers: int) -> str:
    """Return what to ask before a long run."""
    text = cost_text(cost, workers)
    return f"{text}.\n\nYou can go on working, pause, cancel and resume at any time. Start?"


def report(summary: RunSummary) -> str:
    """Return in one line what came of a run."""
    objects = "1 object" if summary.objects == 1 else f"{summary.objects:,} objects"
    took = duration(summary.seconds)
    if not summary.failed:
        return f"Finished: {objects} in {took}"
    failed = len(summary.failed)
    return f"{objects} in {took}; {failed} of {summary.tiles:,} tiles failed and are empty"
