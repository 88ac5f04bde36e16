"""A mode in which each point, area or stroke is an object, and all are accepted as one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.refinement import Refinement
from napari_ditto.engine.batch import Batch
from napari_ditto.errors import DittoError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.part import Part
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import NOTHING_HERE, ONLY_NEGATIVE, WAITING, Proposing
from napari_ditto.ui.touching import Touching


@dataclass(frozen=True, slots=True)
class BatchState:
    """What a dock shows of the mode.

    Attributes
    ----------
    on : bool
        Whether each prompt is an object.
    text : str
        What was found, ``""`` for nothing.
    """

    on: bool = False
    text: str = ""


@dataclass(frozen=True)
class _Asked:
    """What an answer depends on."""

    setup: Setup
    address: PlaneAddress
    refinement: Refinement
    sets: tuple[PromptSet, ...] = ()

    def fits(self, other: _Asked | None) -> bool:
        """Whether single answers count for the other as well."""
        mine = (self.setup, self.address, self.refinement)
        return other is not None and mine == (other.setup, other.address, other.refinement)


class BatchPart(Part):
    """Asks for many objects at once while the mode is on."""

    name = "batch"

    def __init__(
        self,
        desk: Desk,
        prompting: Prompting,
        proposing: Proposing,
        labelling: Labelling,
        touching: Touching,
    ) -> None:
        self._desk, self._session, self._scene = desk, desk.session, desk.scene
        self._prompting, self._proposing = prompting, proposing
        self._labelling, self._touching = labelling, touching
        self._on = False
        self._asked: _Asked | None = None
        self._batch: Batch | None = None
        self._then = False
        proposing.instead = self._look

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What the user can do."""
        return {"batch": lambda: self._turn(not self._on), "accept": self._accept}

    def choose(self, field: str, value: object) -> None:
        """Turn the mode on or off: ``"batch.on"``."""
        self._turn(bool(value))

    def shown(self) -> BatchState:
        """Return what a dock shows."""
        found = 0 if self._batch is None else len(self._batch.found)
        objects = "1 object" if found == 1 else f"{found} objects"
        return BatchState(self._on, objects if self._batch else "")

    def cancelled(self) -> None:
        """Accept nothing that is still to come."""
        self._then = False

    def _turn(self, on: bool) -> None:
        self._proposing.forget("")
        self._forget("")
        self._on = on
        self._session.address = None
        self.changed.emit()
        self._proposing.look()

    # --- ask -------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Ask for all objects on the plane on show, unless they are there; False if off."""
        if self._on:
            self._look_at_all()
        return self._on

    def _look_at_all(self) -> None:
        session, scene = self._session, self._scene
        if not session.images:
            return self._forget("")
        try:
            address = scene.address(session.images)
            collected = scene.prompts(session.prompt_layers, session.images)
            sets = scene.prompt_sets(session.prompt_layers, session.images)
        except DittoError as problem:
            session.address, session.prompts, session.remark = None, PromptSet(), ""
            return self._forget(str(problem))
        session.address, session.prompts = address, collected.prompts
        session.remark = collected.remark
        # What the next click would give does not depend on the others.
        self._proposing.said = PromptSet()
        if not sets:
            return self._forget("" if collected.prompts.is_empty else ONLY_NEGATIVE)
        meant = tuple(self._proposing.with_hints(one.on_pixels()) for one in sets)
        wanted = _Asked(self._proposing.setup(), address, self._proposing.refinement, meant)
        if wanted != self._asked:
            self._ask(wanted)
        return None

    def _ask(self, wanted: _Asked) -> None:
        known = self._batch.known if self._batch and wanted.fits(self._asked) else {}
        self._asked, self._session.asked, self._session.hint = wanted, True, ""
        self._desk.run(
            "looking for the objects",
            lambda: self._desk.workshop.predict_batch(
                wanted.setup, wanted.sets, wanted.address, wanted.refinement, known
            ),
            lambda batch: self._show(wanted, batch),
            self._failed,
            replaceable=True,
        )

    def _show(self, wanted: _Asked, batch: Batch) -> None:
        session = self._session
        session.asked = False
        self._proposing.on_ready(wanted.setup.source)
        self._batch, session.offered = batch, len(batch.found)
        self.changed.emit()
        session.hint = _lost(len(batch.masks) - len(batch.found), session.offered)
        masks = [batch.masks[index] for index in batch.found]
        self._scene.show_previews(session.images, batch.address, masks)
        if self._then:
            self._accept()

    def _failed(self, error: DittoError) -> None:
        self._forget("")
        self._desk.fail(error)

    def _forget(self, hint: str) -> None:
        self._desk.runner.drop_replaceable()
        self._then, self._session.asked, self._session.offered = False, False, 0
        self._asked = self._batch = None
        self._session.hint = hint
        self._scene.hide_preview()
        self.changed.emit()

    # --- accept ----------------------------------------------------------------------------------

    def _accept(self) -> None:
        """Write all objects as one step, or the one object that is not of this mode."""
        session, batch = self._session, self._batch
        if not self._on or session.touching:
            return self._touching.accept()
        if session.asked:
            self._then, session.hint = True, WAITING
            return None
        self._then = False
        if batch is None or not batch.found:
            return None
        setup, overlap = self._proposing.setup(), session.overlap
        self._labelling.write(
            lambda store: self._desk.workshop.accept_batch(setup, store, batch, overlap),
            setup,
            self._prompting.clear,
        )
        return self._proposing.look()


def _lost(lost: int, found: int) -> str:
    """Say what was not found."""
    if not found:
        return NOTHING_HERE
    if not lost:
        return ""
    return f"{lost} found no object of {'its' if lost == 1 else 'their'} own"
