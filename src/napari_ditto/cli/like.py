"""Find more of what examples show, in a plane or a whole image of any size.

An example is an image and labels of it, all ids or chosen ones. Several may be given, and sets of
examples that the dock has saved.

  napari-ditto like new.png --example old.png old-labels.tif -o found.zarr -o outlines.png
  napari-ditto like coins.png --example coins.png one.tif --partial --threshold .5 -o coins.tif
  napari-ditto like stack.tif --plane z=3 --examples nuclei.ditto-examples --json
  napari-ditto like slide.zarr --examples nuclei.ditto-examples -o nuclei.zarr --dask local:4
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ditto.cli import given_examples, options, results, whole
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.data.protocols import LabelDelta
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.core.run_plan import Plan
    from napari_ditto.data.protocols import EmbeddingStore, LabelStore, Source
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.engine.recalling import ContextResult
    from napari_ditto.models.protocols import ContextModel, Memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    options.add_region(parser)
    given_examples.add_arguments(parser)
    parser.add_argument("--save-examples", type=Path, metavar="FILE", help="save all examples")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--instances",
        action="store_true",
        help="all labels are objects of one kind, and each object found gets an id (default)",
    )
    kinds.add_argument(
        "--classes", action="store_true", help="each id in the examples is a class of its own"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="least confidence of an object, least probability of a class; 0 to 1, default: 0",
    )
    parser.add_argument("--tuned", metavar="NAME", help="what 'tune' has made of examples")
    results.add_output(parser)
    whole.add_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.context import segment_like_steps

    source = options.open_image(args)
    address = options.address(source, args)
    if whole.is_wanted(args, source, address):
        return like_whole(args, console, source, address)
    model, cache = given_examples.load_model(args), EmbeddingCache()
    examples = read_examples(args, model, cache, console)
    memory = _tuned(args.tuned, model, instances=not args.classes)
    start = time.perf_counter()
    steps = segment_like_steps(
        source,
        examples,
        model,
        address,
        instances=not args.classes,
        region=args.region,
        memory=memory,
        cache=cache,
    )
    found = console.follow(steps)
    seconds = time.perf_counter() - start
    if args.threshold > 0:
        labels, scores = found.above(args.threshold)
        found = replace(found, labels=labels, scores=scores)
    made = results.provenance(model.spec, source, address)
    made |= {"examples": [e.name for e in examples], "tuned": args.tuned}
    _write(args.output, source, address, found, made)
    facts = describe(found, len(examples), seconds)
    console.result({**facts, "output": args.output, "made_by": made}, text(facts, args.output))
    return 0


def like_whole(
    args: argparse.Namespace, console: Console, source: Source, address: PlaneAddress
) -> int:
    """Find what examples show in an image of any size, tile by tile.

    What the examples teach is kept in the output: a run that goes on does not look at them again.
    """
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.lessons import learn_steps
    from napari_ditto.engine.whole.segmenter import like_task

    begun = whole.begun_at(args, "like", instances=not args.classes)
    model, cache = given_examples.load_model(args), EmbeddingCache()
    if begun is not None:
        same_threshold(args, begun)
        plan = whole.make(args, source, model, begun.task, begun)
        return whole.do(args, console, source, model, plan)
    examples = read_examples(args, model, cache, console)
    instances = not args.classes
    steps = learn_steps(
        source,
        examples,
        model,
        address,
        instances=instances,
        region=args.region,
        memory=_tuned(args.tuned, model, instances=instances),
        cache=cache,
    )
    lesson = console.follow(steps)
    plan = whole.make(args, source, model, like_task(lesson, args.threshold), None)
    return whole.do(args, console, source, model, plan, lesson)


def same_threshold(args: argparse.Namespace, begun: Plan) -> None:
    """Raise LabelsError unless a run is gone on with by the threshold it was begun with."""
    told = begun.task.settings["threshold"]
    if told != args.threshold:
        raise LabelsError(
            f"the run was begun with --threshold {told:g}",
            where=begun.target,
            todo="Give the same, or choose another name",
        )


def describe(found: ContextResult, examples: int, seconds: float) -> dict[str, Any]:
    """Return what was found."""
    ids = range(1, len(found.scores) + 1) if found.instances else found.classes
    areas = np.bincount(found.labels.ravel(), minlength=max(ids, default=0) + 1)
    return {
        "examples": examples,
        "instances": found.instances,
        "found": [
            {"label": i, "score": round(float(s), 4), "area": int(areas[i])}
            for i, s in zip(ids, found.scores, strict=True)
        ],
        "seconds": seconds,
    }


def text(facts: dict[str, Any], outputs: Sequence[Path]) -> str:
    """Return the facts for a person."""
    found = facts["found"]
    rows: list[tuple[str, object]] = [("examples", facts["examples"])]
    if facts["instances"]:
        rows.append(("objects", len(found)))
    else:
        rows += [(f"class {f['label']}", f"{f['area']} pixels") for f in found]
    rows.append(("time", duration(facts["seconds"])))
    return table([*rows, *(("written", path) for path in outputs)])


# --- what is given -----------------------------------------------------------------------------


def read_examples(
    args: argparse.Namespace, model: ContextModel, cache: EmbeddingStore, console: Console
) -> list[PlaneExample]:
    """Return the examples, saved if that is wished; there must be one, or tuned prompts."""
    examples = given_examples.read(args, model, cache, console)
    if not examples and args.tuned is None:
        raise LabelsError("no example is given", todo="Give --example, --examples or --tuned")
    if args.save_examples:
        from napari_ditto.data.example_file import save_examples

        save_examples(args.save_examples, examples, model.spec.key)
    return examples


def _tuned(name: str | None, model: ContextModel, *, instances: bool) -> Memory | None:
    if name is None:
        return None
    from napari_ditto.models.tuned import load_tuned

    return load_tuned(name, model.spec.key).memory_for(instances=instances)


# --- what is written ---------------------------------------------------------------------------


def _write(
    outputs: Sequence[Path],
    source: Source,
    address: PlaneAddress,
    found: ContextResult,
    made: dict[str, object],
) -> None:
    store = results.open_labels(source, outputs, made)
    _add(store, address, found)
    results.Result(source, address, store, made).write(outputs, found.box)


def _add(store: LabelStore, address: PlaneAddress, found: ContextResult) -> None:
    """Add what was found beside what is there: objects with new ids, classes with their own."""
    first = store.next_label() if found.instances else 1
    new = np.where(found.labels > 0, found.labels + (first - 1), 0).astype(store.dtype)
    # Pixels that had a label differ from `old`, and are left alone.
    store.apply(LabelDelta(address, found.box, np.zeros_like(new), new, int(new.max(initial=0))))
