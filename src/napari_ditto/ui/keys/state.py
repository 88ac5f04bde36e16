"""What the sheet of keys shows."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ditto.ui.keymap import ACTIONS, GESTURES, KEYS
from napari_ditto.ui.keys.spelling import shown


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to do, and the keys or the gesture for it."""

    keys: tuple[str, ...]
    label: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """Lines that belong together."""

    title: str
    lines: tuple[Line, ...]


def topics() -> tuple[Topic, ...]:
    """Return everything that has a key now, in the order of the table."""
    found: dict[str, list[Line]] = {}
    for name, action in ACTIONS.items():
        lines = found.setdefault(action.topic, [])
        if KEYS[name]:
            lines.append(Line(tuple(map(shown, KEYS[name])), action.label, action.help))
    for gesture, label, topic in GESTURES:
        found.setdefault(topic, []).append(Line((shown(gesture),), label))
    return tuple(Topic(title, tuple(lines)) for title, lines in found.items() if lines)
