"""Which sets and methods each task of an evaluation has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ditto.errors import SourceError
from napari_ditto.evaluation import baselines, pixel_baselines, runs
from napari_ditto.evaluation.following import COPY, FollowRow
from napari_ditto.evaluation.following_sets import FollowSet, follow_sets
from napari_ditto.evaluation.prompted import Row
from napari_ditto.evaluation.reading import has_stacks
from napari_ditto.evaluation.semantic import DiceRow
from napari_ditto.evaluation.sets import EvalSet, prompt_sets, semantic_sets
from napari_ditto.evaluation.tracked import missing_traccuracy, track_sets
from napari_ditto.evaluation.tracking import GIVEN, TrackingRow
from napari_ditto.evaluation.whole_images import ImageRow


@dataclass(frozen=True)
class Task:
    """One of the six things that are measured.

    Attributes
    ----------
    name, file : str
        For ``--only``, and the CSV.
    work : callable
        From a job to what it has measured.
    row : type
        What a line of the CSV is.
    settings : tuple of str
        Which settings its results depend on.
    baselines : tuple of str
        Methods that every model is compared with.
    examples : bool
        Whether a model must take examples.
    """

    name: str
    file: str
    work: Callable[[runs.Job[Any]], runs.Done[Any]]
    row: type
    settings: tuple[str, ...]
    baselines: tuple[str, ...] = ()
    examples: bool = False


TASKS = {
    task.name: task
    for task in (
        Task(
            "prompts",
            "objects.csv",
            runs.prompts_job,
            Row,
            ("objects", "clicks", "seed"),
            tuple(baselines.BASELINES),
        ),
        Task("everything", "everything.csv", runs.everything_job, ImageRow, ("images",)),
        Task(
            "like",
            "like.csv",
            runs.like_job,
            ImageRow,
            ("images", "seed"),
            ("filters_ridge", "filters_forest"),
            True,
        ),
        Task(
            "semantic",
            "semantic.csv",
            runs.semantic_job,
            DiceRow,
            ("images", "seed"),
            pixel_baselines.CONTEXT_BASELINES,
            True,
        ),
        Task(
            "follow",
            "follow.csv",
            runs.follow_job,
            FollowRow,
            ("objects", "images", "seed"),
            (COPY,),
        ),
        Task("track", "tracks.csv", runs.track_job, TrackingRow, (), (GIVEN,), True),
    )
}

BASELINES = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.baselines))


def missing(name: str) -> str:
    """Return one line on why a baseline cannot run here, or an empty string."""
    return baselines.missing(name) or pixel_baselines.missing_modules(name)


def own_sets(given: EvalSet) -> dict[str, list[Any]]:
    """Return a user's set for each task that its masks allow."""
    whole = [] if given.semantic else [given]
    classes = [given] if given.semantic else []
    stacks = [FollowSet(given.name, given.images, given.masks)] if has_stacks(given) else []
    return {
        "prompts": [given],
        "everything": whole,
        "like": whole,
        "semantic": classes,
        "follow": stacks,
        "track": [],
    }


def named_sets(root: Path, wanted: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Return the named sets for each task, all of them or those wanted.

    Raises
    ------
    SourceError
        If a name is not known.
    """
    prompts, semantic, follow = prompt_sets(root), semantic_sets(root), follow_sets(root)
    tracks = {} if missing_traccuracy() else track_sets(root)
    known = list(dict.fromkeys([*prompts, *semantic, *follow, *tracks]))
    for name in wanted:
        if name not in known:
            raise SourceError(f"no set is called {name!r}", todo=f"There are {', '.join(known)}")
    chosen = wanted or known
    whole = [s for s in prompts.values() if s.exhaustive and s.name in chosen]
    return {
        "prompts": [s for s in prompts.values() if s.name in chosen],
        "everything": whole,
        "like": whole,
        "semantic": [s for s in semantic.values() if s.name in chosen],
        "follow": [s for s in follow.values() if s.name in chosen],
        "track": [s for s in tracks.values() if s.name in chosen],
    }
