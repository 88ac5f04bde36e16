"""Models as a capability of the docks: get, add, measure, check, use and remove them.

What takes long runs in a thread of its own, so that prompts are answered meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError, ModelNotFoundError
from napari_ditto.models import added, online, weights
from napari_ditto.models.manifest import ManifestEntry, manifest
from napari_ditto.models.names import DEFAULT_MODEL
from napari_ditto.models.recognition import Recognised
from napari_ditto.models.registry import ModelEntry, available_models
from napari_ditto.models.speed_check import Speed, speed_steps
from napari_ditto.models.verification import Verified, verify_steps
from napari_ditto.ui.model_choices import download_question, model_choices
from napari_ditto.ui.models.state import (
    ModelDetails,
    ModelsState,
    details_of,
    listed,
    megabytes,
)
from napari_ditto.ui.part import Part
from napari_ditto.ui.runner import Job, Runner, Steps
from napari_ditto.ui.session import Session

KEPT = "What has come is kept: a download goes on where it stopped"


class Confirm(Protocol):
    """Asks the user for yes or no."""

    def confirm(self, question: str) -> bool:
        """Ask."""
        ...


class ModelsPart(Part):
    """Shows all models, and does what is asked with one of them.

    Parameters
    ----------
    session : Session
        Whose choices of models follow, and whose device is measured.
    runner : Runner
        A background thread for this alone.
    ask : Confirm
        Asks before anything is fetched or removed.
    choose : callable
        Takes over a setting of the session: ``choose("model", id)``.
    open_dock : callable
        Shows the dock.
    """

    name = "models"

    def __init__(
        self,
        session: Session,
        runner: Runner,
        ask: Confirm,
        choose: Callable[[str, object], None],
        open_dock: Callable[[], object],
    ) -> None:
        self._session, self._runner, self._ask, self._choose = session, runner, ask, choose
        self._open_dock = open_dock
        self._selected, self._checked = session.model, dict[str, str]()
        self._working, self._note, self._trouble = "", "", False
        self._state: ModelsState | None = None
        session.events.model.connect(self._again)
        self._do: dict[str, Callable[[str], None]] = {
            "use": partial(choose, "model"),
            "get": self._get,
            "discard": self._discard,
            "remove": self._remove,
            "add": self._add,
            "measure": self._measure,
            "verify": self._verify,
            "never_online": self._never_online,
            "cancel": self._cancel,
        }

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """Open the dock."""
        return {"open_models": self._open}

    def _open(self) -> None:
        self._open_dock()

    def choose(self, field: str, value: object) -> None:
        """Do something with a model, ``"models.get"`` and its id; trouble is shown here."""
        verb = field.partition(".")[2]
        if verb == "select":
            return self._select(str(value))
        self._note, self._trouble = "", False
        try:
            self._do[verb](str(value))
        except DittoError as error:
            self._fail(error)
        return self._again()

    def shown(self) -> ModelsState:
        """Return what the dock draws; looked up when something has changed."""
        if self._state is None:
            self._state = self._look()
        return self._state

    def close(self) -> None:
        """End what is running."""
        self._session.events.model.disconnect(self._again)
        self._runner.close()

    def _look(self) -> ModelsState:
        entries = available_models()
        return ModelsState(
            rows=listed(entries, self._session.model),
            details=self._details(entries),
            never_online=online.never_goes_online(),
            forced_offline=online.offline_by_environment(),
            working=self._working,
            note=self._note,
            trouble=self._trouble,
        )

    def _details(self, entries: Sequence[ModelEntry]) -> ModelDetails:
        entry = next((e for e in entries if e.id == self._selected), entries[0])
        return details_of(
            entry,
            busy=bool(self._working),
            chosen=self._session.model,
            checked=self._checked.get(entry.id, ""),
        )

    def _again(self, *_: object) -> None:
        self._state = None
        self.changed.emit()

    # --- what the user asks for -------------------------------------------------------------------

    def _select(self, name: str) -> None:
        # The list stays as it is: looking at all models anew would take ten times as long.
        state, self._selected = self.shown(), name
        self._state = replace(state, details=self._details(available_models()))
        self.changed.emit()

    def _get(self, name: str) -> None:
        entry = _published(name)
        online.require_online(entry.title)
        if self._ask.confirm(download_question(name)):
            self._run(
                f"downloading {entry.title}",
                lambda: weights.download(entry, agree=True),
                lambda _: self._tell(
                    f"{entry.title} is here. Press 'Use this one' to work with it."
                ),
            )

    def _discard(self, name: str) -> None:
        self._tell(f"{megabytes(weights.remove(_published(name)))} thrown away")

    def _remove(self, name: str) -> None:
        entry = _entry(name)
        question = (
            f"Remove {entry.title} from the list?\n\nIts files stay where they are:\n{entry.source}"
            if entry.added
            else f"Delete {entry.title} from this computer?\n\nIt can be downloaded again."
        )
        if not self._ask.confirm(question):
            return
        if self._session.model == name:
            self._choose("model", DEFAULT_MODEL)
        if entry.added:
            added.forget(name)
            self._tell(f"{entry.title} is not offered any more; its files are where they were")
        else:
            self._tell(f"{megabytes(weights.remove(_published(name)))} freed")
        self._checked.pop(name, None)

    def _add(self, path: str) -> None:
        self._run(f"looking at {path}", lambda: added.add_steps(Path(path)), self._on_added)

    def _on_added(self, found: added.Added | Recognised) -> None:
        if isinstance(found, Recognised):
            self._tell(f"{found.path.stem} is a tuned prompt: find it under Ditto examples")
        else:
            self._selected = found.id
            self._tell(f"Added: {found.id}")

    def _measure(self, name: str) -> None:
        device = self._session.device
        self._run(f"measuring {name}", lambda: speed_steps(name, device), self._on_measured)

    def _on_measured(self, speed: Speed) -> None:
        self._tell(f"Measured {speed.model}; it is remembered for this computer")

    def _verify(self, name: str) -> None:
        self._run(f"checking {name}", lambda: verify_steps(name), self._on_verified)

    def _on_verified(self, found: Verified) -> None:
        with_whom = {
            "package": "equals what was packed with this version",
            "published": "equals the published one",
            "first fetched": "equals that of the first download",
            "when added": "equals that when you added it",
        }.get(found.by, "there is nothing to compare it with")
        self._checked[found.name] = f"{found.sha256}\nComputed just now: {with_whom}."
        self._tell(f"Checked {found.name}: its hash {with_whom}")

    def _never_online(self, forbid: str) -> None:
        online.never_go_online(forbid == "True")

    def _cancel(self, _: str) -> None:
        self._runner.cancel()
        self._working = ""
        self._tell(f"Cancelled. {KEPT}")

    # --- in the background --------------------------------------------------------------------

    def _run(self, name: str, steps: Callable[[], Steps], done: Callable[..., None]) -> None:
        def finished(result: object) -> None:
            self._working = ""
            done(result)

        self._working = name
        self._runner.submit(Job(name, steps, finished, self._failed, self._on_progress))

    def _on_progress(self, progress: Progress) -> None:
        # Only this has changed: nothing is looked up anew twenty times a second.
        share = progress.done / progress.total if progress.total else None
        text = progress.text or self._working
        self._state = replace(self.shown(), working=text, fraction=share)
        self.changed.emit()

    def _failed(self, error: DittoError) -> None:
        self._working = ""
        self._fail(error)
        self._again()

    def _fail(self, error: DittoError) -> None:
        self._note, self._trouble = str(error), True

    def _tell(self, note: str) -> None:
        """Say what came of it, and let every list of models follow."""
        self._note, self._trouble = note, False
        self._session.model_choices = model_choices()
        self._again()


def _entry(name: str) -> ModelEntry:
    found = next((e for e in available_models() if e.id == name), None)
    if found is None:
        raise ModelNotFoundError("there is no such model any more", where=name)
    return found


def _published(name: str) -> ManifestEntry:
    found = manifest().get(name)
    if found is None:
        raise ModelNotFoundError("this model is not one that is downloaded", where=name)
    return found
