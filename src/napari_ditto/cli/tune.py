"""Fit what a model keeps of examples to them, and keep it under a name.

The weights of the model stay as they are. What was held out in turn says whether it helped; if not,
the examples are kept as they are. 'like --tuned NAME' uses the result.

  napari-ditto tune --example old.png old-labels.tif --name my-nuclei
  napari-ditto tune --examples nuclei.ditto-examples --name my-nuclei --seconds 30 --model classic
  napari-ditto tune --list
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import given_examples, options
from napari_ditto.cli.console import Console, table
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    from napari_ditto.models.tuned import Tuned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_model(parser)
    given_examples.add_arguments(parser)
    parser.add_argument(
        "--classes",
        action="store_true",
        help="each id in the examples is a class of its own; default: objects of one kind",
    )
    parser.add_argument("--name", help="what to call the result")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long to optimise; default: 60"
    )
    parser.add_argument(
        "--steps", type=int, help="try so many steps in place of seconds; always the same result"
    )
    parser.add_argument("--list", action="store_true", help="list what was tuned, and do no more")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    if args.list:
        return _list(console)
    if not args.name:
        raise LabelsError("the result has no name", todo="Give --name")
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.tuning import tune_steps
    from napari_ditto.models.tuned import check_name, save_tuned

    model, cache = given_examples.load_model(args), EmbeddingCache()
    check_name(args.name, model.spec.key)  # before the minute, not after it
    examples = given_examples.read(args, model, cache, console)
    if not examples:
        raise LabelsError("no example is given", todo="Give --example or --examples")
    steps = tune_steps(
        examples,
        model,
        instances=not args.classes,
        seconds=args.seconds,
        steps=args.steps,
        cache=cache,
        name=args.name,
    )
    tuned = console.follow(steps)
    path = save_tuned(tuned)
    console.result({**describe(tuned), "file": path}, text(tuned, path))
    return 0


def describe(tuned: Tuned) -> dict[str, Any]:
    """Return what is known of a tuned prompt."""
    return {
        "name": tuned.name,
        "model": tuned.model,
        "classes": list(tuned.classes),
        "instances": tuned.instances,
        "examples": tuned.examples,
        "before": None if math.isnan(tuned.before) else round(tuned.before, 4),
        "after": None if math.isnan(tuned.after) else round(tuned.after, 4),
        "note": tuned.note,
    }


def text(tuned: Tuned, path: Path) -> str:
    """Return it for a person."""
    rows: list[tuple[str, object]] = [("name", tuned.name), ("examples", tuned.examples)]
    if not math.isnan(tuned.before):
        rows.append(("held-out Dice", f"{tuned.before:.3f} before, {tuned.after:.3f} after"))
    rows += [("note", tuned.note)] if tuned.note else []
    return table([*rows, ("written", path)])


def _list(console: Console) -> int:
    from napari_ditto.models.tuned import list_tuned

    found = list_tuned()
    console.result({"tuned": [describe(tuned) for tuned in found]}, _rows(found))
    return 0


def _rows(found: Sequence[Tuned]) -> str:
    if not found:
        return "nothing is tuned yet"
    rows = [
        (t.name, t.model.split("@")[0], f"{t.before:.3f}", f"{t.after:.3f}", t.examples, t.note)
        for t in found
    ]
    return table(rows, ("name", "model", "before", "after", "examples", "note"))
