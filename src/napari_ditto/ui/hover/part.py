"""The live preview: what a click would give is shown before it is made.

It never writes, never speaks and never waits: its jobs are idle ones, which every other job drops,
and what goes wrong in them goes to the log. A click takes over what was shown for its pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace

from napari_ditto.core.bounded import Bounded
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.errors import DittoError
from napari_ditto.ui.desk import Desk, quietly
from napari_ditto.ui.hover.refining import Refining
from napari_ditto.ui.hover.stage import HoverStage
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.part import Part
from napari_ditto.ui.proposing import Proposing

SLOW_DECODE_SECONDS = 0.3
"""A model that takes longer for one click shows nothing until it is asked to."""

KEPT = 16
"""Answers kept for clicks; each has up to three masks' logits, 3 MB for a tile of 512."""


@dataclass(frozen=True, slots=True)
class HoverState:
    """What a dock shows of the live preview.

    Attributes
    ----------
    on : bool
        Whether it is switched on.
    note : str
        When it shows something with the model of now.
    """

    on: bool = True
    note: str = ""


@dataclass(frozen=True)
class Aim:
    """What a click would ask.

    Attributes
    ----------
    setup, address, prompts
        The question: all that is said already, and the click.
    pixel : (int, int)
        Where the mouse is.
    """

    setup: Setup
    address: PlaneAddress
    prompts: PromptSet
    pixel: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Shown:
    """What is drawn: the model's answer, and the mask of it."""

    answer: Proposals
    mask: PlacedMask


class Hover(Part):
    """Shows the mask that a click would give where the mouse rests.

    Parameters
    ----------
    desk, proposing, refining
        The rest of the session.
    stage : HoverStage
        The viewer.
    on : bool
        As the user's settings say.
    remember : callable
        Called with ``live_preview=value`` when the user changes that.
    """

    name = "hover"

    def __init__(
        self,
        desk: Desk,
        proposing: Proposing,
        refining: Refining,
        stage: HoverStage,
        on: bool,
        remember: Callable[..., object],
    ) -> None:
        self._desk, self._session, self._proposing = desk, desk.session, proposing
        self._refining, self._stage = refining, stage
        self._wanted, self._remember = on, remember
        self._chosen: dict[str, bool] = {}
        self._aim: Aim | None = None
        self._near: Aim | None = None
        self._asking: Aim | None = None
        self._shown: Shown | None = None
        self._answers: Bounded[tuple[Setup, PlaneAddress, PromptSet], Proposals] = Bounded(KEPT)
        proposing.foreseen = self.answer
        self._told = self.shown()
        stage.rested.connect(lambda: quietly(self._on_rested))
        stage.moved.connect(lambda: quietly(self._on_moved))
        stage.left.connect(self._forget)
        stage.scrolled.connect(self._on_scrolled)
        refining.changed.connect(self._on_refined)
        events = self._session.events
        events.working.connect(self._on_working)
        events.touching.connect(self._forget)
        events.model.connect(self._on_model)

    # --- switched on and off -----------------------------------------------------------------

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """The switch."""
        return {"toggle_hover": self.toggle}

    @property
    def on(self) -> bool:
        """Whether something may be shown: as chosen for a slow model, else as in the settings."""
        return self._chosen.get(self._session.model, self._wanted and not self._is_slow)

    def toggle(self) -> None:
        """Switch the live preview on or off; for a slow model only until the session ends."""
        on = not self.on
        if self._is_slow:
            self._chosen[self._session.model] = on
        else:
            self._wanted = on
            self._remember(live_preview=on)
        self._forget()
        self.refresh()
        self._stage.look_again()
        self._tell()

    def choose(self, field: str, value: object) -> None:
        """Take over ``"hover.on"``."""
        if bool(value) != self.on:
            self.toggle()

    def shown(self) -> HoverState:
        """Return whether it is on, and when it shows something."""
        return HoverState(self.on, self._note())

    def _note(self) -> str:
        spec = self._desk.workshop.spec(self._session.model, self._session.device)
        if spec is None or not self.on:
            return ""
        if self._desk.workshop.is_quick(spec):
            return ""
        return f"Shown where {self._session.model} has looked already: after the first click there"

    @property
    def _is_slow(self) -> bool:
        spec = self._desk.workshop.spec(self._session.model, self._session.device)
        return spec is not None and spec.decode_seconds > SLOW_DECODE_SECONDS

    def _on_model(self) -> None:
        self._forget()
        self._tell()

    def _tell(self) -> None:
        """Let docks know what has changed; a model says of itself once it is loaded."""
        told, self._told = self._told, self.shown()
        if told != self._told:
            self.changed.emit()

    # --- the mouse ---------------------------------------------------------------------------

    def _on_rested(self) -> None:
        aim = self._look()
        return self._forget() if aim is None else self._rest_at(aim)

    def _rest_at(self, aim: Aim) -> None:
        if aim == self._aim:
            return None
        self._aim = self._near = aim
        known = self._answers.get((aim.setup, aim.address, aim.prompts))
        if known is not None:
            return self._draw(known)
        # The old contour stays until the answer is there: to paint the window without it would
        # take the time that the answer needs.
        return self._ask(aim)

    def _on_moved(self) -> None:
        """Get ready for where the mouse is now: it may rest there, or near.

        In the same pixel as before it is so slow that it will.
        """
        aim = self._look()
        if aim is not None and aim == self._near:
            return self._rest_at(aim)
        self._near = aim
        if self._asking is not None:
            self._aim = None  # what is asked there is broken off by looking around
        return self._look_around()

    def _look_around(self) -> None:
        """Do what answers near the mouse will need while nothing else is to be done."""
        aim, asking, self._asking = self._near, self._asking, None
        if aim is None or (self._desk.runner.is_busy and asking is None):
            return

        def where() -> PromptSet | None:
            near = self._near
            same = near is not None and (near.setup, near.address) == (aim.setup, aim.address)
            return near.prompts if near is not None and same else None

        self._desk.run_idle(
            "looking around",
            lambda: self._desk.workshop.look_around(aim.setup, where, aim.address),
            _nothing,
            _nothing,
        )

    def _look(self) -> Aim | None:
        """Return what a click would ask now; None if nothing, or if that may not be shown."""
        session = self._session
        if not (self.on and session.images and session.prompt_layers):
            return None
        if session.working or session.asked or session.touching:
            return None
        try:
            pointed = self._stage.pointed(session.images, session.prompt_layers)
            if pointed is None or pointed.address != session.address:
                return None
            setup = self._proposing.setup()
            shape = setup.source.plane_shape(pointed.address)
        except DittoError:
            return None  # no plane is on show, or the image cannot be read: a click will tell
        click = PointPrompt(pointed.y, pointed.x, pointed.positive).on_pixel()
        pixel = int(click.y), int(click.x)
        said = self._proposing.said
        known = {(p.y, p.x) for p in said.points}
        if not Box.of_shape(shape).contains(*pixel) or (click.y, click.x) in known:
            return None
        at = len(said.points) if pointed.before is None else pointed.before
        said = replace(said, points=(*said.points[:at], click, *said.points[at:]))
        prompts = self._proposing.meant(pointed.address, said)
        return Aim(setup, pointed.address, prompts, pixel) if prompts.has_positive else None

    def _ask(self, aim: Aim) -> None:
        workshop, self._asking = self._desk.workshop, aim

        def answered(found: Proposals | None) -> None:
            self._asking = None
            if found is None:
                return self._hide() if aim == self._aim else None
            if found.complete[found.best]:
                self._keep(aim, found)
            if aim == self._aim:
                self._draw(found)
                self._look_around()
            return None

        self._desk.run_idle(
            "looking ahead",
            lambda: _beside_a_window(workshop.foresee(aim.setup, aim.prompts, aim.address)),
            answered,
            lambda found: self._draw(found) if aim == self._aim else None,
            self._hide,
        )

    def _keep(self, aim: Aim, found: Proposals) -> None:
        self._answers[aim.setup, aim.address, aim.prompts] = found

    def answer(self, setup: Setup, address: PlaneAddress, prompts: PromptSet) -> Proposals | None:
        """Return what was shown for a click that has been made now."""
        return self._answers.get((setup, address, prompts))

    # --- the contour -------------------------------------------------------------------------

    def _draw(self, answer: Proposals) -> None:
        refined = answer.refined(self._refining.shown())
        mask = PlacedMask(refined.box, refined.masks[refined.best]).cropped()
        self._shown = Shown(answer, mask)
        if mask.box.is_empty:
            return self._stage.hide()
        return self._stage.show(self._session.images, mask.mask, mask.box, answer.address)

    def _hide(self) -> None:
        self._shown = None
        self._stage.hide()

    def _forget(self, *_: object) -> None:
        """Show nothing, and want nothing any more."""
        self._aim = self._near = self._asking = None
        self._hide()

    def _on_refined(self) -> None:
        if self._shown is not None:
            self._draw(self._shown.answer)

    def _on_scrolled(self, notches: int) -> None:
        if self._stage.is_active(self._session.prompt_layers):
            self._desk.guarded(lambda: self._refining.turn(notches))

    def _on_working(self, name: str) -> None:
        """Give way to every job; look again when it is done."""
        self._forget()
        if not name:
            self._tell()
            self._stage.look_again()

    # --- as every part -----------------------------------------------------------------------

    def refresh(self) -> None:
        """Make ready where a layer waits for clicks."""
        self._forget()
        self._stage.refresh()
        if self.on and self._stage.is_active(self._session.prompt_layers):
            quietly(lambda: self._stage.prepare(self._session.images))
            self._stage.look_again()

    def cancelled(self) -> None:
        """Show nothing until the mouse moves."""
        self._forget()

    def close(self) -> None:
        """Let go of the viewer."""
        self._answers.clear()
        self._stage.close()


def _nothing(_: object) -> None:
    """Hear of work that is its own result."""


def _beside_a_window(
    steps: Generator[Progress, None, Proposals | None],
) -> Generator[Progress, None, Proposals | None]:
    """Take steps while the window is painted, without taking all cores from it."""
    from napari_ditto.models.device import one_core_free

    with one_core_free():
        return (yield from steps)
