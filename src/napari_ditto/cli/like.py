"""Find more of what examples show.

An example is an image and labels of it, all ids or chosen ones. Several may be given, and sets of
examples that the dock has saved.

  napari-ditto like new.png --example old.png old-labels.tif -o found.zarr -o outlines.png
  napari-ditto like coins.png --example coins.png one.tif --partial --threshold .5 -o coins.tif
  napari-ditto like stack.tif --plane z=3 --examples nuclei.ditto-examples --json
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.cli import options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.data.protocols import LabelDelta
from napari_ditto.errors import LabelsError, ModelError

if TYPE_CHECKING:
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.data.protocols import EmbeddingStore, LabelStore, Source
    from napari_ditto.engine.context import ContextResult
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.models.protocols import ContextModel

CHOSEN = re.compile(r"(?P<path>.+):(?P<ids>\d+(,\d+)*)$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    options.add_region(parser)
    _add_examples(parser)
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


def _add_examples(parser: argparse.ArgumentParser) -> None:
    files = {"nargs": 2, "action": "append", "default": [], "metavar": ("IMAGE", "LABELS[:IDS]")}
    parser.add_argument(
        "--example",
        help="an image and its labels, all ids or e.g. :3,5; repeatable",
        **files,  # type: ignore[arg-type]
    )
    parser.add_argument(
        "--negative",
        help="an image and labels of what is not meant; repeatable",
        **files,  # type: ignore[arg-type]
    )
    parser.add_argument(
        "--example-plane",
        type=options.indices,
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="the plane of the example; none, or one for each --example in their order",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="not every object is labelled in the examples: learn only near the labelled ones",
    )
    parser.add_argument(
        "--sharpen",
        action="store_true",
        help="the labels are rough (strokes, boxes, polygons): outline them first",
    )
    parser.add_argument(
        "--examples", action="append", default=[], metavar="FILE", help="a saved set of examples"
    )
    parser.add_argument("--save-examples", type=Path, metavar="FILE", help="save all examples")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.context import segment_like_steps

    source = options.open_image(args)
    address = options.address(source, args)
    model, cache = _load_model(args), EmbeddingCache()
    examples = _examples(args, model, cache, console)
    memory = _tuned(args.tuned, model)
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
    if args.save_examples:
        from napari_ditto.data.example_file import save_examples

        save_examples(args.save_examples, examples, model.spec.key)
    if args.threshold > 0:
        labels, scores = found.above(args.threshold)
        found = replace(found, labels=labels, scores=scores)
    made = results.provenance(model.spec, source, address)
    made |= {"examples": [e.name for e in examples], "tuned": args.tuned}
    _write(args.output, source, address, found, made)
    facts = describe(found, len(examples), seconds)
    console.result({**facts, "output": args.output, "made_by": made}, text(facts, args.output))
    return 0


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


def _load_model(args: argparse.Namespace) -> ContextModel:
    from napari_ditto.models.protocols import ContextModel
    from napari_ditto.models.registry import load_model

    model = load_model(args.model, args.device)
    if not isinstance(model, ContextModel):
        raise ModelError(f"{args.model} does not learn from examples", todo="Use --model ditto")
    return model


def _tuned(name: str | None, model: ContextModel) -> Any:  # noqa: ANN401
    if name is None:
        return None
    from napari_ditto.models.tuned import load_tuned

    return load_tuned(name, model.spec.key).memory


def _examples(
    args: argparse.Namespace, model: ContextModel, cache: EmbeddingStore, console: Console
) -> list[PlaneExample]:
    """Return all examples, sharpened if wished."""
    from napari_ditto.data.example_file import load_examples
    from napari_ditto.engine.examples import sharpen_steps

    planes = args.example_plane or [{}] * len(args.example)
    if len(planes) != len(args.example):
        raise LabelsError(
            f"{len(planes)} --example-plane for {len(args.example)} --example",
            todo="Give one for each, or none",
        )
    found = [
        replace(_read_example(image, labels, index), partial=args.partial)
        for (image, labels), index in zip(args.example, planes, strict=True)
    ]
    found += [replace(_read_example(i, labels, {}), negative=True) for i, labels in args.negative]
    if args.sharpen:
        found = [console.follow(sharpen_steps(example, model, cache)) for example in found]
    found += [example for path in args.examples for example in load_examples(path).examples]
    if not found and args.tuned is None:
        raise LabelsError("no example is given", todo="Give --example, --examples or --tuned")
    return found


def _read_example(image: str, labels: str, index: dict[str, int]) -> PlaneExample:
    from napari_ditto.data.source import open_source
    from napari_ditto.engine.examples import PlaneExample

    chosen = None if Path(labels).exists() else CHOSEN.match(labels)
    path = Path(chosen["path"] if chosen else labels).expanduser()
    ids = tuple(int(i) for i in chosen["ids"].split(",")) if chosen else None
    source = open_source(image)
    address = source.plane(index)
    shown = _read_labels(path, source, address)
    return PlaneExample(source, address, shown, name=Path(image).name, ids=ids)


def _read_labels(path: Path, source: Source, address: PlaneAddress) -> NDArray[Any]:
    """Return labels of a plane from a file of that plane, or of the whole image."""
    from napari_ditto.data.label_planes import read_label_plane, read_label_planes
    from napari_ditto.data.source import open_source

    if not path.exists():
        raise LabelsError("there are no such labels", where=str(path))
    if len(source.axes) == 2 or len(open_source(path).shape) == 2:
        return read_label_plane(path)
    found = dict(read_label_planes(path, source.axes, source.shape, [address]))
    if address not in found:
        raise LabelsError(f"there is no label in the {address}", where=str(path))
    return found[address]


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
