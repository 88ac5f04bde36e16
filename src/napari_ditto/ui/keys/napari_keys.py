"""The keys that napari itself uses, now: its shortcuts as the user has set them, and its menus."""

from __future__ import annotations


def napari_keys() -> dict[str, str]:
    """Return what napari does with its keys, by their canonical spelling."""
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes
    from napari.layers.base import Layer

    found = dict(_menu_keys())
    for owner in (ViewerModel, Layer, Image, Labels, Points, Shapes):
        for key, call in owner.class_keymap.items():
            found[str(key)] = getattr(call, "__name__", "something else").replace("_", " ")
    return found | _shortcuts()


def _shortcuts() -> dict[str, str]:
    from napari.settings import get_settings

    shortcuts = get_settings().shortcuts.shortcuts
    return {
        str(key): str(name).partition(":")[2].replace("_", " ")
        for name, keys in shortcuts.items()
        for key in keys
    }


def _menu_keys() -> dict[str, str]:
    """Return the keys in napari's menus; none before there is a window."""
    from app_model import Application

    app = Application.get_app("napari")
    if app is None:
        return {}
    entries = ((str(entry.keybinding), entry.command_id) for entry in app.keybindings)
    return {key: _title(app, command) for key, command in entries}


def _title(app: object, command: str) -> str:
    registered = getattr(app, "commands", {})
    return str(registered[command].title).rstrip(".").lower() if command in registered else command
