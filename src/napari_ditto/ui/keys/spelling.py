"""How keys are written, and which of them can be used."""

from __future__ import annotations

import sys
from collections.abc import Mapping

_MODIFIERS = ("Ctrl", "Shift", "Alt", "Meta")


def spelt(text: str) -> tuple[str, ...]:
    """Return the keys of a text, ``"Ctrl+Z, U"``."""
    return tuple(key for key in (part.strip() for part in text.split(",")) if key)


def shown(key: str) -> str:
    """Return a key as this system's users know it."""
    return key.replace("Ctrl", "Cmd") if sys.platform == "darwin" else key


def native(key: str) -> str:
    """Return a key as napari's ``bind_key`` wants it on this system."""
    return key.replace("Ctrl", "Meta") if sys.platform == "darwin" else key


def canonical(key: str) -> str:
    """Return the one way to write a key that all its spellings share."""
    from napari.utils.key_bindings import coerce_keybinding

    return str(coerce_keybinding(native(key)))


def problem(key: str, taken: Mapping[str, str]) -> str:
    """Return why a key cannot be used, ``""`` if it can.

    Parameters
    ----------
    key : str
        As the user writes it.
    taken : mapping of str to str
        What others do with their keys, by their canonical spelling.
    """
    *modifiers, last = key.split("+")
    if any(modifier.strip() not in _MODIFIERS for modifier in modifiers) or not _is_key(last):
        return f"'{key}' is no key"
    if "Shift" in modifiers and len(last) == 1 and not last.isalpha():
        # napari sees the character that Shift makes of it.
        return "Shift works with letters only"
    use = taken.get(canonical(key))
    return f"napari uses it to {use}" if use else ""


def _is_key(name: str) -> bool:
    from app_model.types import KeyCode

    code = KeyCode.from_string(name.strip())
    return code != KeyCode.UNKNOWN and str(code) not in _MODIFIERS and " " not in name.strip()
