"""A session that is read in the background, and shown on the main thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.core.window import Window
from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.data.image_file import to_show
from napari_ditto.data.object_json import from_json
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.series import Series
from napari_ditto.data.session_folder import read_examples, read_session
from napari_ditto.data.session_layers import SessionImage, SessionLabels
from napari_ditto.data.session_pixels import find_path, fingerprint, read_labels, read_levels
from napari_ditto.data.session_records import SessionRecord
from napari_ditto.data.session_steps import PromptStep
from napari_ditto.errors import DittoError
from napari_ditto.ui.project.saving import Sources
from napari_ditto.ui.project.stage import Levels
from napari_ditto.ui.session import NEW_LABELS, Session


@dataclass(frozen=True, eq=False)
class Opened:
    """What was found in a session.

    Attributes
    ----------
    path : Path
        The folder.
    record : SessionRecord
        What it tells.
    levels : mapping of str to tuple of array
        Of the images that are there, by key.
    labels : mapping of str to LabelStore
        By key.
    series : Series or None
        An image series.
    has_examples : bool
        Whether the file of examples can be read.
    notes : tuple of str
        What is missing, each in a line.
    """

    path: Path
    record: SessionRecord
    levels: Mapping[str, Levels]
    labels: Mapping[str, LabelStore]
    series: Series | None = None
    has_examples: bool = False
    notes: tuple[str, ...] = ()


def open_steps(path: Path) -> Generator[Progress, None, Opened]:
    """Read a session; what is missing is noted, and the rest is read.

    Raises
    ------
    SourceError
        If it is no session.
    """
    yield Progress("read", text="reading the session")
    record = read_session(path)
    levels, labels, notes = {}, {}, []
    for image in record.images:
        yield Progress("read", text=f"reading {image.name}")
        try:
            found = read_levels(path, image)
            levels[image.key] = to_show(found, image.name)
            if fingerprint(found, image.name) != image.fingerprint:
                notes.append(f"Image '{image.name}' has changed since the session was saved")
        except DittoError as error:
            notes.append(str(error))
    for entry in record.labels:
        yield Progress("read", text=f"reading {entry.name}")
        try:
            labels[entry.key] = read_labels(path, entry)
        except DittoError as error:
            notes.append(str(error))
    try:
        examples = bool(read_examples(path, record))
    except DittoError as error:
        examples = False
        notes.append(str(error))
    try:
        series = Series.from_json(record.series)
    except Misfit as error:
        series = None
        notes.append(f"the image series cannot be read: {error}")
    return Opened(path, record, levels, labels, series, examples, tuple(notes))


@dataclass(eq=False)
class Showing:
    """Puts what was found into the viewer and the session.

    Attributes
    ----------
    keys : dict of str to str
        Ids of the new layers, by the keys of the session.
    notes : list of str
        What is missing.
    """

    sources: Sources
    opened: Opened
    use: Callable[[str], None]
    keys: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Show images, labels and prompts, then settings and view."""
        record, stage = self.opened.record, self.sources.stage
        for image in record.images:
            self._show_image(image)
        for entry in record.labels:
            if entry.key in self.opened.labels:
                self._show_labels(entry, self.opened.labels[entry.key])
        self._show_prompts()
        chosen = [self.keys[key] for key in record.chosen if key in self.keys]
        session = self.sources.session
        if chosen and len(chosen) == len(record.chosen):
            session.images = tuple(chosen)
        session.target = self.keys.get(record.target, NEW_LABELS)
        self.notes += take_settings(session, record.settings)
        if record.view is not None:
            stage.show(record.view)

    def _show_image(self, entry: SessionImage) -> None:
        stage, levels = self.sources.stage, self.opened.levels.get(entry.key)
        found = stage.find(entry)
        if not found and levels is not None:
            path = "" if entry.kept else str(find_path(self.opened.path, entry))
            found = stage.add_image(entry, levels, path)
        if found:
            self.keys[entry.key] = found
        else:
            self.sources.absent[entry.key] = entry

    def _show_labels(self, entry: SessionLabels, store: LabelStore) -> None:
        sources = self.sources
        images = [self.keys[key] for key in entry.images if key in self.keys]
        key = self.keys[entry.key] = sources.stage.add_labels(entry, store, images)
        sources.log.put(key, moved_steps(entry, self.keys))
        if entry.objects:
            try:
                sources.labelling.tables.put(key, from_json(dict(entry.objects), entry.name))
            except DittoError as error:
                self.notes.append(str(error))

    def _show_prompts(self) -> None:
        record = self.opened.record
        images = [self.keys[image.key] for image in record.images if image.key in self.keys]
        for entry in record.prompts if images else ():
            image = self.keys.get(entry.image, images[0])
            self.keys[entry.key] = self.sources.stage.add_prompts(entry, image)
        for key in record.used:
            if key in self.keys:
                self.use(self.keys[key])


def moved_steps(entry: SessionLabels, keys: Mapping[str, str]) -> tuple[PromptStep, ...]:
    """Return the steps of an entry about images that have other ids now."""
    return tuple(
        replace(step, images=tuple(keys.get(key, key) for key in step.images))
        for step in entry.steps
    )


def take_settings(session: Session, told: Mapping[str, Any]) -> list[str]:
    """Let a session have the settings of a saved one; return what could not be taken over."""
    from napari_ditto.ui.settings import Settings, validate

    names = Settings.__dataclass_fields__.keys()
    chosen, notes = validate({n: told[n] for n in names if n in told and n != "window_mode"})
    known = {choice.key for choice in session.model_choices}
    if chosen.model in known:
        session.choose_model(chosen.model)
    else:
        notes = (*notes, f"Model '{chosen.model}' is not here; {session.model} is used")
    session.device = chosen.device
    session.overlap = "replace" if chosen.overlap == "replace" else "keep"
    session.min_area_px, session.min_score = chosen.min_area_px, chosen.min_score
    facts = Facts(dict(told))
    try:
        session.diameter = max(0.0, facts.number("diameter", 0.0))
        session.positive = facts.flag("positive", True)
        session.text = facts.text("text", "")
        window = _window(facts)
        if window is not None:
            session.window, session.window_mode = window, "given"
    except Misfit as error:
        notes = (*notes, f"a setting cannot be used: {error}")
    return list(notes)


def _window(facts: Facts) -> Window | None:
    pairs = facts.items("window", 2) if "window" in facts else []
    if len(pairs) != 2:
        return None
    ends = Facts({"low": pairs[0], "high": pairs[1]})
    try:
        return Window(ends.numbers("low", most=3), ends.numbers("high", most=3))
    except ValueError as error:
        raise Misfit(str(error)) from error
