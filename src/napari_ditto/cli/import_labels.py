"""Make a label image of what another program wrote.

Reads .geojson, .gpkg, .json (COCO), .zip and .roi (ImageJ), .tif, .png and OME-Zarr. With --image
the labels get its grid, and polygons on the earth find their place on it.

  napari-ditto import annotations.geojson --image slide.ome.zarr -o labels.ome.zarr
  napari-ditto import roofs.gpkg --image ortho.tif -o roofs.tif
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from napari_ditto.cli import options
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.cli.export import add_grid
from napari_ditto.data.exporting.formats import format_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("file", type=Path, help="what another program wrote")
    add_grid(parser)
    parser.add_argument(
        "--shape", type=shape, metavar="Y,X", help="size of the labels, where there is no --image"
    )
    parser.add_argument(
        "--crs",
        default="",
        help="what the file's coordinates mean, if it does not tell: pixel, ...",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="as for 'export'"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.export import export_steps, prepared
    from napari_ditto.data.importing.labels import import_steps

    chosen, start = format_of(args.output), time.perf_counter()
    found = console.follow(
        import_steps(
            args.file,
            args.image,
            shape=args.shape,
            axes=args.axes,
            plane=options.merged(args.plane),
            crs=args.crs,
        )
    )
    grid = found.grid
    labels = prepared(
        found.data,
        args.image,
        table=found.table,
        axes=grid.axes,
        scale=grid.scale,
        translate=grid.translate,
        units=grid.units,
        name=args.file.stem,
    )
    console.follow(export_steps(labels, args.output, overwrite=args.overwrite))
    objects, seconds = count(found.data), time.perf_counter() - start
    facts = {
        "file": str(args.file),
        "objects": objects,
        "axes": grid.axes,
        "shape": grid.shape,
        "classes": [c.name for c in found.table.classes],
        "notes": found.notes,
        "output": str(args.output),
        "seconds": seconds,
    }
    rows = [("objects", objects), ("shape", " x ".join(map(str, grid.shape)))]
    rows += [("note", note) for note in found.notes]
    rows += [(chosen.title, args.output), ("time", duration(seconds))]
    console.result(facts, table(rows))
    return 0


def count(data: object) -> int:
    """Return how many ids there are, without 0."""
    import numpy as np

    return int(np.count_nonzero(np.unique(np.asarray(data))))


def shape(text: str) -> tuple[int, ...]:
    """Read sizes with commas between them."""
    found = options.numbers(text, text.count(",") + 1)
    if len(found) < 2 or not all(n.is_integer() and n >= 1 for n in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not sizes like 512,512")
    return tuple(int(n) for n in found)
