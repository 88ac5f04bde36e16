"""Whole images of any size from the command line: what `all`, `like` and `run` have in common."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import geojson, options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.core.geometry import Box
from napari_ditto.errors import JobCancelled, LabelsError, SourceError, StoreError

if TYPE_CHECKING:
    from napari_ditto.core.control import Control
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.core.run_plan import Kind, Plan, Task
    from napari_ditto.data.protocols import Source
    from napari_ditto.engine.lessons import Lesson
    from napari_ditto.engine.whole.opening import Model
    from napari_ditto.engine.whole.work import Executor, Failure, RunSummary

AT_ONCE = 1 << 26
"""Pixels of a plane that is done at once, in memory."""

HOLES = 3
"""Exit status of a run that is through, but in which tiles have failed."""

SHOWN = 10
"""Failed tiles that are listed for a person."""

DESCRIPTION = """\
Labels are written to a .zarr tile by tile, out of core, when an output is a new .zarr and the
image has several planes of which --plane names none, or the plane is larger than 64 Mpx, or any
option of this group is given. A run may be killed at any moment and gone on with (--resume).
Objects that touch the region are labelled whole. Exit status 3: some tiles have failed."""

OPTIONS = (
    *("workers", "dask", "resume", "planes", "join", "region_file", "mask", "tile", "halo"),
    *("keep_empty", "ngff", "plan_only"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a whole-image run."""
    group = parser.add_argument_group("whole images of any size", DESCRIPTION)
    options.add_executor(group)
    group.add_argument(
        "--resume", action="store_true", help="go on with the run at the output, if there is one"
    )
    group.add_argument(
        "--planes",
        type=options.planes,
        action="append",
        default=[],
        metavar="AXIS=FIRST,STOP",
        help="planes to label, the last one not included; once per axis",
    )
    group.add_argument(
        "--join",
        choices=("z", "t", "none"),
        help="axis along which objects of single planes become one; default: z, else t",
    )
    group.add_argument(
        "--region-file",
        type=geojson.polygons,
        metavar="FILE.geojson",
        help="polygons that are the region, x and y in pixels, as QuPath writes them",
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="image whose nonzero pixels are the region, at any resolution",
    )
    group.add_argument("--tile", type=options.positive, metavar="PIXELS", help="side of a tile")
    group.add_argument(
        "--halo", type=options.positive, metavar="PIXELS", help="how far a tile sees over its core"
    )
    group.add_argument(
        "--keep-empty", action="store_true", help="also look at tiles that show no contrast"
    )
    group.add_argument("--ngff", choices=("0.4", "0.5"), help="version of OME-Zarr; default: 0.5")
    group.add_argument(
        "--plan-only",
        type=Path,
        metavar="FILE.json",
        help="write the plan and an empty output; 'run' does the work",
    )


def is_wanted(args: argparse.Namespace, source: Source, address: PlaneAddress) -> bool:
    """Whether a run is wanted, by the rule of :data:`DESCRIPTION`.

    Raises
    ------
    LabelsError
        If one is asked for and no output is a .zarr.
    """
    if args.region and args.region_file:
        raise SourceError("--region and --region-file", todo="Give one of them")
    target = target_of(args)
    if any(getattr(args, name) for name in OPTIONS):
        if target is None:
            raise LabelsError("a whole image is written to a .zarr", todo="Give -o NAME.zarr")
        return True
    if target is None or (target.exists() and not _holds_run(target)):
        return False
    fixed = options.merged(args.plane)
    sizes = dict(zip(source.axes, source.shape, strict=True))
    several = any(sizes[name] > 1 and name not in fixed for name in address.index)
    whole = Box.of_shape(source.plane_shape(address))
    part = whole.intersect(args.region) if args.region else whole
    return (several and args.displayed is None) or part.area > AT_ONCE or _holds_run(target)


def begun_at(args: argparse.Namespace, kind: Kind, *, instances: bool = True) -> Plan | None:
    """Return the plan of the run to go on with, None if there is none.

    Raises
    ------
    LabelsError
        If there is something else, another kind of run, or one that is not to be resumed.
    """
    from napari_ditto.engine.whole.launch import same_kind, unfinished

    begun = unfinished(target_of(args) or Path(), resume=args.resume)
    if begun is not None:
        same_kind(begun, kind, instances)
    return begun


def target_of(args: argparse.Namespace) -> Path | None:
    """Return the folder of the run, None if no output is a .zarr."""
    zarrs = (path.absolute() for path in args.output if path.suffix.lower() == results.ZARR)
    return next(zarrs, None)


def make(
    args: argparse.Namespace, source: Source, model: Model, task: Task, begun: Plan | None
) -> Plan:
    """Return the plan that the options describe, checked against the one that was begun."""
    from napari_ditto.engine.whole.launch import RunOptions, plan_for

    fixed = options.merged(args.plane)
    said: RunOptions = {
        "planes": {name: (first, stop) for name, first, stop in args.planes},
        "mask": args.mask,
        "join": args.join,
        "tile": args.tile,
        "halo": args.halo,
        "keep_empty": args.keep_empty,
        "ngff": args.ngff,
    }
    plane = source.plane(fixed, args.displayed) if args.displayed else fixed
    region = args.region_file or args.region
    target = target_of(args) or Path()
    plan = plan_for(source, model, task, target, begun, plane, region, said)
    if len(plan.addresses) > 1 and any(_is_tiff(path) for path in args.output):
        raise LabelsError(
            "a .tif holds one plane", todo="Choose one with --plane, or write .zarr only"
        )
    return plan


def do(
    args: argparse.Namespace,
    console: Console,
    source: Source,
    model: Model,
    plan: Plan,
    lesson: Lesson | None = None,
) -> int:
    """Do a run, or write its plan; return the exit status."""
    if args.plan_only:
        return write_plan(args.plan_only, plan, lesson, console)
    summary = follow(plan, console, args.workers, args.dask, source, model, lesson)
    others = [path for path in args.output if path.absolute() != Path(plan.target)]
    if others:
        _write_others(others, source, plan, args.region)
    return tell(summary, plan, console, [str(summary.target), *map(str, others)])


def write_plan(path: Path, plan: Plan, lesson: Lesson | None, console: Console) -> int:
    """Write a plan, and the empty target that belongs to it."""
    from napari_ditto.engine.whole.run import create_run

    if not Path(plan.target).exists():
        create_run(plan, lesson)
    try:
        path.write_text(json.dumps(plan.to_json(), indent=2))
    except OSError as error:
        raise StoreError(
            f"the plan cannot be written: {error.strerror or error}", where=str(path)
        ) from error
    facts = {"plan": str(path), **plan_facts(plan)}
    rows = [("plan", path), ("tiles", plan.count), ("goes to", plan.target)]
    console.result(facts, f"{table(rows)}\nStart it with: napari-ditto run {path}")
    return 0


def follow(
    plan: Plan,
    console: Console,
    workers: int | None,
    dask: str | None,
    source: Source | None = None,
    model: Model | None = None,
    lesson: Lesson | None = None,
) -> RunSummary:
    """Do a run; Ctrl-C stops it cleanly."""
    from napari_ditto.core.control import Control
    from napari_ditto.engine.whole.run import run_steps

    control = Control()
    with closing(hire(workers, dask)) as executor:
        steps = run_steps(
            plan,
            source=source,
            model=model,
            lesson=lesson,
            executor=executor,
            control=control,
        )
        with stoppable(control, console, f"napari-ditto run {plan.target}"):
            return console.follow(steps)


def hire(workers: int | None, dask: str | None) -> Executor:
    """Return who works; processes that are started for it leave Ctrl-C to this one."""
    from napari_ditto.engine.whole.launch import executor_for

    if dask is None or not _may_say_what_signals_do():
        return executor_for(workers, dask)
    # A terminal sends Ctrl-C to all processes; what is ignored here is ignored by those to come.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return executor_for(workers, dask)
    finally:
        signal.signal(signal.SIGINT, before)


def _may_say_what_signals_do() -> bool:
    # Python lets nobody but the main thread do so.
    return threading.current_thread() is threading.main_thread()


@contextmanager
def stoppable(control: Control, console: Console, again: str) -> Iterator[None]:
    """Let Ctrl-C cancel cleanly once, and break off the second time.

    Raises
    ------
    JobCancelled
        Saying how to go on.
    """
    before: Any = None

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        console.note("\nstopping; what is under way is dropped, what is finished is kept")
        control.cancel()

    here = _may_say_what_signals_do()
    if here:
        before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except JobCancelled as error:
        raise JobCancelled(
            "stopped", todo=f"What is finished is kept; go on with: {again}"
        ) from error
    finally:
        if here:
            signal.signal(signal.SIGINT, before)


# --- what is told ------------------------------------------------------------------------------


def tell(summary: RunSummary, plan: Plan, console: Console, outputs: Sequence[str]) -> int:
    """Print what a run has come to; return the exit status."""
    facts = {**summary_facts(summary), **plan_facts(plan), "output": list(outputs)}
    rows = [
        ("objects" if plan.task.instances else "classes", summary.objects),
        ("tiles", f"{summary.tiles}, {summary.skipped} of them empty"),
        ("done", f"{summary.done} now, {summary.reused} before"),
        *([("failed", len(summary.failed))] if summary.failed else []),
        ("time", duration(summary.seconds)),
        *(("written", path) for path in outputs),
    ]
    console.result(facts, table(rows) + failures(summary.failed, str(summary.target)))
    return HOLES if summary.failed else 0


def summary_facts(summary: RunSummary) -> dict[str, Any]:
    """Return all that a program may want to know of what a run has done."""
    from napari_ditto.engine.whole.remote import versions

    return {**asdict(summary), "target": str(summary.target), "versions": dict(versions())}


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Return all that a program may want to know of what a run is to do."""
    return {
        "plan": {
            "digest": plan.digest,
            "kind": plan.task.kind,
            "instances": plan.task.instances,
            "tiles": plan.count,
            "shape": plan.shape,
            "axes": plan.axes,
            "planes": [list(span) for span in plan.planes],
            "tile": plan.window,
            "halo": plan.halo,
            "join": plan.join,
            "region": plan.region,
            "mask": plan.mask,
            "ngff": plan.ngff,
        },
        "made_by": {**plan.model.provenance, "image": plan.source.name},
    }


def failures(failed: Sequence[Failure], target: str) -> str:
    """Return the failed tiles for a person, nothing if there are none."""
    if not failed:
        return ""
    rows = [(f.number, f.place, f.reason) for f in failed[:SHOWN]]
    more = f"\n… and {len(failed) - SHOWN} more (--json lists all)" if len(failed) > SHOWN else ""
    hint = f"Try them again with: napari-ditto run {target}"
    return f"\n\n{table(rows, ('tile', 'where', 'why it failed'))}{more}\n{hint}"


def _write_others(outputs: Sequence[Path], source: Source, plan: Plan, region: Box | None) -> None:
    """Write a picture or a TIFF of the middle plane."""
    from napari_ditto.data.pyramid_labels import PyramidLabels

    address = plan.addresses[len(plan.addresses) // 2]
    whole = Box.of_shape(plan.plane_shape)
    store = PyramidLabels.open(Path(plan.target))
    made = {**plan.model.provenance, "image": plan.source.name, "plane": str(address)}
    result = results.Result(source, address, store, made)
    result.write(outputs, whole.intersect(region) if region else whole)


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _holds_run(path: Path) -> bool:
    from napari_ditto.engine.whole.launch import has_run

    return has_run(path)
