"""Which stepper carries labels with which model."""

from __future__ import annotations

from typing import Literal

from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.context_stepper import ContextStepper
from napari_ditto.engine.prompt_stepper import PromptStepper
from napari_ditto.engine.stepping import Stepper
from napari_ditto.engine.video_stepper import VideoStepper
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import ContextModel, PromptModel, VideoModel

Kinds = Literal["objects", "classes"]


def choose_stepper(
    model: PromptModel | ContextModel,
    source: Source,
    cache: EmbeddingStore | None = None,
    kinds: Kinds = "objects",
) -> Stepper:
    """Return what a model carries labels with best.

    Objects go by the model's own memory of videos, else by prompts, else by examples; classes go
    by examples.

    Raises
    ------
    ModelError
        If the model cannot do it.
    """
    if kinds == "objects" and isinstance(model, VideoModel):
        return VideoStepper(model, source, cache)
    if kinds == "objects" and isinstance(model, PromptModel):
        return PromptStepper(model, source, cache)
    if isinstance(model, ContextModel):
        return ContextStepper(model, source, cache, kinds)
    raise ModelError(
        f"{model.spec.id} learns nothing from examples, so it cannot carry classes",
        todo="Follow objects, or choose another model",
    )
