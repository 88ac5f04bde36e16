"""Sessions: saved to a folder, opened again; and the image series that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.session_folder import SUFFIX
from napari_ditto.ui.part import Part
from napari_ditto.ui.parts import Tools
from napari_ditto.ui.project.opening import Opened, Showing, open_steps
from napari_ditto.ui.project.saving import KEPT, Saved, Sources, gather, keepers, save_steps
from napari_ditto.ui.project.series import SeriesWalk
from napari_ditto.ui.project.stage import ProjectStage
from napari_ditto.ui.project.state import ProjectState, resolve
from napari_ditto.ui.project.step_log import StepLog

UNSAVED = "What you have done since the last save is not in the session. Open another one anyway?"


class ProjectPart(Part):
    """The part behind the fold "Project".

    Parameters
    ----------
    tools : Tools
        Of the controller.
    stage : ProjectStage
        The viewer.
    others : sequence of Part
        Parts that keep settings of their own.
    """

    name: ClassVar[str] = "project"

    def __init__(self, tools: Tools, stage: ProjectStage, others: Sequence[Part] = ()) -> None:
        self._tools, self._stage, self._others = tools, stage, others
        self._session, self._desk = tools.session, tools.desk
        self.log = StepLog()
        self.sources = Sources(
            tools.session, stage, tools.labelling, self.log, keepers(others, tools.examples)
        )
        self._path: Path | None = None
        self._changes = self._saved = 0
        self._layers: tuple[str, ...] = ()
        self._series = SeriesWalk(tools, self.sources, self._changed, self.save_quietly)
        self._opening = self._loading = False
        self._examples: tuple[object, ...] = ()
        tools.labelling.stepped.connect(self.log.note)
        tools.labelling.acted.connect(self._changed)
        tools.prompting.changed.connect(self._changed)
        tools.examples.state.events.rows.connect(self._rows_changed)
        for field in KEPT:
            getattr(tools.session.events, field).connect(self._changed)
        tools.session.events.working.connect(self._tell)

    # --- the part ------------------------------------------------------------------------------

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What the user can do, by the name of the action."""
        return {
            "save_session": self.save,
            "open_session": self.open,
            "open_series": self._series.choose_folder,
            "next_image": self._series.next,
            "previous_image": self._series.previous,
            "next_undone": self._series.next_undone,
            "image_done": self._series.toggle_done,
            "end_series": self._series.end,
        }

    def choose(self, field: str, value: object) -> None:
        """Open a session at a path, save one there, or begin a series of files."""
        _, _, name = field.partition(".")
        if name == "open":
            self.open_at(Path(str(value)))
        elif name == "save":
            self.save_at(Path(str(value)))
        elif name == "series":
            self._series.begin([Path(str(path)) for path in _listed(value)])
        elif name == "layers":
            self._series.begin_layers(tuple(map(str, _listed(value))))
        elif name == "labels_folder":
            self._series.choose_labels(str(value))

    def shown(self) -> ProjectState:
        """Return what the fold draws."""
        name = self._path.name.removesuffix(SUFFIX) if self._path else ""
        return resolve(
            str(self._path or ""), name, self.is_changed, self._series.series,
            bool(self._session.images), not self._session.working,
        )  # fmt: skip

    def refresh(self) -> None:
        """Layers came or went."""
        self.changed.emit()

    def cancelled(self) -> None:
        """Hear that the user gave up what is running."""
        self._series.cancelled()

    # --- what is not saved -----------------------------------------------------------------------

    @property
    def is_changed(self) -> bool:
        """Whether anything was done since the last save."""
        return self._changes != self._saved

    def _changed(self, *_: object) -> None:
        if not self._opening:
            self._changes += 1
            self.changed.emit()

    def _rows_changed(self, *_: object) -> None:
        """Look whether there are other examples now, or only other pictures of them."""
        before, self._examples = self._examples, self._listed_examples()
        if before == self._examples:
            return
        if self._loading:
            self._loading = not self._examples
            return
        self._changed()

    def _listed_examples(self) -> tuple[PlaneExample, ...]:
        return tuple(row.example for row in self._tools.examples.state.rows)

    def _tell(self, *_: object) -> None:
        self.changed.emit()

    # --- saving ----------------------------------------------------------------------------------

    def save(self) -> None:
        """Save where the user wants it; where it is, once it has a place."""
        if self._path is not None:
            self.save_at(self._path)
            return
        chosen = self._tools.ask.ask_save(
            "Save session", f"{self._suggestion()}{SUFFIX}", f"Sessions (*{SUFFIX})"
        )
        if chosen:
            self.save_at(Path(chosen))

    def _suggestion(self) -> str:
        """Return a name for a session: that of the image."""
        chosen = (c.text for c in self._session.image_choices if c.key in self._session.images)
        return "".join(c if c.isalnum() or c in "-_ ." else "_" for c in next(chosen, "session"))

    def save_at(self, path: Path) -> None:
        """Save to a folder."""
        path = path if path.name.endswith(SUFFIX) else path.with_name(path.name + SUFFIX)
        self._tools.labelling.after_writes(lambda: self._save(path, self._told))

    def save_quietly(self) -> None:
        """Save once more if there is a session, as going on in a series does."""
        if self._path is not None:
            self._save(self._path, lambda _: None)

    def _save(self, path: Path, tell: Callable[[Saved], None]) -> None:
        gathered = gather(self.sources, self._listed_examples(), self._series.series)
        changes = self._changes

        def done(saved: Saved) -> None:
            self._path, self._saved = saved.path.absolute(), changes
            self._layers = saved.record.keys
            self._stage.open_by_us()
            tell(saved)
            self.changed.emit()

        self._desk.run(
            f"saving {path.name}", lambda: save_steps(path, gathered), done, cancellable=False
        )

    def _told(self, saved: Saved) -> None:
        self._session.hint = ". ".join((f"Saved in {saved.path.name}", *saved.notes))

    # --- opening ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Open the session that the user chooses."""
        if self._may_leave():
            chosen = self._tools.ask.ask_folder("Open session")
            if chosen:
                self._open(Path(chosen))

    def open_at(self, path: Path) -> None:
        """Open a session, unless unsaved work would be lost that the user wants to keep."""
        if self._may_leave():
            self._open(path)

    def _may_leave(self) -> bool:
        return not (self._layers and self.is_changed) or self._tools.ask.confirm(UNSAVED)

    def _open(self, path: Path) -> None:
        self._desk.run(f"opening {path.name}", lambda: open_steps(path), self._show)

    def _show(self, opened: Opened) -> None:
        """Put a session into the viewer, in the place of the one before."""
        self._opening = True
        self._stage.remove(self._layers)
        self.sources.absent.clear()
        showing = Showing(self.sources, opened, self._tools.prompting.use)
        try:
            showing.show()
        finally:
            self._opening = False
        self._path, self._saved = opened.path.absolute(), self._changes
        self._layers = tuple(showing.keys.values())
        self._series.put_back(opened, showing)
        self._take_over(opened)
        notes = (*opened.notes, *showing.notes)
        self._session.hint = f"Opened {opened.path.name}"
        self._session.error = ". ".join(notes)
        self.changed.emit()

    def _take_over(self, opened: Opened) -> None:
        """Let all the others know: choices, examples, what other parts keep."""
        tools, session = self._tools, self._session
        session.image_choices = tools.scene.image_choices()
        session.target_choices = tools.scene.target_choices()
        session.prompt_choices = tools.scene.prompt_choices()
        if opened.has_examples:
            self._loading = True
            tools.examples.open_set(opened.path / opened.record.examples)
        for name, part in keepers(self._others, tools.examples).items():
            kept = opened.record.parts.get(name)
            if isinstance(kept, dict):
                part.put_back(kept)
        tools.proposing.start_over()


def _listed(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
