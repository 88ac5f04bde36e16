"""From prompts to the proposal on show: ask, follow over edges, show, forget."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Literal

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import Refinement
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import Source
from napari_ditto.errors import DittoError
from napari_ditto.models.registry import reads_diameter, reads_text
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.job_values import Setup

NOTHING_HERE = (
    "No object found here: move the point, add another one, draw a box, or try another model"
)
ONLY_NEGATIVE = "Only exclusions so far: add a click or a box on the object itself"
NOTHING_LEFT = "Nothing is left of the mask: see threshold and smallest piece under Refine"
WAITING = "Will be accepted as soon as the mask is there"


Foreseen = Callable[[Setup, PlaneAddress, PromptSet], Proposals | None]


def _nothing_foreseen(*_: object) -> None:
    """Stand in where nobody looks ahead."""


class Proposing:
    """Keeps the proposal on show in step with the prompts and the plane.

    Attributes
    ----------
    said : PromptSet
        What the layers say about the plane on show.
    refinement : Refinement
        What is done to every mask of the model before it is shown; see :meth:`refine`.
    foreseen : callable
        Returns the model's answer where it is known already.
    additions : list of callable
        What else is said about the object than the layers hold; asked only if they say something.
    instead : callable
        Asks for something else than one object, and tells whether it did.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk, self._session, self._scene = desk, desk.session, desk.scene
        self._source: Source | None = None
        self._then: Callable[[], None] | None = None
        self._warm = False
        self._raw: Proposals | None = None
        self._refined: Proposals | None = None
        self.said = PromptSet()
        self.refinement = Refinement()
        self.foreseen: Foreseen = _nothing_foreseen
        self.additions: list[Callable[[PlaneAddress, PromptSet], PromptSet]] = []
        self.instead: Callable[[], bool] = lambda: False

    def setup(self) -> Setup:
        """Return image, model and device as they are chosen now."""
        session = self._session
        if self._source is None:
            self._source = self._scene.open_source(session.images, self._window())
        return Setup(self._source, session.model, session.device)

    def _window(self) -> Window | Literal["sampled", "contrast"]:
        mode, window = self._session.window_mode, self._session.window
        if mode == "given":
            return window or "sampled"
        return mode

    def start_over(self) -> None:
        """Image or window changed: what was found so far does not count any more."""
        self._source = None
        if self._session.window_mode != "given":
            self._session.window = None
        self.ask_again()

    def ask_again(self) -> None:
        """Image or model changed: the same prompts have another answer."""
        self._session.ready = False
        self.forget("")
        self._session.address = None
        self.look()
        if self._warm:
            self.warm_up()

    def warm_up(self) -> None:
        """Load the model before it is asked, now and whenever it is another one."""
        session, workshop, self._warm = self._session, self._desk.workshop, True
        if session.images and not (session.working or workshop.has(session.model, session.device)):
            self._desk.run(
                "getting ready",
                lambda: workshop.load(session.model, session.device),
                lambda _: None,
                replaceable=True,
            )

    def look(self) -> None:
        """Ask for a proposal for the prompts and the plane on show, unless it is there."""
        session = self._session
        if self.instead():
            return None
        if not session.images:
            return self.forget("")
        try:
            address = self._scene.address(session.images)
            collected = self._scene.prompts(session.prompt_layers, session.images)
        except DittoError as problem:
            session.address, session.prompts, session.remark = None, PromptSet(), ""
            return self.forget(str(problem))
        self.said, session.remark = collected.prompts.on_pixels(), collected.remark
        prompts = self.meant(address, self.said)
        same = (address, prompts) == (session.address, session.prompts)
        if same and (prompts.is_empty or session.asked or session.proposals):
            return None
        session.address, session.prompts = address, prompts
        if prompts.is_empty:
            return self.forget("")
        if not prompts.has_positive:
            return self.forget(ONLY_NEGATIVE)
        return self._ask(address, prompts)

    def meant(self, address: PlaneAddress, said: PromptSet) -> PromptSet:
        """Return what the model is to be asked where the layers say this."""
        prompts = self.with_hints(said)
        for add in self.additions if not prompts.is_empty else ():
            prompts = add(address, prompts)
        return prompts

    def with_hints(self, prompts: PromptSet) -> PromptSet:
        """Return prompts with what the user has said about all objects, as far as it is read."""
        session = self._session
        if session.diameter and reads_diameter(session.model):
            prompts = replace(prompts, diameter=session.diameter)
        if not prompts.is_empty and reads_text(session.model):
            prompts = replace(prompts, text=session.text)
        return prompts

    def when_ready(self, then: Callable[[], None]) -> None:
        """Call `then` with the proposal on show, or with the one that is on its way."""
        if self._session.asked:
            self._then, self._session.hint = then, WAITING
        elif self._session.has_object:
            then()

    def refine(self, how: Refinement) -> None:
        """Make other masks of the same logits, and show them."""
        self.refinement = how
        if self.instead():
            return
        shown, raw = self._session.proposals, self._raw
        if raw is not None and shown is self._refined and not self._session.touching:
            self._show(raw, self._session.choice)

    def next(self) -> None:
        """Show the next candidate; one that reaches a tile's edge is followed over it first."""
        session, proposals = self._session, self._session.proposals
        if proposals is None or not session.has_object:
            return
        if proposals is self._refined and self._raw is not None:
            proposals = self._raw
        choice = (session.choice + 1) % len(proposals)
        if bool(proposals.complete[choice]):
            self._show(proposals, choice)
        else:
            self._grow(proposals, choice)

    def cancelled(self) -> None:
        """Note that what was asked for will not come."""
        self._then, self._session.asked = None, False

    def prepare(self) -> None:
        """Load image and model while the user aims."""
        session = self._session
        if session.ready or session.asked or not session.images:
            return
        setup, workshop = self.setup(), self._desk.workshop
        self._desk.run(
            "getting ready", lambda: workshop.prepare(setup), self.on_ready, replaceable=True
        )

    def _ask(self, address: PlaneAddress, prompts: PromptSet) -> None:
        setup, workshop = self.setup(), self._desk.workshop
        known = self.foreseen(setup, address, prompts)
        if known is None:
            self._wait(lambda: workshop.predict(setup, prompts, address), setup, None)
        else:
            self._wait(lambda: already(known), setup, None)

    def _grow(self, proposals: Proposals, choice: int) -> None:
        setup, workshop = self.setup(), self._desk.workshop
        self._wait(lambda: workshop.grow(setup, proposals, choice), setup, choice)

    def _wait(self, steps: Callable[[], object], setup: Setup, choice: int | None) -> None:
        self._session.asked, self._session.hint = True, ""

        def done(proposals: Proposals) -> None:
            self._session.asked = False
            self.on_ready(setup.source)
            self._show(proposals, proposals.best if choice is None else choice)

        self._desk.run("looking for the object", steps, done, self._on_failed, replaceable=True)  # type: ignore[arg-type]

    def on_ready(self, source: Source) -> None:
        """Note that image and model are loaded."""
        self._session.ready = True
        if source is self._source:
            self._session.window = source.window

    def _show(self, proposals: Proposals, choice: int) -> None:
        session, then = self._session, self._then
        refined = proposals.refined(self.refinement)
        self._raw, self._refined = proposals, refined
        session.proposals, session.choice, self._then = refined, choice, None
        if refined.is_empty:
            session.hint = NOTHING_HERE if proposals.is_empty else NOTHING_LEFT
            return self._scene.hide_preview()
        session.hint = ""
        self._scene.show_preview(session.images, refined, choice)
        return then() if then else None

    def _on_failed(self, error: DittoError) -> None:
        self._session.asked = False
        self.forget("")
        self._desk.fail(error)

    def forget(self, hint: str) -> None:
        """Show no proposal and want none."""
        self._desk.runner.drop_replaceable()
        self._then, self._session.asked = None, False
        self._session.proposals = self._raw = self._refined = None
        self._session.hint = hint
        self._scene.hide_preview()


def already(known: Proposals) -> Generator[Progress, None, Proposals]:
    """Return an answer that is there, as a job: what was asked is made safe before it is shown."""
    yield Progress("decode", text="segmenting")
    return known
