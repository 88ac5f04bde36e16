"""The keys that the user has chosen, kept between sessions.

They live in napari's own plugin settings where there are such (Preferences > Ditto), else in a
file beside our settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_ditto.ui import settings

SECTION = "keys"


def load() -> dict[str, str]:
    """Return what the user has chosen, by action; what is not there has its defaults."""
    section = _section()
    if section is not None:
        return {str(name): str(getattr(section, name)) for name in type(section).model_fields}
    return _load_file()


def save(keys: Mapping[str, str]) -> None:
    """Keep the keys of some actions for good; they are checked when they are used."""
    section = _section()
    if section is not None:
        for name, text in keys.items():
            setattr(section, name, text)
        return
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_load_file(), **keys}, indent=2) + "\n", encoding="utf-8")


def watch(call: Callable[..., object]) -> Callable[[], None]:
    """Call whenever the user changes a key in Preferences; the result ends it."""
    section = _section()
    if section is None:
        return lambda: None
    section.events.connect(call)
    return lambda: section.events.disconnect(call)


def _section() -> Any:  # noqa: ANN401 - a model that napari makes from the manifest
    return settings.napari_section(SECTION)


def _path() -> Path:
    return settings.settings_path().with_name("keys.json")


def _load_file() -> dict[str, str]:
    try:
        values = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in values.items()} if isinstance(values, dict) else {}
