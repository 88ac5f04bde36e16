"""Puts the parts of a dock together: one controller for each viewer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, cast
from weakref import WeakValueDictionary

from napari_ditto.errors import DittoError
from napari_ditto.ui import settings
from napari_ditto.ui.bridge import MainThread
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.journals import Journals
from napari_ditto.ui.restoring import Restoring
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.scene import ViewerScene
from napari_ditto.ui.session import Session, WindowMode
from napari_ditto.ui.workshop import Workshop

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.data.protocols import OverlapPolicy

OLDEST_NAPARI = "0.9"

# Keyed by the id of the viewer itself: plugins get a new proxy each time. The controller holds
# the viewer, so the id cannot be used again while the entry is there.
_controllers: WeakValueDictionary[int, Controller] = WeakValueDictionary()


def controller_for(viewer: Viewer, workshop: Workshop | None = None) -> Controller:
    """Return the one controller of a viewer; it lives as long as a dock shows it.

    Raises
    ------
    DittoError
        If this napari is too old.
    """
    _check_napari(viewer)
    key = id(getattr(viewer, "__wrapped__", viewer))
    controller = _controllers.get(key)
    if controller is None or controller.is_closed:
        journals = Journals()
        scene, runner = ViewerScene(viewer, journals), Runner(MainThread().post)
        chosen, notes = settings.load()
        session = _new_session(chosen, notes)
        workshop = workshop or _new_workshop(chosen)
        workshop.record = journals.record_new
        controller = Controller(
            scene, runner, session, workshop, settings.save, Runner(MainThread().post),
            partial(Restoring, journals=journals, layers=scene.journal_layers),
        )  # fmt: skip
        _controllers[key] = controller
    return controller


def _check_napari(viewer: Viewer) -> None:
    if not hasattr(viewer, "scene"):
        import napari

        raise DittoError(
            f"Ditto works with napari {OLDEST_NAPARI} and newer, this is {napari.__version__}",
            todo="Update napari: pip install --upgrade napari",
        )


def _new_workshop(chosen: settings.Settings) -> Workshop:
    def open_cache() -> EmbeddingCache:
        from napari_ditto.data.embeddings import EmbeddingCache

        directory: Literal["default"] | None = "default" if chosen.cache_disk_gb else None
        disk_bytes = int(chosen.cache_disk_gb * 2**30)
        return EmbeddingCache(chosen.cache_memory_mb * 2**20, directory, disk_bytes)

    return Workshop(open_cache)


def _new_session(chosen: settings.Settings, notes: tuple[str, ...]) -> Session:
    return Session(
        model=chosen.model,
        device=chosen.device,
        overlap=cast("OverlapPolicy", chosen.overlap),
        window_mode=cast("WindowMode", chosen.window_mode),
        min_area_px=chosen.min_area_px,
        min_score=chosen.min_score,
        undo_bytes=chosen.undo_memory_mb * 2**20,
        hint=". ".join(notes),
    )
