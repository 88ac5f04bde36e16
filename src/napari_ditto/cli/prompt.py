"""Label one object by clicks and a box.

napari-ditto prompt coins.png --point 60,150 -o coin.tif
napari-ditto prompt stack.zarr --plane z=3 --box 10,20,90,120 --point 30,40,- -o out.zarr
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.errors import PromptError

if TYPE_CHECKING:
    from napari_ditto.core.proposals import Proposals

MARGIN = 64
"""Pixels shown round the object in a picture."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    parser.add_argument(
        "--point",
        type=options.point,
        action="append",
        default=[],
        metavar="Y,X[,+|-]",
        help="a click on the object (+) or beside it (-), row and column in pixels; repeatable",
    )
    parser.add_argument(
        "--box", type=options.box, metavar="Y0,X0,Y1,X1", help="a rectangle round the object"
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE.geojson",
        help="points and one box, in pixels or on the earth; see docs/howto/export.md",
    )
    parser.add_argument(
        "--diameter", type=float, help="about how large the object is, in pixels; ditto reads it"
    )
    parser.add_argument(
        "--choice", type=int, help="which proposal to take, from 0; default: the best"
    )
    results.add_output(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.annotator import Annotator
    from napari_ditto.models.registry import load_model

    source = options.open_image(args)
    address = options.address(source, args)
    model = load_model(args.model, args.device, args.precision)
    points, box = given(args)
    prompts = PromptSet(points=points, box=box, diameter=args.diameter)
    cache = EmbeddingCache()
    start = time.perf_counter()
    proposals = console.follow(
        Annotator(source, model, cache=cache).predict_steps(prompts, address)
    )
    seconds = time.perf_counter() - start
    made = results.provenance(model.spec, source, address) | {"prompts": prompts.digest()}
    # Only now, so that a prompt that is refused leaves no empty labels behind.
    store = results.open_labels(source, args.output, made)
    label = Annotator(source, model, labels=store, cache=cache).accept(proposals, args.choice)
    region = proposals.box.grow(MARGIN).intersect(Box.of_shape(source.plane_shape(address)))
    results.Result(source, address, store, made).write(args.output, region, [prompts])
    facts = describe(proposals, args.choice) | {"label": label, "seconds": seconds}
    console.result({**facts, "output": args.output, "made_by": made}, text(facts, args.output))
    return 0


def given(args: argparse.Namespace) -> tuple[tuple[PointPrompt, ...], BoxPrompt | None]:
    """Return the prompts of the command line and of a file."""
    if args.prompts is None:
        return tuple(args.point), args.box
    from napari_ditto.data.georeference import read_georeference
    from napari_ditto.data.importing.prompts import read_prompts

    found = read_prompts(args.prompts, read_georeference(args.path))
    boxes = [p for p in found if isinstance(p, BoxPrompt)]
    if len(boxes) + (args.box is not None) > 1:
        raise PromptError(
            f"{len(boxes)} boxes for one object", where=str(args.prompts), todo="Give one of them"
        )
    points = (p for p in found if isinstance(p, PointPrompt))
    return (*args.point, *points), (args.box or next(iter(boxes), None))


def describe(proposals: Proposals, choice: int | None) -> dict[str, Any]:
    """Return what was found."""
    taken = proposals.best if choice is None else choice
    box = proposals.box
    return {
        "choice": taken,
        "scores": [round(float(s), 4) for s in proposals.scores],
        "areas": [int(mask.sum()) for mask in proposals.masks],
        "box": (box.y0, box.x0, box.y1, box.x1),
        "level": proposals.level,
    }


def text(facts: dict[str, Any], outputs: Sequence[Path]) -> str:
    """Return the facts for a person."""
    taken = facts["choice"]
    rows = [
        ("label", facts["label"]),
        ("area", f"{facts['areas'][taken]} pixels"),
        ("score", f"{facts['scores'][taken]:.2f}, proposal {taken} of {len(facts['scores'])}"),
        ("time", duration(facts["seconds"])),
        *(("written", path) for path in outputs),
    ]
    return table(rows)
