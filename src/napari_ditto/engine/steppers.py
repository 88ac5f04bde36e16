"""Which stepper carries labels with which model."""

from __future__ import annotations

from typing import Literal

from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.stepping import Stepper
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import ContextModel, PromptModel

Kinds = Literal["objects", "classes"]


def choose_stepper(
    model: PromptModel | ContextModel,
    source: Source,
    cache: EmbeddingStore | None = None,
    kinds: Kinds = "objects",
) -> Stepper:
    """Return what a model carries labels best with: its own memory of videos, prompts, examples.

    Raises
    ------
    ModelError
        If the model can do none of these.
    """
    raise ModelError(f"{model.spec.id} cannot carry labels", todo="Choose another model")
