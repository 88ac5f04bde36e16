"""The presenter: listens to the viewer and the dock, asks the engine, keeps the session true.

No Qt and no napari here; the viewer is a :class:`~napari_ditto.ui.views.Scene`, the dock a
:class:`~napari_ditto.ui.views.DockView`, the thread a :class:`~napari_ditto.ui.runner.Runner`.
Everything runs on the main thread except the generators of the workshop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.data.protocols import Source
from napari_ditto.errors import DittoError
from napari_ditto.ui.dockstate import resolve
from napari_ditto.ui.history import Edit, History, LabelEdit, PromptEdit
from napari_ditto.ui.prompt_state import PromptState
from napari_ditto.ui.runner import Job, Runner, Steps, as_ditto_error
from napari_ditto.ui.session import NEW_LABELS, Choice, Session
from napari_ditto.ui.views import DockView, Scene
from napari_ditto.ui.workshop import Setup, Workshop, Written, take_back

NOTHING_HERE = (
    "No object found here: move the point, add another one, draw a box, or try another model"
)
ONLY_NEGATIVE = "Only exclusions so far: add a click or box on the object itself"


class Controller:
    """Keeps one session in step with one viewer.

    Parameters
    ----------
    scene : Scene
        The viewer.
    runner : Runner
        The background thread.
    session : Session, optional
        With the user's settings already in it.
    workshop : Workshop, optional
        Makes the background jobs.
    remember : callable, optional
        Told ``(field, value)`` when the user changes a setting that should persist.
    """

    def __init__(
        self,
        scene: Scene,
        runner: Runner,
        session: Session | None = None,
        workshop: Workshop | None = None,
        remember: Callable[[str, Any], None] = lambda field, value: None,
    ) -> None:
        self.session = session or Session()
        self._scene, self._runner = scene, runner
        self._workshop = workshop or Workshop()
        self._remember = remember
        self._views: list[DockView] = []
        self._history = History()
        self._state: PromptState = {}
        self._source: Source | None = None
        self._accept_when_ready = self._closed = False
        self._actions: dict[str, Callable[[], None]] = {
            "new_points": self.new_points,
            "new_boxes": self.new_boxes,
            "toggle_sign": self.toggle_sign,
            "next_proposal": self.next_proposal,
            "accept": self.accept,
            "undo": self.undo,
            "redo": self.redo,
            "clear": self.clear,
            "segment_all": self.segment_all,
            "cancel": self.cancel,
        }
        self._connect()
        self._on_layers_changed()

    def _connect(self) -> None:
        self._runner.on_state = self._on_runner_state
        self._scene.layers_changed.connect(self._on_layers_changed)
        self._scene.image_edited.connect(self._on_image_edited)
        self._scene.prompts_changed.connect(self._on_prompts_changed)
        self._scene.plane_changed.connect(self.refresh)
        self._scene.action_pressed.connect(self.act)
        self.session.events.connect(self._render)

    # --- docks -----------------------------------------------------------------------------

    def attach(self, view: DockView) -> None:
        """Let a dock show the session and act on it."""
        self._views.append(view)
        view.acted.connect(self.act)
        view.chose.connect(self.choose)
        view.show_state(resolve(self.session))

    def detach(self, view: DockView) -> None:
        """Forget a dock; with the last one everything ends."""
        self._views.remove(view)
        if not self._views:
            self.close()

    @property
    def is_closed(self) -> bool:
        """Whether the last dock has gone."""
        return self._closed

    def close(self) -> bool:
        """Stop the thread and let go of the viewer; return whether the thread has ended."""
        self._closed = True
        ended = self._runner.close()
        self._scene.close()
        return ended

    def _render(self, *_: object) -> None:
        state = resolve(self.session)
        for view in self._views:
            view.show_state(state)

    # --- what the user does ------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a button, a key or a menu entry stands for; trouble goes into the dock."""
        self.session.error = ""
        self._guarded(self._actions[action])

    def choose(self, field: str, value: Any) -> None:
        """Take over a setting from the dock."""
        self.session.error = ""
        setattr(self.session, field, value)
        self._remember(field, value)
        if field in ("images", "window_mode", "window", "model", "device"):
            self._start_over()
        elif field == "prompt_layers":
            self._guarded(self._watch)

    def new_points(self) -> None:
        """Make and arm a layer for clicks."""
        self._use(self._scene.add_points(self.session.images))

    def new_boxes(self) -> None:
        """Make and arm a layer for boxes."""
        self._use(self._scene.add_boxes(self.session.images))

    def toggle_sign(self) -> None:
        """Switch between clicks on the object and clicks on what it is not."""
        layers, positive = self.session.prompt_layers, not self.session.positive
        self.session.positive = self._scene.toggle_sign(layers, positive)

    def next_proposal(self) -> None:
        """Show the next candidate."""
        proposals = self.session.proposals
        if proposals is not None and self.session.has_object:
            self.session.choice = (self.session.choice + 1) % len(proposals)
            self._scene.show_preview(self.session.images, proposals, self.session.choice)

    def accept(self) -> None:
        """Write the candidate on show; if a newer one is on its way, wait for that."""
        if self.session.asked:
            self._accept_when_ready = True
            self.session.hint = "Will be accepted as soon as it is there"
        elif self.session.has_object:
            self._guarded(self._write_choice)

    def undo(self) -> None:
        """Take back the last prompt or the last accepted label, whichever came last."""
        edit = self._history.take_undo()
        if isinstance(edit, PromptEdit):
            self._restore(edit.before)
            self._history.put_undone(edit)
        elif edit is not None:
            self._rewrite(
                edit,
                edit.revert,
                edit.prompts.before,
                self._history.put_undone,
                self._history.put_done,
            )
        self._show_history()

    def redo(self) -> None:
        """Do again what was undone last."""
        edit = self._history.take_redo()
        if isinstance(edit, PromptEdit):
            self._restore(edit.after)
            self._history.put_done(edit)
        elif edit is not None:
            self._rewrite(
                edit,
                edit.apply,
                edit.prompts.after,
                self._history.put_done,
                self._history.put_undone,
            )
        self._show_history()

    def clear(self) -> None:
        """Remove the prompts of this plane; Undo brings them back."""
        self._history.add(self._clear_prompts())
        self._show_history()
        self.refresh()

    def cancel(self) -> None:
        """Give up what is running."""
        self._runner.cancel()
        self._accept_when_ready = False
        self.session.asked = False
        self.session.hint = "Cancelled"

    def segment_all(self) -> None:
        """Segment the plane on show; what is found is one step for Undo."""
        self._accept_when_ready = False
        setup, address = self._setup(), self._scene.address(self.session.images)
        self._run(
            "estimating",
            lambda: self._workshop.estimate(setup, address),
            self._segment_after_asking,
        )

    # --- what the viewer does ----------------------------------------------------------------

    def _on_layers_changed(self) -> None:
        session, scene = self.session, self._scene
        session.image_choices = scene.image_choices()
        session.target_choices = scene.target_choices()
        session.prompt_choices = scene.prompt_choices()
        images = _present(session.images, session.image_choices)
        if not images and session.image_choices:
            images = (session.image_choices[0].key,)
        session.prompt_layers = _present(session.prompt_layers, session.prompt_choices)
        if session.target and not _present((session.target,), session.target_choices):
            self._history.forget_target(session.target)
            session.target = NEW_LABELS
            self._show_history()
        if images != session.images:
            session.images = images
            self._start_over()
        self._watch()

    def _on_image_edited(self, image: str) -> None:
        if image in self.session.images:
            self._start_over()

    def _on_prompts_changed(self) -> None:
        state = self._scene.prompt_state(self.session.prompt_layers)
        if state != self._state:
            self._history.add(PromptEdit(self._state, state))
            self._state = state
            self._show_history()
        self.refresh()

    def refresh(self) -> None:
        """Ask for proposals for the prompts and the plane on show, unless they are there."""
        self._guarded(self._look)

    def _look(self) -> None:
        session = self.session
        if not session.images:
            return self._forget("")
        try:
            address = self._scene.address(session.images)
            prompts = self._scene.prompts(session.prompt_layers, session.images)
        except DittoError as problem:
            session.address, session.prompts = None, PromptSet()
            return self._forget(str(problem))
        same = (address, prompts) == (session.address, session.prompts)
        if same and (prompts.is_empty or session.asked or session.proposals):
            return None
        session.address, session.prompts = address, prompts
        if prompts.is_empty:
            return self._forget("")
        if not prompts.has_positive:
            return self._forget(ONLY_NEGATIVE)
        return self._ask()

    def _forget(self, hint: str) -> None:
        """Show no proposal and want none."""
        self._runner.drop_replaceable()
        self._accept_when_ready = self.session.asked = False
        self.session.proposals = None
        self.session.hint = hint
        self._scene.hide_preview()

    def _start_over(self) -> None:
        """Image, window or model changed: what was found so far does not count any more."""
        self._runner.drop_replaceable()
        self._source, self.session.ready, self.session.asked = None, False, False
        self.session.proposals = None
        self._scene.hide_preview()
        self.refresh()

    def _watch(self) -> None:
        self._scene.watch(self.session.prompt_layers)
        self._state = self._scene.prompt_state(self.session.prompt_layers)
        self.refresh()

    def _use(self, layer: str) -> None:
        """Read a layer as prompts from now on."""
        if layer not in self.session.prompt_layers:
            self.session.prompt_layers = (*self.session.prompt_layers, layer)
        self._watch()
        self._prepare()

    # --- jobs --------------------------------------------------------------------------------

    def _setup(self) -> Setup:
        session = self.session
        if self._source is None:
            given = session.window if session.window_mode == "given" else None
            self._source = self._scene.open_source(session.images, given or session.window_mode)
        return Setup(self._source, session.model, session.device)

    def _run(
        self,
        name: str,
        steps: Callable[[], Steps],
        on_done: Callable[[Any], None],
        on_error: Callable[[DittoError], None] | None = None,
        *,
        replaceable: bool = False,
        cancellable: bool = True,
    ) -> None:
        """Run a job in the background; trouble in what follows it is shown in the dock too."""
        job = Job(
            name,
            steps,
            on_done=lambda result: self._guarded(lambda: on_done(result)),
            on_error=on_error or self._on_error,
            on_progress=self._on_progress,
            replaceable=replaceable,
            cancellable=cancellable,
        )
        self._runner.submit(job)

    def _prepare(self) -> None:
        """Load image and model while the user aims."""
        if self.session.ready or self.session.asked or not self.session.images:
            return
        setup = self._setup()
        self._run(
            "getting ready",
            lambda: self._workshop.prepare(setup),
            on_done=self._on_prepared,
            replaceable=True,
        )

    def _on_prepared(self, source: Source) -> None:
        self.session.ready = True
        self._show_window(source)

    def _show_window(self, source: Source) -> None:
        if source is self._source:
            self.session.window = source.window

    def _ask(self) -> None:
        setup, session = self._setup(), self.session
        prompts, address = session.prompts, session.address
        assert address is not None
        session.asked, session.hint = True, ""
        self._run(
            "looking for the object",
            lambda: self._workshop.predict(setup, prompts, address),
            on_done=self._on_proposals,
            on_error=self._on_ask_failed,
            replaceable=True,
        )

    def _on_proposals(self, proposals: Proposals) -> None:
        session = self.session
        session.asked, session.ready = False, True
        session.proposals, session.choice = proposals, proposals.best
        if self._source is not None:
            self._show_window(self._source)
        if proposals.is_empty:
            self._accept_when_ready = False
            session.hint = NOTHING_HERE
            self._scene.hide_preview()
            return
        session.hint = ""
        self._scene.show_preview(session.images, proposals, session.choice)
        if self._accept_when_ready:
            self._accept_when_ready = False
            self._write_choice()

    def _on_ask_failed(self, error: DittoError) -> None:
        self._forget("")
        self._on_error(error)

    def _write_choice(self) -> None:
        session, setup = self.session, self._setup()
        proposals, choice, overlap = session.proposals, session.choice, session.overlap
        assert proposals is not None
        images, target = session.images, session.target
        store = self._scene.label_store(target, setup.source, images) if target else None
        edit = self._clear_prompts()
        self._look()
        self._run(
            "writing the label",
            lambda: self._workshop.accept(setup, store, proposals, choice, overlap),
            on_done=lambda done: self._on_written(setup.source, images, target, edit, done),
            on_error=lambda error: self._on_write_failed(edit, error),
            cancellable=False,
        )

    def _clear_prompts(self) -> PromptEdit:
        session, before = self.session, self._state
        session.prompt_layers = self._scene.clear_prompts(session.prompt_layers, session.images)
        self._scene.watch(session.prompt_layers)
        self._state = self._scene.prompt_state(session.prompt_layers)
        return PromptEdit(before, self._state)

    def _on_written(
        self,
        source: Source,
        images: tuple[str, ...],
        target: str,
        prompts: PromptEdit,
        done: Written,
    ) -> None:
        if target == NEW_LABELS:
            target = self._scene.add_labels(images, source, done.store)
            self.session.target_choices = self._scene.target_choices()
            self.session.target = target
        self._scene.refresh_labels(target, done.provenance)
        edit = LabelEdit(target, done.store, done.deltas, prompts)
        self._history.add(edit)
        self._show_history()
        self.session.hint = f"Accepted as {edit.text}"

    def _on_write_failed(self, prompts: PromptEdit, error: DittoError) -> None:
        self._restore(prompts.before)
        self._on_error(error)

    def _rewrite(
        self,
        edit: LabelEdit,
        change: Callable[[], None],
        prompts: PromptState,
        keep: Callable[[Edit], None],
        give_back: Callable[[Edit], None],
    ) -> None:
        """Revert or apply a label edit in the background, then put its prompts back."""

        def done(_: object) -> None:
            keep(edit)
            self._scene.refresh_labels(edit.target)
            self._restore(prompts)
            self._show_history()

        def failed(error: DittoError) -> None:
            give_back(edit)
            self._show_history()
            self._on_error(error)

        self._run(
            "writing the labels",
            lambda: take_back(change),
            on_done=done,
            on_error=failed,
            cancellable=False,
        )

    def _restore(self, state: PromptState) -> None:
        self._scene.restore_prompts(state)
        self._state = self._scene.prompt_state(self.session.prompt_layers)
        self.refresh()

    # --- reports -----------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        self.session.progress = progress

    def _on_runner_state(self, job: Job | None) -> None:
        self.session.progress = None
        self.session.working = job.name if job else ""
        self.session.cancellable = job.cancellable if job else True

    def _on_error(self, error: DittoError) -> None:
        self.session.error = str(error)

    def _show_history(self) -> None:
        self.session.undo_text = self._history.undo_text
        self.session.redo_text = self._history.redo_text

    def _guarded(self, call: Callable[[], object]) -> None:
        """Show any trouble in the dock; what is not ours goes to the log as well."""
        try:
            call()
        except Exception as error:
            self._on_error(as_ditto_error(error))


def _present(chosen: tuple[str, ...], choices: tuple[Choice, ...]) -> tuple[str, ...]:
    keys = {choice.key for choice in choices}
    return tuple(key for key in chosen if key in keys)
