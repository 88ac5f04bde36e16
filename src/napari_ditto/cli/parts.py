"""A propagation through large planes, part by part: done, gone on with, told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import whole
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.cli.review import listed, told, write_review

if TYPE_CHECKING:
    from napari_ditto.data.protocols import Source
    from napari_ditto.engine.whole.columns_plan import ColumnPlan
    from napari_ditto.engine.whole.opening import Model


def do(
    plan: ColumnPlan,
    console: Console,
    workers: int | None = None,
    dask: str | None = None,
    review: Path | None = None,
    source: Source | None = None,
    model: Model | None = None,
) -> int:
    """Do all of a plan that is not done yet; return the exit status."""
    from napari_ditto.core.control import Control
    from napari_ditto.engine.whole.columns_run import run_columns_steps
    from napari_ditto.engine.whole.opening import open_model, open_source

    control = Control()
    source, model = source or open_source(plan.source), model or open_model(plan.model)
    with closing(whole.hire(workers, dask)) as executor:
        steps = run_columns_steps(plan, source, model, executor=executor, control=control)
        with whole.stoppable(control, console, f"napari-ditto run {plan.target}"):
            result = console.follow(steps)
    found, summary = result.found, result.summary
    if review:
        write_review(review, found)
    facts: dict[str, Any] = {
        **whole.summary_facts(summary),
        **plan_facts(plan),
        "examples": len(plan.anchors),
        "doubts": len(found.review),
        "model": dict(plan.model.provenance),
        "output": plan.target,
        "review": told(found),
    }
    rows = [
        ("planes", facts["planes"]),
        ("objects", summary.objects),
        ("parts", f"{summary.tiles}: {summary.done} done now, {summary.reused} before"),
        *([("failed", len(summary.failed))] if summary.failed else []),
        ("time", duration(summary.seconds)),
        ("written", plan.target),
        ("doubts", facts["doubts"]),
    ]
    more = listed(found) + whole.failures(summary.failed, plan.target)
    console.result(facts, table(rows) + more)
    return whole.HOLES if summary.failed else 0


def status(plan: ColumnPlan, console: Console) -> int:
    """Say how far it is."""
    from napari_ditto.data.column_folder import ColumnFolder
    from napari_ditto.data.pyramid_labels import PyramidLabels

    folder, target = ColumnFolder(Path(plan.target)), plan.target
    done = sum(folder.finished(key) is not None for key in plan.keys)
    count = len(plan.columns)
    recorded = PyramidLabels.open(Path(target)).run_state
    state = recorded if recorded in ("finished", "incomplete") else "unfinished"
    facts = {"target": target, "state": state, "tiles": count, "done": done, "left": count - done}
    rows = [("state", state), ("parts", count), ("done", done), ("left", count - done)]
    console.result({**facts, **plan_facts(plan)}, table(rows))
    return 0


def plan_facts(plan: ColumnPlan) -> dict[str, Any]:
    """Return what a program may want to know of what is to be done."""
    return {
        "planes": len(plan.indices),
        "plan": {
            "digest": plan.digest,
            "kind": "propagate",
            "axes": plan.axes,
            "within": plan.within,
            "anchors": plan.anchors,
            "parts": len(plan.columns),
        },
        "made_by": {**plan.model.provenance, "image": plan.source.name},
    }
