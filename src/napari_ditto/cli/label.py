"""Label every object of one plane.

The model proposes the prompts itself; each object gets one label.

  napari-ditto all coins.png -o coins.zarr -o coins-outlines.png
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.cli import options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import LabelDelta, LabelStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    results.add_output(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.everything import segment_all_steps
    from napari_ditto.models.registry import load_model

    source = options.open_image(args)
    address = options.address(source, args)
    model = load_model(args.model, args.device)
    start = time.perf_counter()
    steps = segment_all_steps(source, model, plane=address, cache=EmbeddingCache())
    labels = console.follow(steps).labels
    seconds = time.perf_counter() - start
    made = results.provenance(model.spec, source, address)
    store = results.open_labels(source, args.output, made)
    keep(store, address, labels)
    plane = Box.of_shape(source.plane_shape(address))
    results.Result(source, address, store, made).write(args.output, plane)
    facts = {"objects": len(np.unique(labels[labels > 0])), "seconds": seconds}
    console.result({**facts, "output": args.output, "made_by": made}, text(facts, args.output))
    return 0


def keep(store: LabelStore, address: PlaneAddress, labels: NDArray[np.integer]) -> None:
    """Add the labels of a plane to a store, with new ids, beside what is there."""
    box = Box.of_shape(labels.shape)
    first = store.next_label()
    new = np.where(labels > 0, labels + (first - 1), 0).astype(store.dtype)
    # Pixels that had a label differ from `old`, and are left alone.
    store.apply(LabelDelta(address, box, np.zeros_like(new), new, int(new.max())))


def text(facts: dict[str, Any], outputs: Sequence[Path]) -> str:
    """Return the facts for a person."""
    rows = [("objects", facts["objects"]), ("time", duration(facts["seconds"]))]
    return table([*rows, *(("written", path) for path in outputs)])
