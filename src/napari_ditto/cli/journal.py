"""List the journals of annotation sessions, look into one, or make labels of it again.

list     the journals in $NAPARI_DITTO_JOURNAL, or in the user's state folder of the system
show     what one holds, write by write
replay   make the labels of one again, identical to what was in the layer; without -o only labels
         that live on disk are brought up to date, where they are
remove   delete one for good

A journal goes by its name in the list, or by its path. Those of sessions that go on are left alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.cli import results
from napari_ditto.cli.console import Console, size, table
from napari_ditto.errors import DittoError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_ditto.data.journal_records import Head, Paint
    from napari_ditto.data.journal_replay import Story
    from napari_ditto.data.journal_shelf import Entry
    from napari_ditto.data.protocols import LabelStore

MAX_TIFF_BYTES = 1 << 32
STATES = {"live": "in use", "crashed": "crashed", "closed": "closed", "aside": "put aside"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    actions = ("list", "show", "replay", "remove")
    parser.add_argument("action", nargs="?", choices=actions, default="list")
    parser.add_argument("journal", nargs="?", metavar="FILE", help="its name in the list, or path")
    parser.add_argument(
        "-o",
        "--output",
        type=output,
        metavar="LABELS",
        help="new labels, as .zarr (OME-Zarr) or .tif",
    )


def output(text: str) -> Path:
    """Read the name of labels to be made, before any work is done."""
    path = results.output(text)
    if path.suffix.lower() == results.PICTURE:
        raise argparse.ArgumentTypeError(f"{text}: the name must end with .zarr or .tif")
    return path


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    if args.action == "list":
        return show_list(console)
    if not args.journal:
        raise DittoError("no journal is named", todo="'napari-ditto journal list' names them")
    from napari_ditto.data.journal_shelf import Shelf

    path = Shelf().find(args.journal)
    if args.action == "show":
        return show(path, console)
    if args.action == "replay":
        return replay(path, args.output, console)
    return remove(path, console)


def show_list(console: Console) -> int:
    """Print all journals."""
    from napari_ditto.data.journal_shelf import Shelf

    shelf = Shelf()
    found = [(entry, *_summary(entry)) for entry in shelf.entries()]
    facts = [
        {
            "name": entry.name, "path": str(entry.path), "state": entry.state,
            "bytes": entry.nbytes, "changed": entry.changed, "edits": edits, "image": image,
        }
        for entry, edits, image in found
    ]  # fmt: skip
    rows = [
        (entry.name, STATES[entry.state], _when(entry.changed), edits, image, size(entry.nbytes))
        for entry, edits, image in found
    ]
    head = ("name", "state", "last edit", "edits", "image", "size")
    text = table(rows, head) if rows else "no journals"
    console.result({"path": str(shelf.folder), "journals": facts}, f"{shelf.folder}\n\n{text}")
    return 0


def _summary(entry: Entry) -> tuple[int | str, str]:
    """Return how many edits a journal holds, and of which image."""
    from napari_ditto.data.journal_replay import read_journal

    try:
        story = read_journal(entry.path)
    except DittoError:
        return "?", "damaged"
    return story.edits, story.head.image.name


def show(path: Path, console: Console) -> int:
    """Print what a journal holds."""
    from napari_ditto.data.journal_replay import read_journal

    edits: list[dict[str, object]] = []

    def note(_: Head, write: Paint) -> None:
        pixels = write.mask.sum() if write.mask is not None else np.prod(_size(write))
        where = [[i.start, i.stop] for i in write.index]
        edits.append({"label": write.label, "region": where, "pixels": int(pixels)})

    story = read_journal(path, note)
    lines = [f"{key:<8} {value}" for key, value in _about(story).items()]
    shown = [(n, e["label"], e["pixels"], e["region"]) for n, e in enumerate(edits, 1)]
    head = ("write", "label", "pixels", "region")
    text = "\n".join([*lines, "", table(shown, head) if shown else "no writes"])
    console.result({**_about(story), "writes": edits}, text)
    return 0


def _size(write: Paint) -> list[int]:
    return [i.stop - i.start for i in write.index]


def _about(story: Story) -> dict[str, object]:
    head = story.head
    return {
        "path": str(story.path), "image": head.image.name, "file": head.image.path,
        "labels": head.name, "shape": list(head.shape), "dtype": head.dtype.name,
        "on disk": head.path, "edits": story.edits, "lost": story.lost, "by": head.program,
    }  # fmt: skip


def replay(path: Path, out: Path | None, console: Console) -> int:
    """Make the labels of a journal again."""
    from napari_ditto.data.journal_replay import read_journal, restore

    story = read_journal(path)
    if out is None and story.head.base != "store":
        raise DittoError("these labels are on no disk", todo="Say where to, with -o labels.zarr")
    if out is not None and out.suffix.lower() != results.ZARR:
        store, story = restore(path, anew=True)
        write_tiff(store, story.head.axes, out)
    else:
        store, story = restore(path, out)
    if story.trouble:
        console.note(story.trouble)
    target = str(out or story.head.path)
    facts = {"output": target, "edits": story.edits, "lost": story.lost}
    console.result(facts, f"{target}: {story.edits} edits replayed")
    return 0


def write_tiff(store: LabelStore, axes: Sequence[str], path: Path) -> None:
    """Write whole labels as one TIFF."""
    import tifffile

    if np.prod(store.shape, dtype=object) * store.dtype.itemsize > MAX_TIFF_BYTES:
        raise StoreError("too large for a TIFF", where=str(path), todo="Write .zarr")
    data = np.asarray(store.data[...])  # type: ignore[index]
    try:
        tifffile.imwrite(path, data, compression="zlib", metadata={"axes": "".join(axes).upper()})
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error


def remove(path: Path, console: Console) -> int:
    """Delete a journal."""
    from napari_ditto.data.journal_shelf import Shelf, remove

    if any(entry.path == path and entry.state == "live" for entry in Shelf().entries()):
        raise StoreError("this journal is in use", where=str(path), todo="Close napari first")
    remove(path)
    console.result({"removed": str(path)}, f"removed {path}")
    return 0


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
