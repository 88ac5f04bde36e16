"""Measure models on labelled images, by simulated prompts and by examples.

The folder holds images/ and masks/ (same names); or name both by --images and --masks. Every model
and every baseline gets the same prompts. Tables, a CSV and pictures go to --out.

  napari-ditto evaluate my-cells --model classic
  napari-ditto evaluate --images raw --masks labels --semantic --class 2
  napari-ditto evaluate --data ../shared/data/eval --sets all
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.cli.console import Console, duration
from napari_ditto.errors import SourceError, StoreError

if TYPE_CHECKING:
    from napari_ditto.evaluation.prompted import Row
    from napari_ditto.evaluation.runs import Done, Settings
    from napari_ditto.evaluation.sets import EvalSet


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
    parser.add_argument(
        "--model", action="append", help="see 'models'; may be repeated; default: classic"
    )
    parser.add_argument(
        "--baselines", default="all", help="names with commas between, all or none; default: all"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--max-objects", type=positive, default=60, help="of a set; default: 60")
    parser.add_argument("--max-clicks", type=positive, default=20, help="on an object; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of objects and prompts; default: 0")
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
    from napari_ditto.evaluation.report import markdown, overview, write_csv

    folder = make_folder(args.out)
    names = methods(args, console)
    rows = measure_prompts(args, console, names)
    if not rows:
        raise SourceError("there is no object to measure", todo="Look at the masks")
    (folder / "report.md").write_text(markdown(rows, args.max_clicks), "utf-8")
    write_csv(folder / "objects.csv", rows)
    models = [name for name in names if any(r.model == name for r in rows)]
    text = f"{overview(rows, models)}\n\n{folder / 'report.md'} tells more"
    console.result({"rows": len(rows), "output": folder}, text)
    return 0


def measure_prompts(args: argparse.Namespace, console: Console, names: Sequence[str]) -> list[Row]:
    """Return the rows of all sets and models, set by set."""
    from napari_ditto.evaluation.runs import Job, prompts_job, run_jobs

    jobs = [Job(given, name, settings(args)) for given in sets(args) for name in names]
    found: dict[Job, Done] = {}
    for done in run_jobs(prompts_job, jobs, args.workers):
        found[done.job] = done
        console.note(line(done, len(found), len(jobs)))
    return [row for job in jobs for row in found[job].rows]


def line(done: Done, number: int, total: int) -> str:
    """Return what is said when a job has ended."""
    from napari_ditto.evaluation.summary import of_rows, pick

    means = [
        f"{prompt} {of_rows(rows).value:.2f},"
        for prompt in ("click", "box", "clicks_5")
        if (rows := pick(done.rows, prompt=prompt))
    ]
    head = f"[{number}/{total}] {done.job.given.name}, {done.job.model}:"
    return " ".join([head, *(means or ["no object,"]), duration(done.seconds)])


def settings(args: argparse.Namespace) -> Settings:
    """Return how much is to be measured."""
    from napari_ditto.evaluation.runs import Settings

    return Settings(
        objects=args.max_objects, clicks=args.max_clicks, seed=args.seed, device=args.device
    )


def sets(args: argparse.Namespace) -> list[EvalSet]:
    """Return the user's folder, or the named sets."""
    from napari_ditto.evaluation.sets import folder_set, prompt_sets

    if args.data is None:
        if args.folder is None and not (args.images and args.masks):
            raise SourceError(
                "which images?", todo="Give a folder with images/ and masks/, or --data"
            )
        how = {"semantic": args.semantic, "target": args.target, "ignore": args.ignore}
        return [folder_set(args.folder, args.images, args.masks, **how)]
    known = prompt_sets(args.data)
    names = list(known) if args.sets == "all" else args.sets.split(",")
    if unknown := [name for name in names if name not in known]:
        raise SourceError(f"no set is called {unknown[0]!r}", todo=f"There are {', '.join(known)}")
    return [known[name] for name in names]


def methods(args: argparse.Namespace, console: Console) -> list[str]:
    """Return models, then baselines; what cannot run here is left out with one line."""
    from napari_ditto.evaluation.baselines import BASELINES, load_baseline, missing

    wanted = {"all": list(BASELINES), "none": []}.get(args.baselines, args.baselines.split(","))
    for name in wanted:
        if reason := missing(name):
            console.note(reason)
        else:
            load_baseline(name)
    models = args.model or ["classic"]
    return list(dict.fromkeys([*models, *(name for name in wanted if not missing(name))]))


def make_folder(path: Path) -> Path:
    """Return the folder for results, made if need be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write there: {error.strerror}", where=str(path)) from error
    return path
