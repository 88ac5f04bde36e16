"""How a run is begun or gone on with, the same from Python, the command line and the dock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.run_plan import Join, Kind, Plan, Polygon, Task
from napari_ditto.data.protocols import Source
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.run_folder import FOLDER, PLAN
from napari_ditto.engine.lessons import Lesson
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.opening import Model
from napari_ditto.engine.whole.planning import EMPTY_BELOW, make_plan
from napari_ditto.engine.whole.run import open_plan, run_steps
from napari_ditto.engine.whole.work import Executor, RunSummary, check_whole
from napari_ditto.errors import DittoError, LabelsError

if TYPE_CHECKING:
    import zarr


Teach = Callable[[], tuple[Task, Lesson | None]]
"""Returns a task, and what examples have taught for it."""


class RunOptions(TypedDict, total=False):
    """What may be said about a run that goes to ``out=``.

    Attributes
    ----------
    workers : int
        How many tiles are done at once: by default what cores and memory allow, with dask as many
        as there are.
    dask : str or distributed.Client
        ``"local:4"``, ``"tcp://host:8786"``, the path of a scheduler file, or a client.
    resume : bool
        Go on with the run at the target, if there is one.
    planes : mapping of str to (int, int)
        First and stop on axes that are not displayed; all of each by default.
    mask : path
        An image whose nonzero pixels are the region, at any resolution.
    join : "none", "z" or "t"
        Along which axis objects of single planes become one; z, else t, by default.
    tile, halo : int
        Side of a tile and how far it sees over its core, in pixels.
    keep_empty : bool
        Also look at tiles that show no contrast.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr; 0.5 by default.
    """

    workers: int
    dask: object
    resume: bool
    planes: Mapping[str, tuple[int, int]]
    mask: Path | str
    join: Join
    tile: int
    halo: int
    keep_empty: bool
    ngff: Literal["0.4", "0.5"]


def label_whole(
    source: Source,
    model: Model,
    out: Path | str,
    kind: Kind,
    teach: Teach,
    *,
    instances: bool = True,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    region: Box | None = None,
    options: RunOptions,
) -> zarr.Array[Any]:
    """Label an image of any size, out of core; see :func:`~.everything.segment_all`.

    Raises
    ------
    DittoError
        If it cannot be begun, or tiles have failed.
    """
    target = Path(out).expanduser().absolute()
    begun = unfinished(target, resume=options.get("resume", False))
    if begun is None:
        task, lesson = teach()
    else:
        same_kind(begun, kind, instances)
        task, lesson = begun.task if kind == "like" else teach()[0], None
    plan = plan_for(source, model, task, target, begun, plane, region, options)
    with closing(executor_for(options.get("workers"), options.get("dask"))) as executor:
        steps = run_steps(plan, source=source, model=model, lesson=lesson, executor=executor)
        return finished_labels(drain(steps))


def plan_for(
    source: Source,
    model: Model,
    task: Task,
    target: Path,
    begun: Plan | None,
    plane: PlaneAddress | Mapping[str, int] | None,
    region: Box | Sequence[Polygon] | None,
    options: RunOptions,
) -> Plan:
    """Return a plan, checked against the one that was begun.

    Raises
    ------
    SourceError, LabelsError
        If there is no such plan, or it is not the one that was begun.
    """
    plan = make_plan(
        source,
        model,
        task,
        target,
        plane=plane,
        planes=options.get("planes"),
        region=region,
        mask=options.get("mask"),
        window=options.get("tile"),
        halo=options.get("halo"),
        empty_below=0.0 if options.get("keep_empty") else EMPTY_BELOW,
        join=options.get("join"),
        ngff=options.get("ngff") or (begun.ngff if begun else "0.5"),
    )
    if begun is not None:
        same_settings(plan, begun)
    return plan


def executor_for(workers: int | None = None, dask: object = None) -> Executor:
    """Return who works: threads of this process, or dask workers.

    Parameters
    ----------
    workers : int, optional
        How many items are done at once; by default what cores and memory allow in this process,
        with dask as many as there are.
    dask : str or distributed.Client, optional
        See :func:`napari_ditto.data.cluster.connect`.

    Raises
    ------
    DittoError
        If there are no such workers.
    """
    if workers is not None and workers < 1:
        raise DittoError(f"{workers} workers do nothing", todo="Give 1 or more")
    if dask is None:
        return ThreadExecutor(workers)
    from napari_ditto.engine.whole.dask_executor import DaskExecutor

    return DaskExecutor.connect(dask, workers)


def has_run(target: Path) -> bool:
    """Whether there is a run at a target, finished or not."""
    return (target / FOLDER / PLAN).is_file()


def unfinished(target: Path, *, resume: bool) -> Plan | None:
    """Return the plan of the run to go on with, None if the target is new.

    Raises
    ------
    LabelsError
        If there is a run and it is not to be resumed, or something else.
    """
    if not target.exists():
        return None
    if not has_run(target):
        raise LabelsError(
            "there is something already that no run has made",
            where=str(target),
            todo="Choose another name",
        )
    if not resume:
        raise LabelsError(
            "there is a run already",
            where=str(target),
            todo="Say --resume (resume=True) to go on with it, or choose another name",
        )
    return open_plan(target)


def same_kind(begun: Plan, kind: Kind, instances: bool = True) -> None:
    """Raise LabelsError unless a run was begun by the same command, for objects or classes."""
    if (begun.task.kind, begun.task.instances) != (kind, instances):
        raise LabelsError(
            "there is a run of another kind", where=begun.target, todo="Choose another name"
        )


def same_settings(plan: Plan, begun: Plan) -> None:
    """Check that a run is gone on with by the settings it was begun with.

    Raises
    ------
    LabelsError
        Naming what differs.
    """
    if plan.digest != begun.digest:
        told, other = plan.to_json(), begun.to_json()
        differing = [
            _named(name, told[name], other[name])
            for name in told
            if name != "target" and told[name] != other[name]
        ]
        raise LabelsError(
            f"the run was begun with other settings: {', '.join(differing)}",
            where=begun.target,
            todo="Go on with 'napari-ditto run', or choose another name",
        )


def _named(name: str, value: object, other: object) -> str:
    return name if isinstance(value, (dict, list)) else f"{name} {other}, not {value}"


def finished_labels(summary: RunSummary) -> zarr.Array[Any]:
    """Return the labels of a run in the source's shape.

    Raises
    ------
    DittoError
        If tiles have failed: there are holes.
    """
    check_whole(summary, "tiles", "Say resume=True to try them again; the others are kept")
    return PyramidLabels.open(summary.target).levels[0]
