"""What the fold "Project" shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_ditto.data.series import Series
from napari_ditto.ui.dockstate import Button, when


@dataclass(frozen=True)
class ProjectState:
    """Everything that the fold draws.

    Attributes
    ----------
    name : str
        Of the session, ``""`` if it was never saved.
    folder : str
        Where it is, for a tooltip.
    changed : bool
        Whether there is anything that is not saved.
    progress : str
        ``"12 of 40 done"``, ``""`` without a series.
    image : str
        The image of the series that is shown, and its number.
    done : bool
        Whether it is done.
    labels_folder : str
        Where labels of the series go, ``""`` for beside each image.
    buttons : mapping of str to Button
        By action.
    """

    name: str = ""
    folder: str = ""
    changed: bool = False
    progress: str = ""
    image: str = ""
    done: bool = False
    labels_folder: str = ""
    buttons: Mapping[str, Button] = field(default_factory=dict)


def resolve(
    path: str, name: str, changed: bool, series: Series | None, has_images: bool, idle: bool
) -> ProjectState:
    """Return what the fold shows."""
    free = when(idle, "Wait for what is running, or cancel it")
    one = when(series is not None, "Choose a folder of images first")
    buttons = {
        "save_session": _first(when(has_images, "Open an image first"), free),
        "open_session": free,
        "open_series": free,
        "next_image": _first(one, when(_has(series, "next"), "This is the last image"), free),
        "previous_image": _first(
            one, when(_has(series, "previous"), "This is the first image"), free
        ),
        "next_undone": _first(
            one, when(_has(series, "next_undone"), "All the others are done"), free
        ),
        "image_done": one,
        "end_series": _first(one, free),
    }
    if series is None:
        return ProjectState(name, path, changed, buttons=buttons)
    image = f"{series.current + 1}: {series.item.title}"
    return ProjectState(
        name, path, changed, series.progress, image, series.item.done, series.folder, buttons
    )


def _has(series: Series | None, name: str) -> bool:
    return series is not None and getattr(series, name) is not None


def _first(*buttons: Button) -> Button:
    """Return the first reason against, if any."""
    return next((button for button in buttons if not button.enabled), Button())
