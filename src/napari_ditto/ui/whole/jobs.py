"""The background jobs of runs over whole images, as generators over the engine; no Qt, no layers.

They run in a thread of their own beside the dock's, and take their model from the same shelf.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.core.control import Control
from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.run_plan import Join, Kind, Plan, Polygon, Task
from napari_ditto.errors import DittoError, ModelError
from napari_ditto.models.protocols import ContextModel
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.model_shelf import Model
from napari_ditto.ui.whole.differences import differences
from napari_ditto.ui.whole.session import Cost, Found
from napari_ditto.ui.whole.targets import free_name
from napari_ditto.ui.whole.watching import watched
from napari_ditto.ui.workshop import Workshop

if TYPE_CHECKING:
    from napari_ditto.data.protocols import LabelStore
    from napari_ditto.data.pyramid_labels import PyramidLabels
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.engine.lessons import Lesson
    from napari_ditto.engine.whole.work import RunSummary

DISK_BYTES = 0.5
"""Bytes on disk per pixel, with the pyramid and what a run keeps; a mosaic of coins takes 0.34."""

PROMPTS_PER_TILE = 30
"""Objects that a model suggests in one of its tiles, for estimates."""

USED = "There is something else under this name: choose another one"


@dataclass(frozen=True, eq=False)
class Order:
    """What the user wants, with all that can be known on the main thread.

    Attributes
    ----------
    setup : Setup
        Image, model, device.
    kind : {"all", "like"}
        What is looked for.
    address : PlaneAddress
        A plane: says which axes are rows and columns.
    within : mapping of str to (int, int)
        First plane and one past the last, by axis.
    region : tuple of polygons
        Where; everywhere if empty.
    target : Path
        The folder.
    given : bool
        Whether the user named it; otherwise one like it will do as well.
    join, skip_empty
        As in the session.
    min_area, min_score
        Of everything.
    examples, tuned, one_kind, threshold
        Of what is like them.
    workers, cluster
        Who works; a cluster where one is named.
    text
        What to look for instead of everything.
    """

    setup: Setup
    kind: Kind
    address: PlaneAddress
    within: Mapping[str, tuple[int, int]]
    region: tuple[Polygon, ...]
    target: Path
    given: bool = False
    join: Join = "none"
    skip_empty: bool = True
    min_area: int = 20
    min_score: float = 0.5
    examples: tuple[PlaneExample, ...] = field(default=())
    tuned: str = ""
    one_kind: bool = True
    threshold: float = 0.0
    workers: int = 1
    cluster: str = ""
    text: str = ""


@dataclass(frozen=True, eq=False)
class Looked:
    """The target, what is there, and what the run would take."""

    target: Path
    found: Found | None
    cost: Cost
    differs: str = ""


@dataclass(frozen=True, eq=False)
class Planned:
    """A new run: its plan, what its examples teach, and what it will take."""

    plan: Plan
    lesson: Lesson | None
    cost: Cost


@dataclass(frozen=True, eq=False)
class Ended:
    """What came of a run.

    Attributes
    ----------
    summary : RunSummary
        The figures.
    store : LabelStore
        The labels, to be edited.
    provenance : dict
        What made them.
    """

    summary: RunSummary
    store: LabelStore
    provenance: dict[str, object]


@dataclass(frozen=True, eq=False)
class Opened:
    """The levels of the target: partial result of a run, once they are there."""

    levels: tuple[object, ...]


class WholeJobs:
    """Makes the jobs.

    Parameters
    ----------
    workshop : Workshop
        Where models are kept.
    """

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self._measured: dict[tuple[str, str], float] = {}

    # --- before a run ----------------------------------------------------------------------------

    def look(self, order: Order) -> Generator[Progress, None, Looked]:
        """Return what is at the target and what an order would take; nothing is written."""
        yield Progress("read", text="looking at the target")
        target, found = self._settle(order)
        model = yield from self.workshop.lend(order.setup.model, order.setup.device)
        yield Progress("read", text="planning")
        # What examples teach takes long to learn and changes neither tiles nor planes.
        plan = _make_plan(order, model, _all_task(order))
        differs = differences(found.plan, plan) if found and found.plan else ""
        return Looked(target, found, self._cost(order, plan, model), differs)

    def _settle(self, order: Order) -> tuple[Path, Found | None]:
        """Return the target and what is there; a suggested one gives way to what is finished."""
        found = find(order.target)
        if not order.given and found is not None and (found.plan is None or found.finished):
            return free_name(order.target), None
        return order.target, found

    def order(self, order: Order) -> Generator[Progress, None, Planned]:
        """Return the plan of a new run and what it will take."""
        model = yield from self.workshop.lend(order.setup.model, order.setup.device)
        if order.kind == "all":
            plan, lesson = _make_plan(order, model, _all_task(order)), None
        else:
            from napari_ditto.engine.whole.segmenter import like_task

            lesson = yield from _learn(order, model)
            plan = _make_plan(order, model, like_task(lesson, order.threshold))
        return Planned(plan, lesson, self._cost(order, plan, model))

    def _cost(self, order: Order, plan: Plan, model: Model) -> Cost:
        """Return what a plan takes, with one tile at a time."""
        seconds = self._measured.get((plan.model.name, order.kind))
        one = _guess(model, plan) if seconds is None else seconds
        pixels = plan.count * (plan.window - 2 * plan.halo) ** 2
        whole = len(plan.addresses) * plan.plane_shape[0] * plan.plane_shape[1]
        disk = int(min(pixels, whole) * DISK_BYTES)
        planes, free = len(plan.addresses), _free(order.target)
        return Cost(plan.count, planes, one * plan.count, disk, free, seconds is not None)

    def measured(self, plan: Plan, seconds: float) -> None:
        """Keep what a tile has really taken, for the next estimate."""
        self._measured[plan.model.name, plan.task.kind] = seconds

    # --- a run -----------------------------------------------------------------------------------

    def run(
        self, order: Order, plan: Plan, lesson: Lesson | None, control: Control
    ) -> Generator[Progress, None, Ended]:
        """Work through a plan, from where it stands; a new one needs its lesson.

        Yields
        ------
        Progress
            Partial results are one :class:`Opened`, then
            :class:`~napari_ditto.ui.whole.watching.Standing`.
        """
        from napari_ditto.engine.whole.launch import executor_for
        from napari_ditto.engine.whole.run import run_steps

        target, workers = Path(plan.target), None if order.cluster else order.workers
        yield Progress("read", text="Finding workers…" if order.cluster else "")
        model = yield from self.workshop.lend(plan.model.name, order.setup.device)
        with closing(executor_for(workers, order.cluster or None)) as executor:
            steps = run_steps(
                plan, source=order.setup.source, model=model, lesson=lesson,
                executor=executor, control=control, preview=True,
            )  # fmt: skip
            summary = yield from _shown(watched(steps), target)
        store = open_labels(target)
        return Ended(summary, store, dict(store.provenance))

    def show(self, target: Path) -> Generator[Progress, None, PyramidLabels]:
        """Return the labels of a finished run."""
        yield Progress("read", text="opening the labels")
        return open_labels(target)


def find(target: Path) -> Found | None:
    """Return what is at a target, None if nothing is."""
    from napari_ditto.engine.whole.run import run_status

    if not target.exists():
        return None
    try:
        status = run_status(target)
    except DittoError:
        return Found(None, what=USED)
    return Found(status.plan, status.done, status.state == "finished" or status.edited)


def open_labels(target: Path) -> PyramidLabels:
    """Open the labels of a run, finished or not."""
    from napari_ditto.data.pyramid_labels import PyramidLabels

    return PyramidLabels.open(target)


def _shown(
    steps: Generator[Progress, None, RunSummary], target: Path
) -> Generator[Progress, None, RunSummary]:
    """Hand the target's levels out once it is there, which the first step says."""
    with closing(steps):
        first = next(steps)
        yield Progress("read", partial=Opened(tuple(open_labels(target).levels)))
        yield first
        return (yield from steps)


def _learn(order: Order, model: Model) -> Generator[Progress, None, Lesson]:
    """Return what the examples, or a tuned prompt, teach."""
    from napari_ditto.engine.lessons import learn_steps
    from napari_ditto.models.tuned import load_tuned

    if not isinstance(model, ContextModel):
        raise ModelError(
            f"{model.spec.id} does not learn from examples",
            todo="Choose another model, such as ditto",
        )
    tuned = load_tuned(order.tuned, model.spec.key) if order.tuned else None
    return (
        yield from learn_steps(
            order.setup.source, order.examples, model, order.address,
            instances=tuned.instances if tuned else order.one_kind,
            memory=tuned.memory if tuned else None,
        )
    )  # fmt: skip


def _all_task(order: Order) -> Task:
    from napari_ditto.engine.candidates import Settings
    from napari_ditto.engine.whole.segmenter import all_task

    return all_task(
        Settings(min_area=order.min_area, score_threshold=order.min_score, text=order.text)
    )


def _make_plan(order: Order, model: Model, task: Task) -> Plan:
    from napari_ditto.engine.whole.planning import EMPTY_BELOW, make_plan

    return make_plan(
        order.setup.source,
        model,
        task,
        order.target,
        plane=order.address,
        planes=order.within,
        region=order.region,
        empty_below=EMPTY_BELOW if order.skip_empty else 0.0,
        join=order.join,
    )


def _guess(model: Model, plan: Plan) -> float:
    """Return seconds for a tile of the run, from the costs that the model's spec names."""
    from napari_ditto.core.tiling import Grid
    from napari_ditto.models.estimate import estimate

    parts = Grid((plan.window, plan.window), model.spec.input_size).count
    return estimate(model.spec, parts, parts * PROMPTS_PER_TILE).seconds


def _free(target: Path) -> int:
    """Return the bytes that are free where the target will be, 0 if nobody knows."""
    there = next((folder for folder in target.absolute().parents if folder.is_dir()), None)
    try:
        return shutil.disk_usage(there).free if there else 0
    except OSError:
        return 0
