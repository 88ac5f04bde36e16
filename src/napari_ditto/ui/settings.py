"""The user's settings: typed, checked, kept between sessions.

They live in napari's own plugin settings where there are such (0.9 and later, declared under
``configurations`` in the manifest and shown in Preferences), else in a JSON file of ours. A value
that is damaged or foreign falls back to its default, with a note.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from napari_ditto.errors import StoreError
from napari_ditto.models.names import DEFAULT_MODEL

PLUGIN, SECTION = "napari-ditto", "annotate"


def _setting(
    default: str | int | float | bool,
    title: str,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
) -> Any:  # noqa: ANN401 - as dataclasses.field
    notes = {"title": title, "help": help, "choices": choices, "bounds": bounds}
    return field(default=default, metadata=notes)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is kept between sessions; the manifest declares the same, and a test compares."""

    model: str = _setting(DEFAULT_MODEL, "Model", "The model that is loaded first.")
    device: str = _setting(
        "auto", "Device", "Where models run: auto, cpu, cuda, cuda:1, mps, and so on."
    )
    overlap: str = _setting(
        "keep",
        "Existing labels",
        "Whether accepting an object keeps the pixels of other labels or replaces them.",
        choices=("keep", "replace"),
    )
    window_mode: str = _setting(
        "sampled",
        "Intensity window",
        "Which raw values count as black and white: percentiles of a sample, "
        "or the layer's contrast limits when it is opened.",
        choices=("sampled", "contrast"),
    )
    min_area_px: int = _setting(
        20,
        "Smallest object",
        "Objects with fewer pixels are left out of 'segment everything here'.",
        bounds=(0, 1_000_000),
    )
    min_score: float = _setting(
        0.5,
        "Lowest score",
        "Objects that the model scores lower are left out of 'segment everything here'.",
        bounds=(0, 1),
    )
    live_preview: bool = _setting(
        True,
        "Live preview",
        "Show what a click would give where the mouse rests; slow models wait to be asked.",
    )
    smooth_px: float = _setting(
        0.0,
        "Smooth outlines (px)",
        "How far outlines of masks are smoothed; 0 leaves them as the model gives them.",
        bounds=(0, 20),
    )
    fill_holes: bool = _setting(False, "Fill holes", "What a mask encloses belongs to the object.")
    pieces: str = _setting(
        "all",
        "Pieces of a mask",
        "Which pieces stay: all of them, the largest, or those that were clicked on.",
        choices=("all", "largest", "clicked"),
    )
    min_piece_px: int = _setting(
        0,
        "Smallest piece",
        "Pieces of a mask with fewer pixels are left out.",
        bounds=(0, 1_000_000),
    )
    undo_memory_mb: int = _setting(
        256,
        "Undo in memory (MB)",
        "What can be undone; the oldest steps are forgotten first, and the dock says so.",
        bounds=(1, 1_000_000),
    )
    encode_ahead: bool = _setting(
        True,
        "Encode ahead",
        "Whether tiles in view and around are encoded while nothing else is done, so that clicks "
        "are answered at once; quick models only.",
    )
    cache_memory_mb: int = _setting(
        1024, "Cache in memory (MB)", "Embeddings kept in memory.", bounds=(0, 1_000_000)
    )
    cache_disk_gb: float = _setting(
        10.0, "Cache on disk (GB)", "Embeddings kept on disk; 0 keeps none.", bounds=(0, 100_000)
    )


def validate(values: Mapping[str, object]) -> tuple[Settings, tuple[str, ...]]:
    """Return settings from stored values, and a note for each value that could not be used."""
    good: dict[str, Any] = {}
    notes = [f"setting '{name}' is not known" for name in values if name not in _names()]
    for entry in fields(Settings):
        if entry.name in values:
            value = values[entry.name]
            problem = _problem(value, entry.default, entry.metadata)
            if problem:
                notes.append(f"setting '{entry.name}' {problem}; {entry.default} is used instead")
            else:
                good[entry.name] = value
    return Settings(**good), tuple(notes)


def _names() -> set[str]:
    return {entry.name for entry in fields(Settings)}


def _problem(value: object, default: object, notes: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, in words, or nothing."""
    flag, number = isinstance(default, bool), isinstance(default, int | float)
    wanted = "yes or no" if flag else "number" if number else "text"
    kind = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, kind) or isinstance(value, bool) != isinstance(default, bool):
        return f"is {value!r}, which is no {wanted}"
    if notes["choices"] and value not in notes["choices"]:
        return f"is {value!r}, not one of {', '.join(notes['choices'])}"
    if notes["bounds"] and not notes["bounds"][0] <= value <= notes["bounds"][1]:
        return f"is {value!r}, not between {notes['bounds'][0]} and {notes['bounds'][1]}"
    return "" if value != "" else "is empty"


def load() -> tuple[Settings, tuple[str, ...]]:
    """Return the user's settings, and a note for each stored value that could not be used."""
    section = _napari_section()
    if section is not None:
        return validate({name: getattr(section, name) for name in _names()})
    return _load_file(settings_path())


def save(**changes: object) -> Settings:
    """Change some settings for good, and return them all.

    Raises
    ------
    ValueError
        If a name is not known or a value is not allowed.
    StoreError
        If the file cannot be written.
    """
    current, _ = load()
    settings, notes = validate({**asdict(current), **changes})
    if notes:
        raise ValueError("; ".join(notes))
    section = _napari_section()
    store: Callable[[], None] = (
        (lambda: _save_file(settings_path(), settings))
        if section is None
        else (lambda: _save_section(section, changes))
    )
    try:
        store()
    except OSError as error:
        raise StoreError(
            f"settings cannot be written: {error.strerror}", where=str(settings_path().parent)
        ) from error
    return settings


def _napari_section() -> Any:  # noqa: ANN401
    return napari_section(SECTION)


def napari_section(name: str) -> Any:  # noqa: ANN401 - a model that napari makes from the manifest
    """Return a section of napari's settings for this plugin, or None where napari keeps none."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # napari < 0.9
        return None
    try:
        return getattr(get_plugin_settings(PLUGIN), name)
    except KeyError:  # not installed as a plugin, or switched off
        return None


def _save_section(section: Any, changes: Mapping[str, object]) -> None:  # noqa: ANN401
    for name, value in changes.items():
        setattr(section, name, value)


def settings_path() -> Path:
    """Return our own settings file, used where napari keeps none."""
    import platformdirs

    folder = os.environ.get("NAPARI_DITTO_CONFIG")
    return Path(folder or platformdirs.user_config_dir(PLUGIN, appauthor=False)) / "settings.json"


def _load_file(path: Path) -> tuple[Settings, tuple[str, ...]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings(), ()
    except (OSError, ValueError) as error:
        return Settings(), (f"the settings in {path} cannot be read ({error}); defaults are used",)
    if not isinstance(values, dict):
        return Settings(), (f"the settings in {path} are no table; defaults are used",)
    return validate(values)


def _save_file(path: Path, settings: Settings) -> None:
    """Write the settings beside the file and move them there, so that it is never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
