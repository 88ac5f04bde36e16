"""The presenter: passes on what the viewer and the dock report, keeps the session true.

No Qt and no napari here; the viewer is a :class:`~napari_ditto.ui.views.Scene`, the dock a
:class:`~napari_ditto.ui.views.DockView`, the thread a :class:`~napari_ditto.ui.runner.Runner`.
Everything runs on the main thread except the generators of the workshop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from napari_ditto.ui.desk import Desk
from napari_ditto.ui.dockstate import resolve
from napari_ditto.ui.everything import Everything
from napari_ditto.ui.examples.parts import Examples
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.model_choices import DEVICE_CHOICES, download_question, model_choices
from napari_ditto.ui.part import Part
from napari_ditto.ui.parts import Tools, make_parts
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.restoring import Restoring
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.session import NEW_LABELS, Choice, Session
from napari_ditto.ui.touching import Touching
from napari_ditto.ui.views import DockView, Scene
from napari_ditto.ui.whole.runs import WholeRuns
from napari_ditto.ui.workshop import Workshop

log = logging.getLogger(__name__)

RestoringFor = Callable[[Desk, Prompting, Callable[[], None]], Restoring]

PERSISTENT = ("model", "device", "overlap", "window_mode", "min_area_px", "min_score")
"""Settings that the next session starts with."""


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
        Called with ``field=value`` when the user changes a setting that persists.
    run_runner : Runner, optional
        The background thread of runs over whole images; by default the same, one after the other.
    restoring : callable, optional
        Makes the part that offers what an earlier session has left.
    """

    def __init__(
        self,
        scene: Scene,
        runner: Runner,
        session: Session | None = None,
        workshop: Workshop | None = None,
        remember: Callable[..., object] | None = None,
        run_runner: Runner | None = None,
        restoring: RestoringFor | None = None,
    ) -> None:
        self.session = session or Session()
        self._scene, self._runner, self._remember = scene, runner, remember
        self._views: list[DockView] = []
        self._closed = False
        self._desk = Desk(self.session, scene, runner, workshop or Workshop())
        self._prompting = Prompting(self._desk)
        self._proposing = Proposing(self._desk)
        self._labelling = Labelling(self._desk, self._prompting, self._proposing)
        self._touching = Touching(self._desk, self._proposing, self._labelling)
        self._everything = Everything(self._desk, self._proposing, self._labelling, self.confirm)
        self.examples = Examples(
            self._desk, self._proposing, self._prompting, self._labelling,
            self, self._new_points, self.interrupt,
        )  # fmt: skip
        self.whole = WholeRuns(
            self._desk, self._proposing, self.examples.state, self, run_runner or runner,
            self._labelling.note_layers,
        )  # fmt: skip
        start_over = self._proposing.start_over
        self._restoring = restoring and restoring(self._desk, self._prompting, start_over)
        self.parts = make_parts(self._tools())
        self._actions: dict[str, Callable[[], None]] = {
            "new_points": self._new_points,
            "new_boxes": self._new_boxes,
            "toggle_sign": self._toggle_sign,
            "next_proposal": self._proposing.next,
            "accept": self._touching.accept,
            "touch_up": self._touching.start,
            "swap_model": self._swap_model,
            "undo": self._labelling.undo,
            "redo": self._labelling.redo,
            "clear": self._clear,
            "segment_all": self._everything.start,
            "cancel": self.cancel,
            **self.examples.actions,
            **self.whole.actions,
        }
        for part in self.parts:
            self._actions.update(part.actions)
        self.session.model_choices, self.session.device_choices = model_choices(), DEVICE_CHOICES
        self._connect()
        self._on_layers_changed()

    def _tools(self) -> Tools:
        return Tools(
            self.session, self._desk, self._scene, self._prompting, self._proposing,
            self._labelling, self._touching, self.examples, self.whole, self,
            self.interrupt, self.act, self.choose,
        )  # fmt: skip

    def _connect(self) -> None:
        self._scene.layers_changed.connect(self._on_layers_changed)
        self._scene.image_edited.connect(self._on_image_edited)
        self._scene.prompts_changed.connect(self._on_prompts_changed)
        self._scene.plane_changed.connect(self._on_plane_changed)
        self._scene.stroked.connect(self._labelling.note)
        self._scene.action_pressed.connect(self.act)
        self.session.events.connect(self._show)
        self.session.events.working.connect(self._on_working)
        self.examples.state.events.connect(self._show_examples)
        self.whole.state.events.connect(self._show_whole)
        for part in self.parts:
            part.changed.connect(partial(self._show_part, part))

    # --- docks -----------------------------------------------------------------------------

    def attach(self, view: DockView) -> None:
        """Let a dock show the session and act on it."""
        self._views.append(view)
        view.acted.connect(self.act)
        view.chose.connect(self.choose)
        view.show_state(resolve(self.session))
        view.show_examples(self.examples.shown)
        view.show_whole(self.whole.shown())
        for part in self.parts:
            view.show_part(part.name, part.shown())

    def detach(self, view: DockView) -> None:
        """Forget a dock; with the last one everything ends."""
        if view not in self._views:
            return
        self._views.remove(view)
        view.acted.disconnect(self.act)
        view.chose.disconnect(self.choose)
        if not self._views:
            self.close()

    def shows(self, view: DockView) -> bool:
        """Whether a dock is attached."""
        return view in self._views

    @property
    def is_closed(self) -> bool:
        """Whether the last dock has gone."""
        return self._closed

    def close(self) -> None:
        """Stop, and let go of the viewer, which lives on."""
        self.stop()
        self._scene.close()

    def stop(self, *_: object) -> None:
        """Stop the thread and show nothing more; the viewer may be gone already."""
        if not self._closed:
            self._closed = True
            self._views.clear()
            # It winds down while a run is waited for.
            self._runner.wind_down()
            self.whole.close()
            for part in self.parts:
                part.close()
            if not self._runner.close():
                log.warning("a step of a job goes on in the background, its result is not used")

    def _show(self, *_: object) -> None:
        state = resolve(self.session)
        for view in self._views:
            view.show_state(state)
        self._show_examples()

    def _show_examples(self, *_: object) -> None:
        state = self.examples.shown
        for view in self._views:
            view.show_examples(state)
        self._show_whole()

    def _show_whole(self, *_: object) -> None:
        states = self.whole.shown()
        for view in self._views:
            view.show_whole(states)

    def _show_part(self, part: Part) -> None:
        state = part.shown()
        for view in self._views:
            view.show_part(part.name, state)

    def _on_working(self, name: str) -> None:
        if not name:
            self.examples.model_ready()

    # --- what only the user knows ------------------------------------------------------------

    def confirm(self, question: str) -> bool:
        """Ask for yes or no; without a dock the answer is no."""
        return bool(self._views) and self._views[0].confirm(question)

    def ask_text(self, question: str, suggestion: str) -> str:
        """Ask for a name."""
        return self._views[0].ask_text(question, suggestion) if self._views else ""

    def ask_open(self, title: str, pattern: str) -> str:
        """Ask for a file to read."""
        return self._views[0].ask_open(title, pattern) if self._views else ""

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write."""
        return self._views[0].ask_save(title, suggestion, pattern) if self._views else ""

    def ask_folder(self, title: str) -> str:
        """Ask for a folder."""
        return self._views[0].ask_folder(title) if self._views else ""

    # --- what the user does ------------------------------------------------------------------

    def act(self, action: str) -> None:
        """Do what a button, a key or a menu entry stands for; trouble goes into the dock."""
        self.session.error = self.session.undo_note = ""
        self._desk.guarded(self._actions[action])

    def choose(self, field: str, value: object) -> None:
        """Take over a setting from the dock."""
        self.session.error = ""
        self._desk.guarded(lambda: self._take(field, value))

    def warm_up(self) -> None:
        """Load the model in the background, now and whenever another one is to answer."""
        self._desk.guarded(self._proposing.warm_up)

    def look_back(self) -> None:
        """Look, once, for what an earlier session has left."""
        if self._restoring:
            self._desk.guarded(self._restoring.look)

    def cancel(self) -> None:
        """Give up what is running; what is finished is kept."""
        self.interrupt()
        self._touching.cancel()
        self.session.hint = "Cancelled"
        self.session.fixing = None
        self._everything.cancelled()
        self.examples.cancelled()
        for part in self.parts:
            part.cancelled()

    def interrupt(self) -> None:
        """Drop what is running, whatever it has found."""
        self._runner.cancel()
        self._proposing.cancelled()

    def _take(self, field: str, value: object) -> None:
        """Let the part choose that the field belongs to."""
        if self._restoring and field == "unsaved":
            self._restoring.answer(str(value))
            return
        if self.whole.takes(field):
            self.whole.choose(field, value)
            return
        owner = next((part for part in self.parts if part.takes(field)), None)
        if owner is not None:
            owner.choose(field, value)
        elif self.examples.takes(field):
            self.examples.choose(field, value)
        else:
            self._choose(field, value)
        self.whole.refresh()

    def _choose(self, field: str, value: object) -> None:
        if field == "model" and not self._may_use(str(value)):
            return self._show()
        if field == "window":
            self.session.window_mode = "given"
        if field == "model":
            self.session.choose_model(str(value))
        else:
            setattr(self.session, field, value)
        if self._remember and field in PERSISTENT and value != "given":
            self._remember(**{field: value})
        if field in ("images", "window_mode", "window"):
            self._proposing.start_over()
        elif field in ("model", "device"):
            self._proposing.ask_again()
        elif field in ("diameter", "text"):
            self._proposing.look()
        elif field == "prompt_layers":
            self._prompting.watch()
            self._proposing.look()
        return None

    def _may_use(self, model: str) -> bool:
        """Whether a model is here; if not, offer to fetch it, and choose it once it is."""
        question = download_question(model)
        if question and self.confirm(question):
            self._desk.run(
                f"downloading {model}",
                lambda: self._desk.workshop.fetch(model),
                lambda _: self._on_fetched(model),
            )
        return not question

    def _on_fetched(self, model: str) -> None:
        self.session.model_choices = model_choices()
        self._choose("model", model)

    def _new_points(self) -> None:
        self._arm(self._scene.add_points(self.session.images))

    def _new_boxes(self) -> None:
        self._arm(self._scene.add_boxes(self.session.images))

    def _arm(self, layer: str) -> None:
        self._prompting.use(layer)
        self._proposing.look()
        self._proposing.prepare()

    def _toggle_sign(self) -> None:
        layers, positive = self.session.prompt_layers, not self.session.positive
        self.session.positive = self._scene.toggle_sign(layers, positive)

    def _swap_model(self) -> None:
        self.session.choose_model(self.session.other_model)
        self._proposing.ask_again()

    def _clear(self) -> None:
        self._labelling.note(self._prompting.clear())
        self._proposing.look()

    # --- what the viewer does ----------------------------------------------------------------

    def _on_layers_changed(self) -> None:
        self._desk.guarded(self._sort_layers)

    def _sort_layers(self) -> None:
        session, scene = self.session, self._scene
        session.image_choices = scene.image_choices()
        session.target_choices = scene.target_choices()
        session.prompt_choices = scene.prompt_choices()
        if session.target and not _present((session.target,), session.target_choices):
            session.target = NEW_LABELS
        self._labelling.forget_gone()
        prompt_layers = _present(session.prompt_layers, session.prompt_choices)
        if prompt_layers != session.prompt_layers:
            session.prompt_layers = prompt_layers
            self._prompting.watch()
        images = _present(session.images, session.image_choices)
        images = images or tuple(choice.key for choice in session.image_choices[:1])
        if images != session.images:
            session.images = images
            self._proposing.start_over()
        else:
            self._proposing.look()
        self.examples.refresh()
        self.whole.refresh()
        self._refresh_parts()

    def _refresh_parts(self) -> None:
        for part in self.parts:
            part.refresh()

    def _on_image_edited(self, image: str) -> None:
        if image in self.session.images:
            self._desk.guarded(self._proposing.start_over)

    def _on_prompts_changed(self) -> None:
        self._desk.guarded(self._look_at_prompts)

    def _look_at_prompts(self) -> None:
        edit = self._prompting.take_edit()
        if edit is not None:
            # What an error was about has changed; our own changes leave no edit.
            self.session.error = ""
            self._labelling.note(edit)
            for part in self.parts:
                part.prompted()
        self._proposing.look()

    def _on_plane_changed(self) -> None:
        self._desk.guarded(self._proposing.look)
        self._desk.guarded(self.examples.plane_changed)
        self._desk.guarded(self.whole.refresh)
        self._desk.guarded(self._refresh_parts)


def _present(chosen: tuple[str, ...], choices: tuple[Choice, ...]) -> tuple[str, ...]:
    keys = {choice.key for choice in choices}
    return tuple(key for key in chosen if key in keys)
