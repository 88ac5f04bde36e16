"""Image and model as a plan names them: noted when it is made, opened by whoever works on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from napari_ditto.core.run_plan import ModelRef, SourceRef
from napari_ditto.core.window import Window
from napari_ditto.data.origin import Origin, reopen
from napari_ditto.data.protocols import Source
from napari_ditto.errors import ModelError, SourceError
from napari_ditto.models.protocols import ContextModel, PromptModel

Model = PromptModel | ContextModel
Made = TypeVar("Made")


def source_ref(source: Source) -> SourceRef:
    """Return how an image is opened again; the intensity window is sampled if it is not known."""
    origin: Origin | None = getattr(source, "origin", None)
    limits = zip(source.window.low, source.window.high, strict=True)
    return SourceRef(
        source.name,
        None if origin is None else origin.to_json(),
        tuple((float(low), float(high)) for low, high in limits),
    )


def model_ref(model: Model) -> ModelRef:
    """Return which model that is, with which weights."""
    return ModelRef(model.spec.id, model.spec.key, model.spec.provenance)


def open_source(ref: SourceRef) -> Source:
    """Open the image of a plan; raises SourceError if it is not there."""
    if ref.origin is None:
        raise SourceError(
            "this image lives in the memory of another process",
            where=ref.name,
            todo="Save it as OME-Zarr first, or give it again",
        )
    return reopen(ref.origin, Window.from_pairs(ref.window))


def open_model(ref: ModelRef) -> Model:
    """Load the model of a plan; raises ModelError if its weights are others here."""
    from napari_ditto.models.numerics import of_key
    from napari_ditto.models.registry import load_model

    model = load_model(ref.name, precision=of_key(ref.key))
    check_model(model, ref)
    return model


def check_model(model: Model, ref: ModelRef) -> None:
    """Raise ModelError unless this is the model of a plan."""
    if model.spec.key != ref.key:
        raise ModelError(
            f"this was planned for {ref.key}, here is {model.spec.key}",
            todo="Use the same weights, or begin under another name",
        )


class LastOne(Generic[Made]):
    """Keeps what was made last, so that a process loads the model of a run once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Made] = {}

    def get(self, target: str, digest: str, make: Callable[[], Made]) -> Made:
        """Return what is kept for the plan of this digest at a target, made now if need be."""
        with self._lock:
            if (target, digest) not in self._kept:
                self._kept.clear()
                self._kept[target, digest] = make()
            return self._kept[target, digest]
