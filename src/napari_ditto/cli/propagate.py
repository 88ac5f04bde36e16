"""Carry labels from a few planes through a stack or a movie.

The planes that are given stay as they are. Doubtful planes are listed, the worst first. If the
output exists, the run goes on where it stopped: give a corrected plane as one more example and
only what depends on it is done again.

  napari-ditto propagate stack.tif --examples middle.tif --at z=12 -o cells.zarr
  napari-ditto propagate stack.zarr --labels sparse.zarr --axis z -o cells.zarr --review look.csv
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_ditto.cli import options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, Gate, PlaneDone
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    from napari_ditto.data.protocols import Source
    from napari_ditto.engine.propagate import PropagationResult

SHOWN = 10
"""Doubts that are listed on the screen."""

Within = dict[str, tuple[int, int]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    parser.add_argument(
        "--examples",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="labels of one plane; repeatable, with one --at for each",
    )
    parser.add_argument(
        "--at",
        type=options.indices,
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="which plane the labels are of, e.g. z=12 or t=0,z=12",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="labels of the image's shape, most planes empty"
    )
    parser.add_argument(
        "--axis", action="append", help="where the labels go; repeatable; default: as in --at, or z"
    )
    parser.add_argument(
        "--within",
        type=options.span,
        action="append",
        default=[],
        metavar="[AXIS=]FIRST,STOP",
        help="planes to label, the last one not included; once per axis",
    )
    parser.add_argument("--classes", action="store_true", help="ids are kinds, not objects")
    _add_gate(parser)
    parser.add_argument(
        "-o", "--output", type=output, required=True, metavar="FILE.zarr", help="OME-Zarr labels"
    )
    parser.add_argument("--review", type=Path, metavar="FILE.csv", help="write all doubts there")


def _add_gate(parser: argparse.ArgumentParser) -> None:
    usual = Gate()
    for name, value, text in (
        ("score", usual.min_score, "least score"),
        ("overlap", usual.min_overlap, "least overlap with where the object was, moved along"),
        ("similarity", usual.min_similarity, "least similarity to the examples"),
        ("growth", usual.max_growth, "greatest ratio of the area to that of the plane before"),
        ("shrinking", usual.max_shrinking, "greatest ratio of the area before to that"),
    ):
        parser.add_argument(
            f"--gate-{name}",
            type=float,
            default=value,
            metavar="NUMBER",
            help=f"{text} of an object that is believed; default: {value:g}",
        )


def output(text: str) -> Path:
    """Read a path of labels as a zarr."""
    path = results.output(text)
    if path.suffix.lower() != results.ZARR:
        raise argparse.ArgumentTypeError(f"{text}: the name must end with {results.ZARR}")
    return path


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.propagate import propagate_steps
    from napari_ditto.models.registry import load_model

    source = options.open_image(args)
    axes = tuple(args.axis or (args.at[0] if args.at else ["z"]))
    within = {name or axes[0]: (first, stop) for name, first, stop in args.within}
    examples = read_examples(source, args, axes, within)
    model = load_model(args.model, args.device)
    gate = Gate(
        args.gate_score,
        args.gate_overlap,
        args.gate_similarity,
        args.gate_growth,
        args.gate_shrinking,
    )
    start, reused = time.perf_counter(), list[bool]()
    steps = propagate_steps(
        source,
        examples,
        axes,
        model,
        plane=options.address(source, args),
        within=within,
        gate=gate,
        kinds="classes" if args.classes else "objects",
        cache=EmbeddingCache(),
        out=args.output,
    )
    found = console.follow(counted(steps, reused))
    if args.review:
        write_review(args.review, found)
    facts = {
        "planes": len(reused),
        "reused": sum(reused),
        "examples": len(examples),
        "objects": len(found.ids),
        "doubts": len(found.review),
        "seconds": time.perf_counter() - start,
    }
    more = {"model": model.spec.provenance, "output": args.output, "review": _worst(found)}
    console.result({**facts, **more}, text(facts, found, args.output))
    return 0


def counted(
    steps: Generator[Progress, None, PropagationResult], reused: list[bool]
) -> Generator[Progress, None, PropagationResult]:
    """Pass steps on; note of each finished plane whether it was there already."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            found: PropagationResult = end.value
            return found
        if isinstance(progress.partial, PlaneDone):
            reused.append(progress.partial.reused)
        yield progress


# --- what is given -----------------------------------------------------------------------------


def read_examples(
    source: Source, args: argparse.Namespace, axes: Sequence[str], within: Within
) -> dict[tuple[int, ...], NDArray[Any]]:
    """Return the labelled planes by index on the axes walked."""
    from napari_ditto.data.label_planes import read_label_plane

    if len(args.examples) != len(args.at):
        raise LabelsError(
            f"{len(args.examples)} --examples and {len(args.at)} --at",
            todo="Give one --at for each of --examples",
        )
    found = _from_stack(source, args, axes, within) if args.labels else {}
    for path, at in zip(args.examples, args.at, strict=True):
        if sorted(at) != sorted(axes):
            raise LabelsError(
                f"--at {','.join(f'{k}={v}' for k, v in at.items())} for axis {', '.join(axes)}",
                todo="Give an index on each axis that the labels go along",
            )
        found[tuple(at[name] for name in axes)] = read_label_plane(path)
    if not found:
        raise LabelsError(
            "no labelled plane is given", todo="Give --examples and --at, or --labels"
        )
    return found


def _from_stack(
    source: Source, args: argparse.Namespace, axes: Sequence[str], within: Within
) -> dict[tuple[int, ...], NDArray[Any]]:
    from napari_ditto.data.label_planes import read_label_planes

    base = options.address(source, args)
    known = [name for name in axes if name in base.index]
    spans = [range(*within.get(n, (0, source.shape[source.axes.index(n)]))) for n in known]
    addresses = [
        base.with_index(dict(zip(known, index, strict=True))) for index in itertools.product(*spans)
    ]
    planes = read_label_planes(args.labels, source.axes, source.shape, addresses)
    return {tuple(a.index[name] for name in known): labels for a, labels in planes}


# --- what is told ------------------------------------------------------------------------------


def write_review(path: Path, found: PropagationResult) -> None:
    """Write all doubts as CSV, the worst first."""
    names = [name for name, _ in found.review[0].address.fixed] if found.review else found.axes
    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "label", "confidence", "reasons"])
            for d in found.review:
                place = [i for _, i in d.address.fixed]
                writer.writerow([*place, d.label, f"{d.confidence:.4f}", "; ".join(d.reasons)])
    except OSError as error:
        raise StoreError(
            f"the review cannot be written: {error.strerror or error}", where=str(path)
        ) from error


def text(facts: dict[str, Any], found: PropagationResult, path: Path) -> str:
    """Return the facts for a person."""
    head = table(
        [
            ("planes", f"{facts['planes']}, {facts['reused']} of them were there"),
            ("objects", facts["objects"]),
            ("time", duration(facts["seconds"])),
            ("written", path),
            ("doubts", facts["doubts"]),
        ]
    )
    if not found.review:
        return head
    rows = [(_place(d), d.label, f"{d.confidence:.2f}", "; ".join(d.reasons)) for d in found.review]
    return f"{head}\n\n{table(rows[:SHOWN], ('plane', 'object', 'sure', 'why'))}"


def _worst(found: PropagationResult) -> list[dict[str, object]]:
    return [
        {**d.address.index, "label": d.label, "confidence": d.confidence, "reasons": d.reasons}
        for d in found.review
    ]


def _place(doubt: Doubt) -> str:
    return ", ".join(f"{name}={i}" for name, i in doubt.address.fixed)
