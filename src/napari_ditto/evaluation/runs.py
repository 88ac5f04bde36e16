"""Jobs of an evaluation: one set and one model each, here or in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from time import process_time
from typing import Any, Generic, TypeVar

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.errors import ModelError
from napari_ditto.evaluation.baselines import BASELINES, load_baseline
from napari_ditto.evaluation.cases import TILE, Case, cases, choose
from napari_ditto.evaluation.following import COPY, FollowRow, measure_follow
from napari_ditto.evaluation.following_sets import FollowSet
from napari_ditto.evaluation.pixel_baselines import CONTEXT_BASELINES, load_context_baseline
from napari_ditto.evaluation.prompted import Row, measure
from napari_ditto.evaluation.semantic import DiceRow, measure_semantic
from napari_ditto.evaluation.sets import EvalSet
from napari_ditto.evaluation.tracked import TrackSet, measure_tracks
from napari_ditto.evaluation.tracking import GIVEN, TrackingRow
from napari_ditto.evaluation.whole_images import ImageRow, measure_everything, measure_like
from napari_ditto.models.protocols import ContextModel, PromptModel
from napari_ditto.models.registry import load_model

R = TypeVar("R")
S = TypeVar("S", EvalSet, FollowSet, TrackSet)


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    objects : int
        Most objects of a set.
    images : int
        Most images of a set, for what is measured on whole images.
    clicks : int
        Most clicks on an object.
    seed : int
        Of objects, prompts and examples.
    device : str
        For models that use one.
    """

    objects: int = 60
    images: int = 10
    clicks: int = 20
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Job(Generic[S]):
    """One set and one model, by name, so that it can be sent to another process."""

    given: S
    model: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """What a job has measured.

    Attributes
    ----------
    job : Job
        Which one.
    rows : tuple
        The measurements.
    seconds : float
        Of processor time.
    """

    job: Job[Any]
    rows: tuple[R, ...]
    seconds: float


@lru_cache(maxsize=4)
def load_method(name: str, device: str = "auto") -> PromptModel:
    """Return a baseline for prompts, or any model that ``load_model`` knows."""
    return load_baseline(name) if name in BASELINES else load_model(name, device)


def identity(name: str, device: str = "auto") -> str:
    """Return what a method is: a model's key with the hash of its weights, a baseline's name."""
    return name if name in (*CONTEXT_BASELINES, GIVEN) else load_method(name, device).spec.key


def takes_examples(name: str, device: str = "auto") -> bool:
    """Whether a model can be shown examples."""
    return isinstance(load_method(name, device), ContextModel)


def load_context_method(name: str, device: str = "auto") -> ContextModel:
    """Return a baseline for examples, or any model that takes them.

    Raises
    ------
    ModelError
        If the model takes no examples.
    """
    if name in CONTEXT_BASELINES:
        return load_context_baseline(name)
    model = load_method(name, device)
    if not isinstance(model, ContextModel):
        raise ModelError(f"{name} takes no examples", todo="Leave out 'like' and 'semantic'")
    return model


def measure_prompts(
    given: EvalSet, model: PromptModel, settings: Settings | None = None
) -> Iterator[Row]:
    """Yield the rows of one model on one set; every tile is encoded once.

    Raises
    ------
    SourceError
        If an image or mask cannot be read, naming it.
    ModelError
        If the model's tiles are smaller than those of an evaluation.
    """
    settings = settings or Settings()
    if model.spec.input_size < TILE:
        raise ModelError(
            f"{model.spec.id} sees {model.spec.input_size} px, an evaluation needs tiles of {TILE}"
        )
    latest: tuple[tuple[str, tuple[Box, int]], Embedding] | None = None
    targets = choose(given, settings.objects, settings.seed)
    for case in cases(given, targets, settings.seed):
        key = (case.picture, case.view)
        if latest is None or latest[0] != key:
            latest = key, encode(model, case)
        yield from measure(case, model, latest[1], settings.clicks)


def encode(model: PromptModel, case: Case) -> Embedding:
    """Return the embedding of a case's tile."""
    (embedding,) = model.encode(case.tile[None])
    return embedding


def _done(job: Job[Any], rows: Iterator[R]) -> Done[R]:
    start = process_time()
    return Done(job, tuple(rows), process_time() - start)


def prompts_job(job: Job[EvalSet]) -> Done[Row]:
    """Measure prompts, in any process."""
    model = load_method(job.model, job.settings.device)
    return _done(job, measure_prompts(job.given, model, job.settings))


def everything_job(job: Job[EvalSet]) -> Done[ImageRow]:
    """Measure "segment everything", in any process."""
    model = load_method(job.model, job.settings.device)
    return _done(job, measure_everything(job.given, model, job.settings.images))


def like_job(job: Job[EvalSet]) -> Done[ImageRow]:
    """Measure "more like this", in any process."""
    model = load_context_method(job.model, job.settings.device)
    return _done(job, measure_like(job.given, model, job.settings.images, job.settings.seed))


def semantic_job(job: Job[EvalSet]) -> Done[DiceRow]:
    """Measure classes by example, in any process."""
    model = load_context_method(job.model, job.settings.device)
    return _done(job, measure_semantic(job.given, model, job.settings.images, job.settings.seed))


def follow_job(job: Job[FollowSet]) -> Done[FollowRow]:
    """Measure how labels are carried through stacks and movies, in any process."""
    how = job.settings
    model = None if job.model == COPY else load_method(job.model, how.device)
    return _done(job, measure_follow(job.given, model, how.objects, how.images, how.seed))


def track_job(job: Job[TrackSet]) -> Done[TrackingRow]:
    """Measure tracks, in any process."""
    model = None if job.model == GIVEN else load_context_method(job.model, job.settings.device)
    return _done(job, measure_tracks(job.given, model))


def run_jobs(
    work: Callable[[Job[Any]], Done[R]], jobs: Sequence[Job[Any]], workers: int = 1
) -> Iterator[Done[R]]:
    """Yield jobs as they end, in their order if there is one worker."""
    if workers <= 1:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads, broken
    with ProcessPoolExecutor(workers, context) as pool:
        waiting = [pool.submit(work, job) for job in jobs]
        for done in as_completed(waiting):
            yield done.result()
