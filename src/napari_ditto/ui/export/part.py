"""Export as a capability of the docks: one question, one job that can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from napari_ditto.core.progress import Progress
from napari_ditto.data.export import export_steps
from napari_ditto.data.exporting.formats import FORMATS, Format, format_of
from napari_ditto.errors import DittoError, LabelsError
from napari_ditto.ui.export.stage import ExportStage
from napari_ditto.ui.part import Part
from napari_ditto.ui.runner import Job, Runner, Steps
from napari_ditto.ui.session import Session

TITLE = "Export labels"
PATTERN = ";;".join(one.pattern for one in FORMATS)
SUGGESTED = ".geojson"
STOPPED = "Stopped: nothing was written"


class Ask(Protocol):
    """What only the user knows."""

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        ...

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write; a dialog has asked before it names one that is there."""
        ...


@dataclass(frozen=True, slots=True)
class ExportState:
    """What a dock draws of an export.

    Attributes
    ----------
    busy : bool
        Whether one is running, which can be stopped.
    text : str
        How far it is, or how the last one ended; ``""`` before the first one.
    fraction : float or None
        Part done, None where it cannot be known.
    failed : bool
        Whether the last one ended badly.
    """

    busy: bool = False
    text: str = ""
    fraction: float | None = None
    failed: bool = False


class ExportPart(Part):
    """Writes the labels that the user means to a file of their choice.

    Parameters
    ----------
    session : Session
        Whose target is meant where no Labels layer is active, and whose image they are of.
    stage : ExportStage
        The layers.
    runner : Runner
        A background thread for this alone, so that prompts are answered meanwhile.
    ask : Ask
        Asks for the file.
    """

    name: ClassVar[str] = "export"

    def __init__(self, session: Session, stage: ExportStage, runner: Runner, ask: Ask) -> None:
        self._session, self._stage, self._runner, self._ask = session, stage, runner, ask
        self._state = ExportState()

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """Ask for a file and write it; or stop, while one is written."""
        return {"export_labels": self.export}

    def shown(self) -> ExportState:
        """Return what a dock draws."""
        return self._state

    def choose(self, field: str, value: object) -> None:
        """Stop, for ``"export.stop"``."""
        if field == "export.stop":
            self.cancelled()

    def cancelled(self) -> None:
        """Stop what is written; nothing of it stays."""
        if self._state.busy:
            self._runner.cancel()
            self._show(ExportState(text=STOPPED))

    def close(self) -> None:
        """End what is running."""
        self._runner.close()

    def export(self) -> None:
        """Ask where to, and begin."""
        if self._state.busy:
            return
        try:
            self._begin()
        except DittoError as error:
            self._fail(error)

    def _begin(self) -> None:
        layer = self._stage.labels(self._session.target)
        if not layer:
            raise LabelsError("there are no labels to export", todo="Select a Labels layer")
        suggestion = self._stage.name(layer) + SUGGESTED
        answer = self._ask.ask_save(TITLE, suggestion, PATTERN)
        if not answer:
            return
        path = Path(answer)
        chosen = format_of(path)
        if path.is_dir() and not self._ask.confirm(f"Replace the folder {path.name}?"):
            return
        image = next(iter(self._session.images), "")
        make = self._stage.taken(layer, image)

        def steps() -> Steps:
            yield Progress("read", 0, 0, "taking the labels")
            written = yield from export_steps(make(), path, overwrite=True)
            return written

        self._show(ExportState(busy=True, text=f"Writing {path.name}"))
        self._runner.submit(
            Job(
                f"exporting {path.name}",
                steps,
                on_done=lambda written: self._done(written, chosen),
                on_error=self._fail,
                on_progress=lambda progress: self._progress(path, progress),
            )
        )

    def _progress(self, path: Path, progress: Progress) -> None:
        fraction = progress.done / progress.total if progress.total > 1 else None
        self._show(ExportState(True, f"{path.name}: {progress.text}", fraction))

    def _done(self, written: Path, chosen: Format) -> None:
        self._show(ExportState(text=f"{chosen.title} written: {written}"))

    def _fail(self, error: DittoError) -> None:
        self._show(ExportState(text=str(error), failed=True))

    def _show(self, state: ExportState) -> None:
        self._state = state
        self.changed.emit()
