"""Point at it once; ditto everywhere: segmentation in napari by prompt and by example.

Importing this package imports nothing heavy; every public name is loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ditto.data.export import export
    from napari_ditto.data.importing.labels import import_labels
    from napari_ditto.data.measuring import measure
    from napari_ditto.data.source import open_source
    from napari_ditto.engine.annotator import Annotator
    from napari_ditto.engine.context import segment_like
    from napari_ditto.engine.everything import segment_all
    from napari_ditto.engine.propagate import propagate
    from napari_ditto.engine.replay import replay
    from napari_ditto.engine.tracking import track
    from napari_ditto.models.registry import load_model

__version__ = "0.1.0"

_HOMES = {
    "Annotator": "napari_ditto.engine.annotator",
    "export": "napari_ditto.data.export",
    "import_labels": "napari_ditto.data.importing.labels",
    "load_model": "napari_ditto.models.registry",
    "measure": "napari_ditto.data.measuring",
    "open_source": "napari_ditto.data.source",
    "propagate": "napari_ditto.engine.propagate",
    "replay": "napari_ditto.engine.replay",
    "segment_all": "napari_ditto.engine.everything",
    "segment_like": "napari_ditto.engine.context",
    "track": "napari_ditto.engine.tracking",
}

__all__ = [
    "Annotator",
    "__version__",
    "export",
    "import_labels",
    "load_model",
    "measure",
    "open_source",
    "propagate",
    "replay",
    "segment_all",
    "segment_like",
    "track",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
