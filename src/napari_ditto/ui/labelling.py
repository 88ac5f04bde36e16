"""Accepted labels: written in the background, undone and redone together with their prompts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from psygnal import Signal

from napari_ditto.core.proposals import Proposals
from napari_ditto.data.object_records import ObjectClass
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.errors import DittoError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.history import Edit, History, LabelEdit, PromptEdit, ValueEdit
from napari_ditto.ui.job_values import Setup, Written
from napari_ditto.ui.objects_table.classes import Classes
from napari_ditto.ui.objects_table.layer_tables import LayerTables
from napari_ditto.ui.objects_table.tables import ObjectTables
from napari_ditto.ui.prompt_state import PromptState
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.runner import Steps
from napari_ditto.ui.session import NEW_LABELS, Fixing
from napari_ditto.ui.workshop import take_back

_WRITING = "writing labels"


ALL_LABELLED = "Everything found on this plane has a label already"


class Labelling:
    """Writes to the target and keeps the line of steps that Undo walks back.

    Attributes
    ----------
    tables : ObjectTables
        What is known of the objects of each layer.
    classes : Classes
        Which class accepted objects get.
    """

    written = Signal(str)
    """Labels of a layer were written, taken back or done again; carries its id."""
    acted = Signal()
    """A step was done, taken back or done again."""
    stepped = Signal(object, bool)
    """A LabelEdit was done (true) or taken back (false)."""
    fixed = Signal(object)
    """An accepted mask took the place of an object; carries the Fixing."""

    def __init__(self, desk: Desk, prompting: Prompting, proposing: Proposing) -> None:
        self._desk, self._session, self._scene = desk, desk.session, desk.scene
        self._prompting, self._proposing = prompting, proposing
        self._history = History(self._session.undo_bytes)
        viewer = self._scene.viewer_for_parts
        self.tables = ObjectTables(LayerTables(viewer, desk.fail) if viewer else None)
        self.classes = Classes()
        self._turns: deque[Callable[[], None]] = deque()
        self._writing, self._told = False, 0

    def note(self, edit: PromptEdit | ValueEdit) -> None:
        """Record what the user did to the prompts, or to something small."""
        self._history.add(edit)
        self._show_history()
        self.acted.emit()

    def note_layers(self, text: str, *layers: str) -> None:
        """Record that layers were made: Undo takes them out of the viewer, Redo puts them back."""
        scene = self._scene
        held: list[object] = []

        def take_out() -> None:
            held[:] = [scene.take_out(layer) for layer in layers]

        def put_back() -> None:
            for layer in held:
                scene.put_back(layer)

        others = frozenset(layers[1:])
        self.note(ValueEdit(text, put_back, take_out, targets=others, creates=layers[0]))

    def forget_gone(self) -> None:
        """Drop the steps about layers that the user has deleted."""
        name = self._scene.stage.name
        self._history.forget_gone(lambda layer: bool(name(layer)))
        self._show_history()

    def accept(self) -> None:
        """Write the candidate on show, and make room for the next object."""
        session, workshop = self._session, self._desk.workshop
        proposals, choice, overlap = session.proposals, session.choice, session.overlap
        if proposals is None:
            return
        setup, fixing = self._proposing.setup(), session.fixing
        if fixing is not None and fixing.address == proposals.address:
            self._fix(setup, fixing, proposals)
            return
        self.write(
            lambda store: workshop.accept(setup, store, proposals, choice, overlap),
            setup,
            self._prompting.clear,
        )
        self._proposing.look()

    def _fix(self, setup: Setup, fixing: Fixing, proposals: Proposals) -> None:
        """Write the candidate on show in the place of an object."""
        session, workshop, prompts = self._session, self._desk.workshop, self._prompting.clear()
        choice, overlap = session.choice, session.overlap

        def done() -> None:
            session.fixing = None
            session.hint = f"Label {fixing.label} was fixed on this plane"
            self.fixed.emit(fixing)

        self.write_to(
            fixing.layer,
            lambda: workshop.replace_object(
                setup, fixing.store, proposals, choice, fixing.label, overlap
            ),
            done,
            prompts,
        )
        self._proposing.look()

    def write_to(
        self,
        layer: str,
        steps: Callable[[], Steps],
        then: Callable[[], None],
        prompts: PromptEdit | None = None,
    ) -> None:
        """Run a job that writes to a layer which is there; its end is one step for Undo."""
        prompts = prompts or PromptEdit.nothing()

        def done(written: Written) -> None:
            self._scene.refresh_labels(layer)
            also = self.tables.note(layer, written.provenance)
            also += self.tables.follow(layer, written.became)
            edit = LabelEdit(layer, written.store, written.deltas, prompts, also, name=written.text)
            self.record(edit)
            then()

        def failed(error: DittoError) -> None:
            self._restore(prompts.before)
            self._desk.fail(error)

        self._in_turn(lambda: self._write(steps, done, failed))

    def record(self, edit: LabelEdit) -> None:
        """Add a step to the line that Undo walks back, and tell that labels have changed."""
        self._history.add(edit)
        self._show_history()
        self.acted.emit()
        self.stepped.emit(edit, True)
        self.written.emit(edit.target)

    def write(
        self,
        steps: Callable[[LabelStore | None], Steps],
        setup: Setup,
        take_prompts: Callable[[], PromptEdit] = PromptEdit.nothing,
    ) -> None:
        """Run a job that writes labels to the target; its end is one step for Undo.

        `steps` is given the store of the target, None for a new one; `take_prompts` removes the
        prompts that are answered, once it is clear that the target can be written to.
        """
        images, kind = self._session.images, self.classes.current
        chosen = self._target(images, kind)
        known = self._store(chosen, setup, images)
        prompts = take_prompts()

        def begin() -> None:
            # An accept before this one may have made the new layer meanwhile.
            target = chosen or self._target(images, kind)
            store = known or self._store(target, setup, images)
            self._write(lambda: steps(store), partial(done, target), failed)

        def done(target: str, written: Written) -> None:
            self._on_written(setup.source, images, target, kind, prompts, written)

        def failed(error: DittoError) -> None:
            self._restore(prompts.before)
            self._desk.fail(error)

        self._in_turn(begin)

    def _target(self, images: tuple[str, ...], kind: ObjectClass | None) -> str:
        """Return the layer to write to: the target, or the one that the class has on the image."""
        if kind is None or not self.classes.per_layer:
            return self._session.target
        choices = {choice.key: choice.text for choice in self._scene.target_choices()}
        given, name = self.classes.layer(images, kind), self._class_layer_name(images, kind)
        if given in choices:
            return given
        return next((key for key, text in choices.items() if text == name), NEW_LABELS)

    def _class_layer_name(self, images: tuple[str, ...], kind: ObjectClass) -> str:
        return f"{self._scene.stage.name(images[0])} {kind.name}"

    def _store(self, target: str, setup: Setup, images: tuple[str, ...]) -> LabelStore | None:
        if target == NEW_LABELS:
            return None
        return self._scene.label_store(target, setup.source, images)

    def _on_written(
        self,
        source: Source,
        images: tuple[str, ...],
        target: str,
        kind: ObjectClass | None,
        prompts: PromptEdit,
        done: Written,
    ) -> None:
        if not done.deltas:
            self._session.hint = ALL_LABELLED
            return
        if target == NEW_LABELS:
            own = kind if self.classes.per_layer else None
            name = self._class_layer_name(images, own) if own else ""
            target = self._scene.add_labels(images, source, done.store, name)
            self.classes.give_layer(images, own, target)
            self._session.target_choices = self._scene.target_choices()
            self._session.target = target
        self._scene.refresh_labels(target)
        also = self.tables.note(target, done.provenance, kind, self.classes.offered)
        made = tuple(replace(step, images=images) for step in done.made)
        edit = LabelEdit(target, done.store, done.deltas, prompts, also, made)
        self.record(edit)
        self._session.hint = f"Accepted as {edit.text}"

    # --- one after the other -------------------------------------------------------------------

    def after_writes(self, call: Callable[[], None]) -> None:
        """Call once all that was asked for before is written and recorded; now if nothing was."""
        self._in_turn(call)

    def _in_turn(self, act: Callable[[], None]) -> None:
        """Do something to the labels once all that was asked for before is done and recorded."""
        self._turns.append(act)
        self._take_turns()

    def _take_turns(self) -> None:
        while self._turns and not self._writing:
            self._desk.guarded(self._turns.popleft())

    def _write(
        self,
        steps: Callable[[], Steps],
        done: Callable[[Any], None],
        failed: Callable[[DittoError], None],
    ) -> None:
        """Write in the background; what comes next waits for its end, whatever that is."""
        self._writing = True

        def ended(call: Callable[[Any], None], result: object) -> None:
            try:
                call(result)
            finally:
                self._writing = False
                self._take_turns()

        self._desk.run(
            _WRITING, steps, partial(ended, done), partial(ended, failed), cancellable=False
        )

    # --- back and forth ------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back what was done last: a prompt, labels, a layer, a name."""
        history = self._history
        self._in_turn(
            lambda: self._step(history.take_undo(), False, history.put_undone, history.put_done)
        )

    def redo(self) -> None:
        """Do again what was undone last."""
        history = self._history
        self._in_turn(
            lambda: self._step(history.take_redo(), True, history.put_done, history.put_undone)
        )

    def _step(
        self,
        edit: Edit | None,
        forward: bool,
        keep: Callable[[Edit], None],
        give_back: Callable[[Edit], None],
    ) -> None:
        """Go one step back or forward; `keep` takes the edit once that is done."""
        if isinstance(edit, PromptEdit):
            self._restore(edit.after if forward else edit.before)
            keep(edit)
        elif isinstance(edit, ValueEdit):
            keep(edit)
            _put(edit, forward)
        elif edit is not None:
            change = edit.apply if forward else edit.revert
            prompts = edit.prompts.after if forward else edit.prompts.before
            self._rewrite(edit, change, prompts, forward, keep, give_back)
        self._show_history()
        self.acted.emit()

    def _rewrite(
        self,
        edit: LabelEdit,
        change: Callable[[], None],
        prompts: PromptState,
        forward: bool,
        keep: Callable[[Edit], None],
        give_back: Callable[[Edit], None],
    ) -> None:
        """Revert or apply a label edit in the background, then put its prompts back."""

        def done(_: object) -> None:
            keep(edit)
            self._show_history()
            for value in edit.also:
                _put(value, forward)
            self._scene.refresh_labels(edit.target)
            self._restore(prompts)
            self.stepped.emit(edit, forward)
            self.written.emit(edit.target)

        def failed(error: DittoError) -> None:
            give_back(edit)
            self._show_history()
            self._desk.fail(error)

        self._write(lambda: take_back(change), done, failed)

    def _restore(self, state: PromptState) -> None:
        self._prompting.restore(state)
        self._proposing.look()

    def _show_history(self) -> None:
        self._session.undo_text = self._history.undo_text
        self._session.redo_text = self._history.redo_text
        dropped, self._told = self._history.dropped - self._told, self._history.dropped
        if dropped:
            self._session.undo_note = dropped_text(self._told, self._history.max_bytes)


def _put(edit: ValueEdit, forward: bool) -> None:
    (edit.apply if forward else edit.revert)()


def dropped_text(steps: int, budget: int) -> str:
    """Return what is said once the oldest steps had to be forgotten."""
    kept = f"the last {budget / 2**20:,.0f} MB of changes are kept"
    which = "oldest step" if steps == 1 else f"{steps:,} oldest steps"
    return f"The {which} can no longer be undone: {kept}"
