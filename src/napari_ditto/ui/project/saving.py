"""A session as it is now, gathered on the main thread and written in the background."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from napari_ditto import __version__
from napari_ditto.core.progress import Progress
from napari_ditto.data.object_json import to_json
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.series import Series
from napari_ditto.data.session_folder import SessionContent, write_session_steps
from napari_ditto.data.session_layers import SessionImage, SessionLabels
from napari_ditto.data.session_pixels import can_keep, fingerprint, read_levels
from napari_ditto.data.session_records import SessionRecord
from napari_ditto.errors import DittoError, LabelsError
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.part import Part
from napari_ditto.ui.project.stage import Levels, ProjectStage
from napari_ditto.ui.project.step_log import StepLog
from napari_ditto.ui.session import Session

KEPT = (
    *("model", "device", "overlap", "window_mode", "min_area_px", "min_score", "diameter"),
    *("positive", "text"),
)
"""Fields of the session that are saved as they are."""


class Keeper(Protocol):
    """A capability with settings of its own."""

    def kept(self) -> Mapping[str, object]:
        """Return its settings, as JSON types."""
        ...

    def put_back(self, kept: Mapping[str, object], /) -> None:
        """Take over settings of another session; they may be damaged."""
        ...


def keepers(parts: Sequence[Part], examples: Keeper) -> dict[str, Keeper]:
    """Return all capabilities by the names that they have in a session."""
    named: dict[str, Keeper] = {part.name: part for part in parts}
    return {**named, "examples": examples}


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is to be saved, before anything is read.

    Attributes
    ----------
    record : SessionRecord
        Without fingerprints and files.
    labels : mapping of str to LabelStore
        By key.
    levels : mapping of str to tuple of array
        Of the images, by key.
    examples : tuple of PlaneExample
        The list of examples.
    notes : tuple of str
        What cannot be saved, each in a line.
    """

    record: SessionRecord
    labels: Mapping[str, LabelStore]
    levels: Mapping[str, Levels]
    examples: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Saved:
    """What was saved."""

    path: Path
    record: SessionRecord
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sources:
    """Where a session is gathered from."""

    session: Session
    stage: ProjectStage
    labelling: Labelling
    log: StepLog
    parts: Mapping[str, Keeper] = field(default_factory=dict)
    absent: dict[str, SessionImage] = field(default_factory=dict)
    """Images that a session speaks of and that could not be opened, by key."""


def gather(sources: Sources, examples: Sequence[Any], series: Series | None) -> Gathered:
    """Return what is to be saved: all that concerns the images we have worked on."""
    session, stage = sources.session, sources.stage
    labels, stores, notes = [], {}, []
    for choice in session.target_choices:
        try:
            entry, store = labels_entry(sources, choice.key)
        except LabelsError as error:
            notes.append(f"Labels '{choice.text}' are not in it: {error.what}")
            continue
        labels.append(entry)
        stores[entry.key] = store
    steps = [step for entry in labels for step in entry.steps]
    used = dict.fromkeys((*session.images, *(key for step in steps for key in step.images)))
    taken = [stage.image(key) for key in used if stage.has(key)]
    absent = [sources.absent[key] for key in used if key in sources.absent]
    record = SessionRecord(
        (*(entry for entry, _ in taken), *absent), tuple(labels),
        stage.prompts(session.prompt_layers), session.images, session.target,
        session.prompt_layers, settings(session),
        {name: dict(kept) for name, part in sources.parts.items() if (kept := part.kept())},
        series=series.to_json() if series else {}, view=stage.view(),
        program=f"napari-ditto {__version__}",
    )  # fmt: skip
    return Gathered(
        record,
        stores,
        {entry.key: levels for entry, levels in taken},
        tuple(examples),
        tuple(notes),
    )


def labels_entry(sources: Sources, key: str) -> tuple[SessionLabels, LabelStore]:
    """Return labels with what is known of their objects."""
    table = sources.labelling.tables.of(key)
    known = to_json(table) if table.records or table.classes else {}
    entry, store = sources.stage.labels(key, known)
    steps = tuple(
        step for step in sources.log.steps(key)
        if all(sources.stage.has(image) or image in sources.absent for image in step.images)
    )  # fmt: skip
    images = steps[0].images if steps else sources.session.images
    return replace(entry, steps=steps, images=images), store


def settings(session: Session) -> dict[str, Any]:
    """Return model, device and so on."""
    window = session.window
    pairs = [list(window.low), list(window.high)] if window else None
    return {**{name: getattr(session, name) for name in KEPT}, "window": pairs}


def save_steps(path: Path, gathered: Gathered) -> Generator[Progress, None, Saved]:
    """Write a session; runs in the background.

    An image stays where it is if its file gives the very same pixels when we open it; another one
    is copied if it is small.
    """
    record, keep, notes = gathered.record, {}, list(gathered.notes)
    images = []
    for entry in record.images:
        levels = gathered.levels.get(entry.key)
        if levels is None:
            images.append(entry)
            continue
        yield Progress("read", text=f"reading {entry.name}")
        known = replace(_nearby(entry, path), fingerprint=fingerprint(levels, entry.name))
        if not _can_be_found(path, known):
            if can_keep(levels):
                keep[entry.key] = levels
            else:
                notes.append(f"Image '{entry.name}' is not in it: open it before the session")
        images.append(known)
    content = SessionContent(
        replace(record, images=tuple(images)), gathered.labels, keep, gathered.examples
    )
    written = yield from write_session_steps(path, content)
    return Saved(path, written, tuple(notes))


def _nearby(entry: SessionImage, session: Path) -> SessionImage:
    """Return an image with its path as seen from the session, if it lies below the same folder."""
    home = session.absolute().parent
    if not entry.path or not Path(entry.path).is_relative_to(home):
        return entry
    return replace(entry, nearby=os.path.relpath(entry.path, home))


def _can_be_found(session: Path, entry: SessionImage) -> bool:
    if not entry.path:
        return False
    try:
        return fingerprint(read_levels(session, entry), entry.name) == entry.fingerprint
    except DittoError:
        return False
