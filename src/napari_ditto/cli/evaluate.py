"""Measure models on labelled images, by simulated prompts and by examples.

The folder holds images/ and masks/ (same names); or name both by --images and --masks. Every model
and every baseline gets the same prompts. Tables, a CSV and pictures go to --out.

  napari-ditto evaluate my-cells --model classic
  napari-ditto evaluate --images raw --masks labels --semantic --class 2
  napari-ditto evaluate --data ../shared/data/eval --sets all
  napari-ditto evaluate --data ../shared/data/train --only follow --sets fib25_neuroproof
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli.console import Console, duration
from napari_ditto.errors import ModelNotFoundError, SourceError, StoreError
from napari_ditto.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_ditto.evaluation.runs import Done, Settings
    from napari_ditto.models.protocols import PromptModel

TASKS = ("prompts", "everything", "like", "semantic", "follow", "track")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("folder", nargs="?", type=Path, help="holds images/ and masks/")
    parser.add_argument("--images", type=Path, help="folder of images")
    parser.add_argument("--masks", type=Path, help="folder of masks with the images' names")
    parser.add_argument(
        "--semantic", action="store_true", help="mask values are classes, not objects"
    )
    parser.add_argument("--class", dest="target", type=int, help="only this value of the masks")
    parser.add_argument("--ignore", type=int, help="mask value that is not scored")
    parser.add_argument("--data", type=Path, help="folder of this project's named sets")
    parser.add_argument("--sets", default="all", help="names with commas between; default: all")
    parser.add_argument("--only", choices=TASKS, action="append", help="may be repeated")
    parser.add_argument(
        "--model",
        action="append",
        help=f"see 'models'; may be repeated; default: {DEFAULT_MODEL}",
    )
    parser.add_argument(
        "--baselines", default="all", help="names with commas between, all or none; default: all"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--max-objects", type=positive, default=60, help="of a set; default: 60")
    parser.add_argument(
        "--max-images", type=positive, default=10, help="of a set, or of a draw; default: 10"
    )
    parser.add_argument("--max-clicks", type=positive, default=20, help="on an object; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    parser.add_argument(
        "--resume", action="store_true", help="keep what an earlier run into --out has measured"
    )
    parser.add_argument("--workers", type=positive, default=1, help="processes; default: 1")
    parser.add_argument(
        "--out", type=Path, default=Path("evaluation-output"), help="default: evaluation-output"
    )


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.evaluation.report import markdown
    from napari_ditto.evaluation.sheets import write_sheets

    folder = make_folder(args.out)
    chosen, models, baselines = sets(args), load_all(args), usable(args, console)
    found = {
        name: measure(name, args, console, chosen[name], [*models, *baselines])
        for name in args.only or TASKS
        if chosen[name]
    }
    if not any(found.values()):
        raise SourceError("there is nothing to measure", todo="Look at the masks")
    report = markdown(found, settings(args))
    (folder / "report.md").write_text(report, "utf-8")
    rows = found.get("prompts", [])
    pictures = write_sheets(folder, chosen["prompts"], list(models), rows, settings(args))
    facts = {name: len(rows) for name, rows in found.items()}
    console.result(
        {"rows": facts, "output": folder, "pictures": pictures},
        f"{report}\n{folder} has the CSVs and {len(pictures)} pictures",
    )
    return 0


def load_all(args: argparse.Namespace) -> dict[str, PromptModel]:
    """Return the models by name; one that cannot be had is refused before anything is measured."""
    from napari_ditto.evaluation.runs import load_method

    return {name: load_method(name, args.device) for name in args.model or [DEFAULT_MODEL]}


def measure(
    name: str,
    args: argparse.Namespace,
    console: Console,
    chosen: Sequence[Any],
    methods: Sequence[str],
) -> list[Any]:
    """Return the rows of one task, and write them as they come."""
    from napari_ditto.evaluation.kept import KeptJobs
    from napari_ditto.evaluation.plan import BASELINES
    from napari_ditto.evaluation.plan import TASKS as KNOWN
    from napari_ditto.evaluation.report import CsvFile
    from napari_ditto.evaluation.runs import Job, identity, run_jobs, takes_examples

    task = KNOWN[name]
    able = []
    for method in methods:
        if method in BASELINES:
            able += [method] if method in task.baselines else []
        elif task.examples and not takes_examples(method, args.device):
            console.note(f"{method} takes no examples and is left out of {name!r}")
        else:
            able.append(method)
    jobs: list[Job[Any]] = [
        Job(given, method, settings(args)) for given in chosen for method in able
    ]
    kept = KeptJobs(args.out / "jobs", task, partial(identity, device=args.device))
    before = (kept.get(job) for job in jobs) if args.resume else ()
    found: dict[Job[Any], Done[Any]] = {done.job: done for done in before if done}
    with CsvFile(args.out / task.file, task.row) as file:
        for done in found.values():
            file.write(done.rows)
        for done in run_jobs(task.work, [job for job in jobs if job not in found], args.workers):
            found[done.job] = done
            kept.put(done)
            file.write(done.rows)
            console.note(f"[{len(found)}/{len(jobs)}] {name}, {told(done)}")
    return [row for job in jobs for row in found[job].rows]


def told(done: Done[Any]) -> str:
    """Return what is said when a job has ended."""
    from napari_ditto.evaluation.report import brief

    return f"{done.job.given.name}, {done.job.model}: {brief(done.rows)}, {duration(done.seconds)}"


def settings(args: argparse.Namespace) -> Settings:
    """Return how much is to be measured."""
    from napari_ditto.evaluation.runs import Settings

    return Settings(args.max_objects, args.max_images, args.max_clicks, args.seed, args.device)


def sets(args: argparse.Namespace) -> dict[str, list[Any]]:
    """Return the sets of each task: the user's folder, or the named ones."""
    from napari_ditto.evaluation.plan import named_sets, own_sets
    from napari_ditto.evaluation.sets import folder_set

    if args.data is not None:
        return named_sets(args.data, () if args.sets == "all" else args.sets.split(","))
    if args.folder is None and not (args.images and args.masks):
        raise SourceError("which images?", todo="Give a folder with images/ and masks/, or --data")
    how = {"semantic": args.semantic, "target": args.target, "ignore": args.ignore}
    return own_sets(folder_set(args.folder, args.images, args.masks, **how))


def usable(args: argparse.Namespace, console: Console) -> list[str]:
    """Return the baselines that can run here; the others are left out with one line."""
    from napari_ditto.evaluation.plan import BASELINES, missing

    wanted = {"all": list(BASELINES), "none": []}.get(args.baselines, args.baselines.split(","))
    for name in wanted:
        if name not in BASELINES:
            raise ModelNotFoundError(
                f"no baseline is called {name!r}", todo=f"There are {', '.join(BASELINES)}"
            )
        if reason := missing(name):
            console.note(reason)
    return [name for name in wanted if not missing(name)]


def make_folder(path: Path) -> Path:
    """Return the folder for results, made if need be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write there: {error.strerror}", where=str(path)) from error
    return path
