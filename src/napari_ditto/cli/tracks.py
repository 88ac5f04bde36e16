"""Track the cells of a movie, with their divisions.

Objects are those of --labels, or are found in every frame after labelled ones. They are linked
from frame to frame, over gaps, and from mothers to daughters.

  napari-ditto tracks movie.tif --axes tyx --labels masks.tif -o tracks.zarr -o tracks.geff
  napari-ditto tracks movie.zarr --frame 0=first.tif -o tracks.zarr -o tracks_ctc
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto import __version__
from napari_ditto.cli import options, results
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError, LabelsError, SourceError

if TYPE_CHECKING:
    from napari_ditto.core.propagation import Doubt
    from napari_ditto.data.arrays import Sliceable
    from napari_ditto.data.protocols import LabelStore, Source
    from napari_ditto.engine.linking import Linked

ZARR, GEFF = ".zarr", ".geff"
LINKERS = ("laptrack", "trackastra")
WORST = 10
"""Doubts that are listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_model(parser)
    parser.add_argument("--labels", type=Path, help="masks of all frames, to be linked only")
    parser.add_argument(
        "--frame",
        type=frame,
        action="append",
        default=[],
        metavar="N=LABELS",
        help="labels of frame N of this movie, whose ids are kept; repeatable",
    )
    parser.add_argument(
        "--example",
        type=Path,
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "LABELS"),
        help="another image and its labels; repeatable",
    )
    parser.add_argument("--axis", default="t", help="the axis of time; default: t")
    parser.add_argument("--within", type=span, metavar="A,B", help="frames from A up to before B")
    parser.add_argument(
        "--gap", type=int, default=2, help="frames that a cell may be missing in; default: 2"
    )
    parser.add_argument("--no-divisions", action="store_true", help="cells do not divide")
    parser.add_argument(
        "--max-distance",
        type=float,
        help="pixels that a cell moves from frame to frame at most; default: from the movie",
    )
    parser.add_argument("--linker", choices=LINKERS, default=LINKERS[0])
    parser.add_argument(
        "-o",
        "--output",
        type=output,
        action="append",
        default=[],
        metavar="PATH",
        help="labels as .zarr (OME-Zarr), tracks as .geff, or a new folder for the Cell Tracking "
        "Challenge's format; repeatable",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    source = options.open_image(args)
    start = time.perf_counter()
    with ExitStack() as files:
        steps, made = _job(args, source, files)
        linked = console.follow(_clean(steps, _folder(args)))
    seconds = time.perf_counter() - start
    _write(args, source, linked)
    facts = {**_facts(linked), "seconds": seconds, "output": args.output, "made_by": made}
    console.result(facts, text(facts))
    return 0


def frame(text: str) -> tuple[int, Path]:
    """Read ``0=labels.tif``."""
    number, _, name = text.partition("=")
    if not number.isdecimal() or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 0=labels.tif")
    return int(number), Path(name)


def span(text: str) -> tuple[int, int]:
    """Read ``10,20``."""
    begin, end = options.numbers(text, 2)
    return int(begin), int(end)


def output(text: str) -> Path:
    """Read a path that can be written, before any work is done."""
    path = Path(text).expanduser()
    if path.suffix.lower() not in (ZARR, GEFF, ""):
        raise argparse.ArgumentTypeError(f"{text}: neither {ZARR}, {GEFF} nor a new folder")
    if path.exists():
        raise argparse.ArgumentTypeError(f"{text} exists already")
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {path.parent}")
    return path


def text(facts: Mapping[str, Any]) -> str:
    """Return the facts for a person."""
    rows: list[tuple[str, object]] = [
        (name, facts[name]) for name in ("frames", "objects", "tracks", "divisions", "doubts")
    ]
    rows += [("time", duration(facts["seconds"]))]
    rows += [("look at", f"{d['plane']}, cell {d['label']}: {d['why']}") for d in facts["worst"]]
    return table([*rows, *(("written", path) for path in facts["output"])])


def _clean(
    steps: Generator[Progress, None, Linked], folder: Path | None
) -> Generator[Progress, None, Linked]:
    """Pass steps on; a job that is refused before its first step leaves no empty output."""
    try:
        first = next(steps)
    except DittoError:
        if folder is not None:
            shutil.rmtree(folder)
        raise
    yield first
    return (yield from steps)


def _folder(args: argparse.Namespace) -> Path | None:
    return next((p for p in args.output if p.suffix.lower() == ZARR), None)


def _job(
    args: argparse.Namespace, source: Source, files: ExitStack
) -> tuple[Generator[Progress, None, Linked], dict[str, object]]:
    """Return the job, and what a result must say about how it was made."""
    rules = {
        "axis": args.axis,
        "within": args.within,
        "gap": args.gap,
        "divisions": not args.no_divisions,
        "max_distance": args.max_distance,
        "linker": args.linker,
    }
    if args.labels is None:
        return _find(args, source, rules)
    from napari_ditto.engine.linking import link_steps
    from napari_ditto.engine.tracking import whole_image

    labels: Any = _open(args.labels, files)
    if tuple(labels.shape) != source.shape:
        raise LabelsError(
            f"labels of shape {tuple(labels.shape)} for a movie of {source.shape}",
            where=str(args.labels),
        )
    made: dict[str, object] = {
        "program": f"napari-ditto {__version__}",
        "image": source.name,
        "labels": str(args.labels),
        "linking": rules,
    }
    image = whole_image(source) if args.linker == "trackastra" else None
    store = _store(args, source, made)
    return link_steps(labels, axes=source.axes, image=image, out=store, **rules), made


def _find(
    args: argparse.Namespace, source: Source, rules: dict[str, Any]
) -> tuple[Generator[Progress, None, Linked], dict[str, object]]:
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.tracking import track_steps
    from napari_ditto.models.registry import load_model

    if bool(args.frame) == bool(args.example):
        raise SourceError(
            "it is not said what the objects are", todo="Give --labels, or --frame, or --example"
        )
    model: Any = load_model(args.model, args.device, args.precision)
    own = {number: _read(path) for number, path in args.frame}
    others = [(_picture(image), _read(labels)) for image, labels in args.example]
    made = results.provenance(model.spec, source, source.plane()) | {"linking": rules}
    store = _store(args, source, made)
    steps = track_steps(source, own or others, model, cache=EmbeddingCache(), out=store, **rules)
    return steps, made


def _store(
    args: argparse.Namespace, source: Source, made: Mapping[str, object]
) -> LabelStore | None:
    from napari_ditto.data.pyramid_labels import PyramidLabels

    folder = _folder(args)
    if folder is None:
        return None
    scale = getattr(source, "scale", None)
    return PyramidLabels.create(folder, source.shape, source.axes, scale=scale, provenance=made)


def _open(path: Path, files: ExitStack) -> object:
    """Return the array in a file that is open until `files` are closed."""
    from napari_ditto.data.opening import open_path

    opened = open_path(path)
    if opened.close:
        files.callback(opened.close)
    return opened.levels[0]


def _read(path: Path) -> NDArray[np.integer]:
    from napari_ditto.data.arrays import wrap

    with ExitStack() as files:
        raw = wrap(_open(path, files), str(path))
        return raw.read(tuple(slice(0, n) for n in raw.shape))


def _picture(path: Path) -> Source:
    from napari_ditto.data.source import open_source

    return open_source(path)


def _write(args: argparse.Namespace, source: Source, linked: Linked) -> None:
    """Write what is not written yet: a zarr is the store itself."""
    from napari_ditto.data.ctc import write_ctc
    from napari_ditto.data.geff_file import write_geff
    from napari_ditto.engine.frames import Frames

    for path in args.output:
        if path.suffix.lower() == GEFF:
            write_geff(path, linked.lineage, scores=linked.scores, scale=_scale(args, source))
        elif path.suffix.lower() != ZARR:
            labels = cast("Sliceable", linked.labels)
            write_ctc(path, Frames(labels, source.axes, args.axis), linked.lineage)


def _scale(args: argparse.Namespace, source: Source) -> list[float] | None:
    scale = getattr(source, "scale", None)
    if scale is None:
        return None
    return [float(s) for name, s in zip(source.axes, scale, strict=True) if name != args.axis]


def _plane(doubt: Doubt) -> str:
    return ", ".join(f"{name}={i}" for name, i in doubt.address.fixed)


def _facts(linked: Linked) -> dict[str, Any]:
    frames = linked.lineage.points[:, 1]
    return {
        "frames": len(np.unique(frames)),
        "objects": len(frames),
        "tracks": len(linked.lineage.tracks),
        "divisions": len(linked.lineage.divisions),
        "doubts": len(linked.review),
        "worst": [
            {"plane": _plane(d), "label": d.label, "why": ", ".join(d.reasons)}
            for d in linked.review[:WORST]
        ],
    }
