"""Label every object of a plane, or of a whole image of any size.

The model proposes the prompts itself; each object gets one label.

  napari-ditto all coins.png -o coins.zarr -o coins-outlines.png
  napari-ditto all slide.zarr -o cells.zarr --workers 2 --resume
  napari-ditto all coins.png -o coins.zarr --model sam3:/data/sam3 --text "round coin"
  napari-ditto all stack.tif -o cells.zarr --planes z=3,20 --join z --json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ditto.cli import options, results, whole
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.data.protocols import LabelDelta

if TYPE_CHECKING:
    from napari_ditto.data.protocols import LabelStore, Source
    from napari_ditto.engine.candidates import Settings
    from napari_ditto.engine.everything import EverythingResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    parser.add_argument(
        "--text", default="", help="what to look for, for a model that reads words (sam3)"
    )
    options.add_region(parser)
    results.add_output(parser)
    whole.add_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.core.routing import check_text
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.candidates import Settings
    from napari_ditto.engine.everything import segment_all_steps
    from napari_ditto.models.registry import load_model

    settings = Settings(text=check_text(args.text))
    source = options.open_image(args)
    address = options.address(source, args)
    if whole.is_wanted(args, source, address):
        return label_whole(args, console, source, settings)
    model = load_model(args.model, args.device, args.precision)
    start = time.perf_counter()
    found = console.follow(
        segment_all_steps(
            source, model, address, region=args.region, cache=EmbeddingCache(), settings=settings
        )
    )
    seconds = time.perf_counter() - start
    made = results.provenance(model.spec, source, address)
    if settings.text:
        made |= {"text": settings.text}
    store = results.open_labels(source, args.output, made)
    add(store, found)
    results.Result(source, address, store, made).write(args.output, found.box)
    facts = {"objects": len(found.scores), "seconds": seconds}
    console.result({**facts, "output": args.output, "made_by": made}, text(facts, args.output))
    return 0


def label_whole(
    args: argparse.Namespace, console: Console, source: Source, settings: Settings
) -> int:
    """Label an image of any size, tile by tile."""
    from napari_ditto.engine.whole.segmenter import all_task
    from napari_ditto.models.registry import load_model

    begun = whole.begun_at(args, "all")
    model = load_model(args.model, args.device, args.precision)
    plan = whole.make(args, source, model, all_task(settings), begun)
    return whole.do(args, console, source, model, plan)


def add(store: LabelStore, found: EverythingResult) -> None:
    """Add the labels that were found to a store, with new ids, beside what is there."""
    first = store.next_label()
    new = np.where(found.labels > 0, found.labels + (first - 1), 0).astype(store.dtype)
    # Pixels that had a label differ from `old`, and are left alone.
    old = np.zeros_like(new)
    store.apply(LabelDelta(found.address, found.box, old, new, int(new.max(initial=0))))


def text(facts: dict[str, Any], outputs: Sequence[Path]) -> str:
    """Return the facts for a person."""
    rows = [("objects", facts["objects"]), ("time", duration(facts["seconds"]))]
    return table([*rows, *(("written", path) for path in outputs)])
