"""Look into a saved session, or make its labels again from its prompts and compare.

show     what a session holds: images, labels, how many objects were made by prompts, by which model
replay   ask the same models with the same prompts again; says whether all labels come out
         identical, bit for bit, and writes them with -o

A session is a folder, <name>.ditto-session. Nothing in it is changed, and nothing in it is run.
Status 0 of replay means identical, 3 that some objects came out differently.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.cli import results
from napari_ditto.cli.console import Console, table
from napari_ditto.cli.journal import output, write_tiff
from napari_ditto.errors import DittoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_ditto.data.session_records import SessionRecord
    from napari_ditto.engine.replay import Replayed

DIFFERENT = 3
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("action", choices=("show", "replay"))
    parser.add_argument("session", type=Path, metavar="FOLDER", help="<name>.ditto-session")
    parser.add_argument(
        "-o",
        "--output",
        type=output,
        metavar="LABELS",
        help="new labels, as .zarr (OME-Zarr) or .tif",
    )
    parser.add_argument(
        "--labels", default="", metavar="NAME", help="only this Labels layer; default: all of them"
    )
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="where an image is now, if it is not where it was",
    )
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:1, mps; default: where it ran")
    parser.add_argument(
        "--force", action="store_true", help="go on with other weights or other pixels"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    return show(args, console) if args.action == "show" else replay(args, console)


# --- show ------------------------------------------------------------------------------------


def show(args: argparse.Namespace, console: Console) -> int:
    """Print what a session holds."""
    from napari_ditto.engine.replay import Replay

    record = Replay(args.session).record
    console.result(_facts(record), _text(record))
    return 0


def _facts(record: SessionRecord) -> dict[str, object]:
    return {
        "program": record.program,
        "settings": dict(record.settings),
        "images": [
            {"name": i.name, "path": i.path, "kept": bool(i.kept), "shape": list(i.shapes[0])}
            for i in record.images
        ],
        "labels": [
            {
                "name": x.name, "path": x.path, "shape": list(x.shape), "dtype": x.dtype,
                "objects_by_prompts": len(x.steps), "models": sorted({s.model for s in x.steps}),
            }
            for x in record.labels
        ],
        "prompts": [
            {"name": p.name, "kind": p.kind, "count": len(p.arrays)} for p in record.prompts
        ],
        "examples": bool(record.examples),
        "series": _series(record),
    }  # fmt: skip


def _series(record: SessionRecord) -> str:
    from napari_ditto.data.series import Series

    series = Series.from_json(record.series)
    return series.progress if series else ""


def _text(record: SessionRecord) -> str:
    images = [(i.name, i.path or ("kept in the session" if i.kept else "on no disk")) for i in
              record.images]  # fmt: skip
    labels = [
        (x.name, "x".join(map(str, x.shape)), len(x.steps), _models(x.steps)) for x in record.labels
    ]
    parts = [
        table(images, ("image", "file")) if images else "no images",
        table(labels, ("labels", "shape", "by prompts", "model")) if labels else "no labels",
        f"{sum(len(p.arrays) for p in record.prompts)} prompts waiting",
        f"examples: {'yes' if record.examples else 'none'}",
        f"series: {_series(record) or 'none'}",
    ]
    return "\n\n".join([*parts[:2], "\n".join(parts[2:])])


def _models(steps: Sequence[object]) -> str:
    return ", ".join(sorted({str(getattr(step, "model", "")) for step in steps})) or "-"


# --- replay ----------------------------------------------------------------------------------


def replay(args: argparse.Namespace, console: Console) -> int:
    """Make the labels again, and compare them."""
    from napari_ditto.engine.replay import Replay

    job = Replay(args.session, {}, args.device, args.force)
    job.images = _images(args.image, [image.name for image in job.record.images])
    names = [args.labels] if args.labels else list(job.names) or [""]
    if args.output and len(names) > 1:
        raise DittoError("several labels cannot be written to one file", todo="Name --labels")
    found = [console.follow(job.steps(name)) for name in names]
    if args.output:
        write(args.output, found[0], job.record)
    facts = {"session": str(args.session), "labels": [_outcome(one) for one in found]}
    console.result(
        {**facts, "identical": all(one.is_identical for one in found)},
        "\n".join(map(_line, found)),
    )
    return 0 if all(one.is_identical for one in found) else DIFFERENT


def _images(given: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=FILE``; a lone file is the only image's."""
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.rpartition("=")
        if not equals and len(names) == 1:
            name = names[0]
        if name not in names:
            raise DittoError(
                f"there is no image '{name or text}' in the session",
                todo=f"Say NAME=FILE, with one of: {', '.join(names)}",
            )
        found[name] = Path(path)
    return found


def _outcome(one: Replayed) -> dict[str, object]:
    return {
        "name": one.name, "identical": one.is_identical, "objects": one.steps,
        "differing": list(one.differing), "differing_pixels": one.pixels,
    }  # fmt: skip


def _line(one: Replayed) -> str:
    objects = "1 object" if one.steps == 1 else f"{one.steps} objects"
    if one.is_identical:
        return f"{one.name}: identical, {objects} replayed"
    listed = ", ".join(map(str, one.differing[:_SHOWN]))
    more = ", …" if len(one.differing) > _SHOWN else ""
    return (
        f"{one.name}: {len(one.differing)} of {objects} came out differently "
        f"(labels {listed}{more}), in {one.pixels:,} pixels"
    )


def write(path: Path, result: Replayed, record: SessionRecord) -> None:
    """Write labels as OME-Zarr or TIFF."""
    if path.suffix.lower() == results.ZARR:
        from napari_ditto.data.export import write_ome_zarr_labels

        about = {"replayed": True, "program": record.program}
        write_ome_zarr_labels(path, result.labels.data, result.axes, provenance=about)
    else:
        write_tiff(result.labels, result.axes, path)
