"""What a run does with one tile: everything in it, or what examples have shown."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import Task
from napari_ditto.data.blocks import Arrays, digest
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.protocols import Source
from napari_ditto.engine.candidates import Settings
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.everything import segment_all_steps
from napari_ditto.engine.lessons import Lesson
from napari_ditto.engine.like_objects import Sizes
from napari_ditto.engine.predict import prompted
from napari_ditto.engine.recalling import apply_steps
from napari_ditto.engine.whole.opening import Model
from napari_ditto.errors import ModelError, StoreError
from napari_ditto.models.protocols import ContextModel, Memory, PromptModel

TILE_CACHE = 512 << 20
"""Embeddings of one tile's parts, which may be wanted twice."""


@dataclass(frozen=True, eq=False)
class Segmented:
    """One tile.

    Attributes
    ----------
    labels : ndarray of uint32, shape (h, w)
        Objects from 1, or classes.
    scores : ndarray of float32, shape (n,)
        Of objects 1 to n; empty for classes.
    """

    labels: NDArray[np.uint32]
    scores: NDArray[np.float32]


class Segmenter(Protocol):
    """Labels one tile; a pure function of its pixels."""

    def steps(
        self, tile: Source, address: PlaneAddress, threads: int = 1
    ) -> Generator[Progress, None, Segmented]:
        """Return the labels of a plane that is a tile; `threads` may work on it."""
        ...


@dataclass(frozen=True, eq=False)
class AllSegmenter:
    """Everything that a model finds."""

    model: PromptModel
    settings: Settings

    def steps(
        self, tile: Source, address: PlaneAddress, threads: int = 1
    ) -> Generator[Progress, None, Segmented]:
        """Return all objects of a tile."""
        found = yield from segment_all_steps(
            tile, self.model, address,
            cache=_tile_cache(), settings=self.settings, threads=threads,
        )  # fmt: skip
        return Segmented(found.labels, found.scores)


@dataclass(frozen=True, eq=False)
class LikeSegmenter:
    """What examples have taught."""

    model: ContextModel
    lesson: Lesson
    threshold: float = 0.0

    def steps(
        self, tile: Source, address: PlaneAddress, threads: int = 1
    ) -> Generator[Progress, None, Segmented]:
        """Return the objects or classes of a tile that are sure enough."""
        encoder = TileEncoder(tile, self.model, _tile_cache())
        box = Box.of_shape(tile.plane_shape(address))
        found = yield from apply_steps(encoder, self.lesson, address, box)
        labels, scores = found.labels, found.scores
        if self.threshold > 0:
            labels, scores = found.above(self.threshold)
        return Segmented(labels, scores if found.instances else scores[:0])


def all_task(settings: Settings | None = None) -> Task:
    """Return the task of finding everything."""
    return Task("all", True, (settings or Settings()).told())


def like_task(lesson: Lesson, threshold: float = 0.0) -> Task:
    """Return the task of finding what a lesson is about.

    Parameters
    ----------
    lesson : Lesson
        From :func:`~napari_ditto.engine.lessons.learn_steps`; it is kept beside the plan, which
        names it by its digest.
    threshold : float
        Least confidence of an object, least probability of a class.
    """
    _, arrays = pack_lesson(lesson)
    sizes = None if lesson.sizes is None else asdict(lesson.sizes)
    settings = {
        "threshold": threshold,
        "least": lesson.least,
        "sizes": sizes,
        "classes": list(lesson.memory.classes),
        "memory": digest(arrays),
    }
    return Task("like", lesson.instances, settings)


def pack_lesson(lesson: Lesson) -> tuple[dict[str, Any], Arrays]:
    """Return a lesson's memory as a head of JSON types and arrays."""
    memory = lesson.memory
    return {"model": memory.model, "classes": list(memory.classes)}, memory.arrays


def unpack_lesson(task: Task, head: dict[str, Any], arrays: Arrays) -> Lesson:
    """Return the lesson that a task speaks of.

    Raises
    ------
    StoreError
        If the memory is another one.
    """
    told = task.settings
    if digest(arrays) != told["memory"] or head["classes"] != told["classes"]:
        raise StoreError("the memory beside the plan is not the plan's", todo="Make a new plan")
    memory = Memory(dict(arrays), tuple(head["classes"]), str(head["model"]))
    sizes = None if told["sizes"] is None else Sizes(**told["sizes"])
    return Lesson(memory, task.instances, sizes, float(told["least"]))


def segmenter_for(task: Task, model: Model, lesson: Lesson | None) -> Segmenter:
    """Return what does a task.

    Raises
    ------
    ModelError
        If the model cannot.
    """
    if task.kind == "all":
        return AllSegmenter(prompted(model), Settings(**task.settings))
    if lesson is None or not isinstance(model, ContextModel):
        raise ModelError(f"{model.spec.id} takes no examples", todo="Choose another model")
    return LikeSegmenter(model, lesson, float(task.settings["threshold"]))


def _tile_cache() -> EmbeddingCache:
    """Return a cache that forgets with its tile: a slide would drive out all that others keep."""
    return EmbeddingCache(TILE_CACHE, directory=None)
