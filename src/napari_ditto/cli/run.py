"""Do or go on with a whole-image run that was planned or begun.

A run is begun by 'all', 'like' or 'propagate', by the dock, or from Python. Everything that is
known about it lies in its output, so it can be gone on with after a crash, on another machine that
sees the same files, and with other workers.

  napari-ditto all slide.zarr -o cells.zarr --plan-only cells.json
  napari-ditto run cells.json --workers 2
  napari-ditto run cells.zarr --dask scheduler.json
  napari-ditto run cells.zarr --status --json
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import options, parts, whole
from napari_ditto.cli.console import Console, table
from napari_ditto.core.plain_file import read_plain
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    from napari_ditto.core.run_plan import Plan
    from napari_ditto.engine.whole.columns_plan import ColumnPlan

MOST_PLAN = 64 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("plan", type=Path, help="a plan (.json), or the output of a run (.zarr)")
    options.add_executor(parser)
    parser.add_argument(
        "--status", action="store_true", help="say how far it is; nothing is done or loaded"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    path = args.plan.expanduser().absolute()
    walked = propagation_at(path)
    if walked is not None:
        if args.status:
            return parts.status(walked, console)
        return parts.do(walked, console, args.workers, args.dask)
    plan = read_plan(path)
    if args.status:
        return status(plan, console)
    summary = whole.follow(plan, console, args.workers, args.dask)
    return whole.tell(summary, plan, console, [plan.target])


def propagation_at(path: Path) -> ColumnPlan | None:
    """Return the plan of a propagation through large planes, if there is one in a folder."""
    from napari_ditto.data.column_folder import ColumnFolder
    from napari_ditto.engine.whole.columns_plan import ColumnPlan

    told = ColumnFolder(path).read_plan() if path.is_dir() else None
    return None if told is None else replace(ColumnPlan.from_json(told), target=str(path))


def read_plan(path: Path) -> Plan:
    """Return the plan in a file, or of the run in a folder.

    Raises
    ------
    LabelsError, StoreError
        If there is none.
    """
    from napari_ditto.core.run_plan import Plan
    from napari_ditto.engine.whole.run import open_plan

    if path.is_dir():
        # A folder that was moved is still the same run.
        return replace(open_plan(path), target=str(path))
    if not path.exists():
        raise LabelsError("there is no plan and no run", where=str(path), todo="Check the path")
    try:
        told = json.loads(read_plain(path, MOST_PLAN))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"the plan cannot be read: {error}", where=str(path)) from error
    return Plan.from_json(told if isinstance(told, dict) else {})


def status(plan: Plan, console: Console) -> int:
    """Say how far a run is."""
    from napari_ditto.engine.whole.launch import has_run
    from napari_ditto.engine.whole.run import run_status

    target = Path(plan.target)
    found = run_status(target) if has_run(target) else None
    done, failed = (found.done, found.failed) if found else (0, ())
    state = _state(found.state, done, plan.count) if found else "not begun"
    facts: dict[str, Any] = {
        "target": plan.target,
        "state": state,
        "tiles": plan.count,
        "done": done,
        "left": plan.count - done,
        "failed": [asdict(f) for f in failed],
        "edited": bool(found and found.edited),
        **whole.plan_facts(plan),
    }
    rows = [("state", state), ("tiles", plan.count), ("done", done), ("left", plan.count - done)]
    rows += [("failed", len(failed))] if failed else []
    console.result(facts, table(rows) + whole.failures(failed, plan.target))
    return 0


def _state(recorded: str, done: int, count: int) -> str:
    """Return the state for people: a run that was stopped says "running" on disk."""
    if recorded == "finished" and done == count:
        return "finished"
    return "incomplete" if recorded == "incomplete" else "unfinished"
