"""How a run is begun or gone on with, the same from Python, the command line and the dock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.core.run_plan import Plan
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.run_folder import FOLDER, PLAN
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.engine.whole.run import open_plan
from napari_ditto.engine.whole.work import Executor, RunSummary
from napari_ditto.errors import DittoError, LabelsError

if TYPE_CHECKING:
    import zarr


def executor_for(workers: int | None = None, dask: object = None) -> Executor:
    """Return who works: threads of this process, or dask workers.

    Parameters
    ----------
    workers : int, optional
        How many items are done at once; 1 in this process, all that there are with dask.
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
        return ThreadExecutor(workers or 1)
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


def same_settings(plan: Plan, begun: Plan) -> None:
    """Check that a run is gone on with by the settings it was begun with.

    Raises
    ------
    LabelsError
        Naming what differs.
    """
    told, other = plan.to_json(), begun.to_json()
    differing = [
        _named(name, told[name], other[name])
        for name in told
        if name not in ("target", "version") and told[name] != other[name]
    ]
    if plan.digest != begun.digest:
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
    if summary.failed:
        first = summary.failed[0]
        raise DittoError(
            f"{len(summary.failed)} of {summary.tiles} tiles failed, the first at {first.place}: "
            f"{first.reason}",
            where=str(summary.target),
            todo="Say resume=True to try them again; the others are kept",
        )
    return PyramidLabels.open(summary.target).levels[0]
