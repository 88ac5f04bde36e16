"""From a model name to a loaded model."""

from __future__ import annotations

from napari_ditto.errors import ModelNotFoundError
from napari_ditto.models.protocols import PromptModel


def load_model(name: str = "classic", device: str = "auto") -> PromptModel:
    """Return the model called `name`."""
    if name == "classic":
        from napari_ditto.models.classic.model import ClassicModel

        return ClassicModel()
    raise ModelNotFoundError(f"no model is called {name!r}")
