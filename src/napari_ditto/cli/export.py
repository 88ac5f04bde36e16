"""Write labels for other programs.

The suffix of the output tells the format: .ome.zarr, .tif, .png (ids as pixels), .geojson, .gpkg
(polygons), .json (COCO), .zip (ImageJ's ROIs), .csv, .parquet (measurements). Where the image is
georeferenced, polygons are in its reference system.

  napari-ditto export cells.zarr -o cells.geojson -o cells.csv
  napari-ditto export roofs.zarr --image ortho.tif -o roofs.gpkg --simplify 1
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from napari_ditto.cli import options
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.data.exporting.formats import NAMES, format_of
from napari_ditto.errors import StoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("labels", type=Path, help="OME-Zarr, zarr, TIFF or PNG of ids")
    add_grid(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="what to write; repeatable",
    )
    parser.add_argument(
        "--format", choices=NAMES, help="whatever the suffix is; for one output only"
    )
    parser.add_argument("--scale", type=scale, metavar="Y,X", help="size of a pixel along the axes")
    parser.add_argument("--unit", help="of --scale, e.g. micrometer")
    parser.add_argument(
        "--simplify",
        type=tolerance,
        default=0.0,
        metavar="PIXELS",
        help="how far polygons may leave the exact outline; default: exact",
    )
    parser.add_argument(
        "--crs", default="", help="of polygons: pixel or e.g. EPSG:4326; default: the image's"
    )
    parser.add_argument(
        "--coco", choices=("rle", "polygons"), default="rle", help="how COCO keeps masks"
    )
    parser.add_argument("--ngff", choices=("0.4", "0.5"), default="0.5", help="of OME-Zarr")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which pixels labels lie on."""
    parser.add_argument("--image", type=Path, help="what the labels are of")
    parser.add_argument("--axes", help="names of the labels' axes in order, e.g. zyx")
    parser.add_argument(
        "--plane",
        type=options.indices,
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="one plane only, e.g. t=0,z=3",
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.export import export_steps, prepared
    from napari_ditto.data.exporting.formats import Options

    if args.format and len(args.output) > 1:
        raise StoreError("one format for several outputs", todo="Let the suffixes tell the formats")
    formats = [format_of(path, args.format) for path in args.output]
    start = time.perf_counter()
    labels = prepared(args.labels, args.image, axes=args.axes, scale=args.scale)
    chosen = Options(args.simplify, args.crs, args.coco, args.ngff)
    with ExitStack() as files:
        if labels.close is not None:
            files.callback(labels.close)
        told = labels.in_unit(args.unit) if args.unit else labels
        told = told.at(options.merged(args.plane)) if args.plane else told
        for path, one in zip(args.output, formats, strict=True):
            steps = export_steps(
                told, path, format=one.name, options=chosen, overwrite=args.overwrite
            )
            console.follow(steps)
    seconds = time.perf_counter() - start
    facts = {
        "labels": str(args.labels),
        "axes": told.axes,
        "shape": told.shape,
        "output": [str(path) for path in args.output],
        "formats": [one.name for one in formats],
        "seconds": seconds,
    }
    rows = [(one.title, path) for one, path in zip(formats, args.output, strict=True)]
    console.result(facts, table([*rows, ("time", duration(seconds))]))
    return 0


def scale(text: str) -> tuple[float, ...]:
    """Read positive numbers with commas between them."""
    found = options.numbers(text, text.count(",") + 1)
    if not all(0 < n < float("inf") for n in found):
        raise argparse.ArgumentTypeError(f"{text!r} is not sizes of a pixel")
    return found


def tolerance(text: str) -> float:
    """Read a number of pixels."""
    (found,) = options.numbers(text, 1)
    if not 0 <= found <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels from 0 to 1000")
    return found
