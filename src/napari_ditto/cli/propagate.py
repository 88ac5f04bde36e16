"""Carry labels from a few planes through a stack or a movie.

The planes that are given stay as they are. Doubtful planes are listed, the worst first. If the
output exists, the run goes on where it stopped: give a corrected plane as one more example and
only what depends on it is done again.

Planes of more than 64 Mpx are cut into parts, each followed on its own with what lies around its
objects; so are smaller ones if --region, --workers, --dask, --part or --halo is given. Objects that
leave their part are among the doubts. Exit status 3: some parts have failed.

  napari-ditto propagate stack.tif --examples middle.tif --at z=12 -o cells.zarr
  napari-ditto propagate stack.zarr --labels sparse.zarr --axis z -o cells.zarr --review look.csv
  napari-ditto propagate big.zarr --examples t0.zarr --at t=0 -o cells.zarr --dask local:4
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from napari_ditto.cli import options, parts, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.cli.review import listed, told, write_review
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Gate, PlaneDone
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.data.protocols import Source
    from napari_ditto.engine.propagate import PropagationResult

T = TypeVar("T")
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
    _add_parts(parser)


def _add_parts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large planes")
    group.add_argument(
        "--region",
        type=options.region,
        metavar="Y0,X0,Y1,X1",
        help="follow the objects that the examples show there, half-open, in pixels",
    )
    options.add_executor(group)
    group.add_argument(
        "--resume", action="store_true", help="said or not, what is finished is not done again"
    )
    group.add_argument(
        "--part", type=options.positive, metavar="PIXELS", help="side of a part; default: 4096"
    )
    group.add_argument(
        "--halo",
        type=options.positive,
        metavar="PIXELS",
        help="how far a part sees around its objects; default: twice the longest, at least 64",
    )


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
    walk = Walk.read(args, source)
    if in_parts(args, source, walk.address):
        return run_parts(args, console, walk)
    examples = read_examples(args, walk)
    model = load_model(args.model, args.device, args.precision)
    start, reused = time.perf_counter(), list[bool]()
    steps = propagate_steps(
        source,
        examples,
        walk.axes,
        model,
        plane=walk.address,
        within=walk.within,
        gate=read_gate(args),
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
    more = {"model": model.spec.provenance, "output": args.output, "review": told(found)}
    console.result({**facts, **more}, text(facts, found, args.output))
    return 0


def run_parts(args: argparse.Namespace, console: Console, walk: Walk) -> int:
    """Follow the objects of large planes part by part."""
    from napari_ditto.engine.whole.columns import SIDE
    from napari_ditto.engine.whole.columns_planning import plan_columns_steps
    from napari_ditto.engine.whole.opening import model_ref
    from napari_ditto.models.registry import load_model

    if args.classes:
        raise LabelsError(
            "classes are not followed in parts", todo="Label each plane with 'like --classes'"
        )
    model = load_model(args.model, args.device, args.precision)
    with ExitStack() as stack:
        steps = plan_columns_steps(
            walk.source,
            open_examples(args, walk, stack),
            walk.axes,
            model_ref(model),
            args.output,
            plane=walk.address,
            within=walk.within,
            gate=read_gate(args),
            region=args.region,
            side=args.part or SIDE,
            halo=args.halo,
        )
        plan = console.follow(steps)
    return parts.do(plan, console, args.workers, args.dask, args.review, walk.source, model)


@dataclass(frozen=True, eq=False)
class Walk:
    """Where labels are carried.

    Attributes
    ----------
    source : Source
        The image.
    address : PlaneAddress
        Which planes.
    axes : tuple of str
        The axes walked.
    within : dict
        First plane and one past the last, where that was said.
    """

    source: Source
    address: PlaneAddress
    axes: tuple[str, ...]
    within: Within

    @classmethod
    def read(cls, args: argparse.Namespace, source: Source) -> Walk:
        """Return what the options say."""
        axes = tuple(args.axis or (args.at[0] if args.at else ["z"]))
        within = {name or axes[0]: (first, stop) for name, first, stop in args.within}
        return cls(source, options.address(source, args), axes, within)


def in_parts(args: argparse.Namespace, source: Source, address: PlaneAddress) -> bool:
    """Whether planes are cut into parts: large ones, if it is asked for, or if they were before."""
    from napari_ditto.engine.whole.columns_run import is_wanted

    asked = any((args.region, args.workers, args.dask, args.part, args.halo))
    return asked or is_wanted(source, address, args.output)


def read_gate(args: argparse.Namespace) -> Gate:
    """Return what an object must reach to be believed."""
    return Gate(
        args.gate_score,
        args.gate_overlap,
        args.gate_similarity,
        args.gate_growth,
        args.gate_shrinking,
    )


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


def read_examples(args: argparse.Namespace, walk: Walk) -> dict[tuple[int, ...], NDArray[Any]]:
    """Return the labelled planes by index on the axes walked."""
    from napari_ditto.data.label_planes import read_label_plane, read_label_planes

    found = {}
    if args.labels:
        source, addresses = walk.source, _addresses(walk)
        planes = read_label_planes(args.labels, source.axes, source.shape, addresses)
        found = {_place_on(walk, a): labels for a, labels in planes}
    found |= {index: read_label_plane(path) for index, path in _single(args, walk)}
    return _some(found)


def open_examples(
    args: argparse.Namespace, walk: Walk, stack: ExitStack
) -> dict[tuple[int, ...], Any]:
    """Return the labelled planes as what is read in bands, while `stack` is open."""
    from napari_ditto.data.label_planes import open_label_plane, open_label_planes

    found = {}
    if args.labels:
        source, addresses = walk.source, _addresses(walk)
        opened = open_label_planes(args.labels, source.axes, source.shape, addresses)
        found = {_place_on(walk, p.address): p for p in stack.enter_context(opened)}
    for index, path in _single(args, walk):
        found[index] = stack.enter_context(open_label_plane(path))
    return _some(found)


def _single(args: argparse.Namespace, walk: Walk) -> Iterator[tuple[tuple[int, ...], Path]]:
    """Yield index and file of every single plane."""
    if len(args.examples) != len(args.at):
        raise LabelsError(
            f"{len(args.examples)} --examples and {len(args.at)} --at",
            todo="Give one --at for each of --examples",
        )
    for path, at in zip(args.examples, args.at, strict=True):
        if sorted(at) != sorted(walk.axes):
            raise LabelsError(
                f"--at {','.join(f'{k}={v}' for k, v in at.items())} for axis "
                f"{', '.join(walk.axes)}",
                todo="Give an index on each axis that the labels go along",
            )
        yield tuple(at[name] for name in walk.axes), path


def _addresses(walk: Walk) -> list[PlaneAddress]:
    """Return all planes that are walked."""
    source = walk.source
    known = _known(walk)
    spans = [range(*walk.within.get(n, (0, source.shape[source.axes.index(n)]))) for n in known]
    return [
        walk.address.with_index(dict(zip(known, index, strict=True)))
        for index in itertools.product(*spans)
    ]


def _place_on(walk: Walk, address: PlaneAddress) -> tuple[int, ...]:
    return tuple(address.index[name] for name in _known(walk))


def _known(walk: Walk) -> list[str]:
    return [name for name in walk.axes if name in walk.address.index]


def _some(found: dict[tuple[int, ...], T]) -> dict[tuple[int, ...], T]:
    if not found:
        raise LabelsError(
            "no labelled plane is given", todo="Give --examples and --at, or --labels"
        )
    return found


# --- what is told ------------------------------------------------------------------------------


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
    return head + listed(found)
