"""Tuned prompts: what a model keeps of the examples, fitted to them for a minute and named."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_ditto.errors import DittoError, ModelError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.session import Choice

if TYPE_CHECKING:
    from napari_ditto.models.tuned import Tuned

SECONDS = 60.0


class Tuning:
    """Makes tuned prompts and keeps the list of them."""

    def __init__(self, bench: Bench, collecting: Collecting) -> None:
        self._bench, self._state, self._collecting = bench, bench.state, collecting
        self._listed_for = ""

    def run(self) -> None:
        """Tune on the examples that are switched on, under a name that the user gives."""
        bench = self._bench
        self._collecting.add_if_empty()
        examples = self._state.enabled
        if not examples:
            raise ModelError("no example is switched on", todo="Tick one in the list")
        name = bench.asking.ask_text("Name of the tuned prompt", self._state.tuned or "my-objects")
        if not name:
            return
        setup, jobs, one_kind = bench.setup, bench.jobs, self._state.one_kind
        self._state.tuning = ""
        bench.desk.run(
            "tuning on the examples",
            lambda: jobs.tune(setup, examples, name, SECONDS, one_kind=one_kind),
            lambda done: self._on_tuned(*done),
        )

    def _on_tuned(self, tuned: Tuned, names: tuple[str, ...]) -> None:
        self._state.tuning = result(tuned)
        self._show(names, tuned.name)

    def _show(self, names: tuple[str, ...], chosen: str) -> None:
        self._state.tuned_choices = tuple(Choice(name, name) for name in names)
        self._state.tuned = chosen if chosen in names else ""

    def list_for_model(self) -> None:
        """Show the tuned prompts of the model in use, once it is loaded."""
        session, jobs = self._bench.session, self._bench.jobs
        model = f"{session.model} {session.device}"
        if model == self._listed_for or not jobs.workshop.has(session.model, session.device):
            return
        self._listed_for = model
        name, device, chosen = session.model, session.device, self._state.tuned
        self._bench.desk.run(
            "getting ready",
            lambda: jobs.list_tuned(name, device),
            lambda names: self._show(names, chosen),
            self._on_failed,
        )

    def _on_failed(self, error: DittoError) -> None:
        self._show((), "")
        self._bench.desk.fail(error)


def result(tuned: Tuned) -> str:
    """Return in one line what tuning has brought."""
    if math.isnan(tuned.before):
        return tuned.note
    dice = f"Held-out Dice {tuned.before:.2f} before, {tuned.after:.2f} after"
    return f"{dice}; {tuned.note}" if tuned.note else dice
