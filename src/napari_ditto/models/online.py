"""Whether anything may be fetched: the user's standing wish, and that of the environment.

Whatever goes online asks here first: downloads of weights, and libraries that fetch their own.
"""

from __future__ import annotations

import os

from napari_ditto.core.config_folder import config_folder, write_whole
from napari_ditto.errors import ModelNotFoundError, StoreError

VARIABLES = ("NAPARI_DITTO_OFFLINE", "HF_HUB_OFFLINE")
_MARK = "never-go-online"


def is_offline() -> bool:
    """Whether the network is forbidden, by the user or by the environment."""
    return never_goes_online() or offline_by_environment()


def offline_by_environment() -> bool:
    """Whether a variable forbids the network, whatever the user has set."""
    return any(os.environ.get(n, "").lower() in {"1", "true", "yes", "on"} for n in VARIABLES)


def never_goes_online() -> bool:
    """Whether the user has forbidden the network for good."""
    return (config_folder() / _MARK).exists()


def never_go_online(forbid: bool) -> None:
    """Forbid the network for good, or allow it again.

    Raises
    ------
    StoreError
        If that cannot be remembered.
    """
    mark = config_folder() / _MARK
    try:
        if forbid:
            write_whole(mark, "Models panel: never go online\n")
        else:
            mark.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"the setting cannot be written: {error.strerror}", where=str(mark.parent)
        ) from error


def require_online(wanted: str) -> None:
    """Refuse to fetch something while the network is forbidden.

    Raises
    ------
    ModelNotFoundError
        With what to do instead.
    """
    if is_offline():
        switch = (
            "Untick 'Never go online' in Ditto models"
            if never_goes_online()
            else f"Unset {' and '.join(VARIABLES)}"
        )
        raise ModelNotFoundError(
            "offline mode is on, nothing is downloaded",
            where=wanted,
            todo=f"{switch}, or copy the file there by hand",
        )
