"""Segment everything on the plane on show: estimate, ask, run, write as one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.routing import check_text
from napari_ditto.errors import PromptError
from napari_ditto.models.protocols import Estimate
from napari_ditto.models.registry import reads_text
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import Session

if TYPE_CHECKING:
    from napari_ditto.engine.everything import EverythingResult

NOTHING_FOUND = "No object found on this plane: try another model, or click on one yourself"

ASK_SECONDS = 20.0
"""A run that takes no longer than this is started without asking."""


class Everything:
    """Runs the model over a whole plane."""

    def __init__(
        self,
        desk: Desk,
        proposing: Proposing,
        labelling: Labelling,
        confirm: Callable[[str], bool],
    ) -> None:
        self._desk, self._proposing, self._labelling = desk, proposing, labelling
        self._confirm = confirm
        self._partial: tuple[Setup, EverythingResult] | None = None

    def start(self) -> None:
        """Find out what it would take; then ask if it is long, and run."""
        setup, workshop = self._proposing.setup(), self._desk.workshop
        address = self._desk.scene.address(self._desk.session.images)
        text = name_of(self._desk.session)
        self._desk.run(
            "estimating",
            lambda: workshop.estimate(setup, address, text),
            lambda estimate: self._go_on(setup, address, text, estimate),
        )

    def _go_on(self, setup: Setup, address: PlaneAddress, text: str, estimate: Estimate) -> None:
        if estimate.seconds > ASK_SECONDS and not self._confirm(question(estimate)):
            self._desk.session.hint = "Nothing was run"
            return
        workshop, self._partial = self._desk.workshop, None
        least = self._desk.session.min_area_px, self._desk.session.min_score
        self._desk.run(
            f"looking for {text}" if text else "segmenting everything",
            lambda: workshop.everything(setup, address, *least, text),
            lambda found: self._write(setup, found),
            on_partial=lambda found: self._keep(setup, found),
        )

    def _keep(self, setup: Setup, found: EverythingResult) -> None:
        self._partial = (setup, found)

    def cancelled(self) -> None:
        """Write what had been found before the run was cancelled."""
        partial, self._partial = self._partial, None
        if partial is not None:
            self._desk.guarded(lambda: self._write(*partial))

    def _write(self, setup: Setup, found: EverythingResult) -> None:
        self._partial = None
        if not len(found.scores):
            self._desk.session.hint = NOTHING_FOUND
            return
        workshop, overlap = self._desk.workshop, self._desk.session.overlap
        self._labelling.write(
            lambda store: workshop.write_all(setup, store, found, overlap),
            setup,
        )


def name_of(session: Session) -> str:
    """Return what to look for, where the chosen model finds things by name.

    Raises
    ------
    PromptError
        If there is no name.
    """
    name = check_text(session.text) if reads_text(session.model) else ""
    if reads_text(session.model) and not name:
        raise PromptError(
            "this model finds things by name", todo="Type what to look for under Find, e.g. nucleus"
        )
    return name


def question(estimate: Estimate) -> str:
    """Return what to ask before a long run."""
    seconds = estimate.seconds
    time = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
    memory = f"{estimate.memory_bytes / 2**20:,.0f} MB"
    lines = [f"{estimate.tiles} tiles, about {time}, about {memory} of memory.", *estimate.notes]
    return "\n".join(lines) + "\n\nYou can go on working, and cancel at any time. Start?"
