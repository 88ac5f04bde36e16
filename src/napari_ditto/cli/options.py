"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import BoxPrompt, PointPrompt
from napari_ditto.core.window import Window
from napari_ditto.models.names import DEFAULT_MODEL
from napari_ditto.models.numerics import CHOICES

if TYPE_CHECKING:
    from napari_ditto.data.protocols import Source

SIGNS = {"+": True, "-": False}


def numbers(text: str, count: int) -> tuple[float, ...]:
    """Read `count` numbers with commas between them."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers with commas between")
    return values


def point(text: str) -> PointPrompt:
    """Read ``y,x``, ``y,x,+`` or ``y,x,-``."""
    place, _, sign = text.rpartition(",")
    if sign not in SIGNS:
        place, sign = text, "+"
    y, x = numbers(place, 2)
    return PointPrompt(y, x, SIGNS[sign])


def box(text: str) -> BoxPrompt:
    """Read ``y0,x0,y1,x1``."""
    return BoxPrompt(*numbers(text, 4))


def region(text: str) -> Box:
    """Read ``y0,x0,y1,x1`` as whole pixels, half-open."""
    found = Box(*(int(v) for v in numbers(text, 4)))
    if found.is_empty:
        raise argparse.ArgumentTypeError(f"{text!r} holds no pixel; give y0,x0,y1,x1")
    return found


def limits(text: str) -> tuple[float, ...]:
    """Read ``low,high``."""
    low, high = numbers(text, 2)
    if not -math.inf < low < high < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a lower and a higher number")
    return low, high


def indices(text: str) -> dict[str, int]:
    """Read ``z=3`` or ``t=0,z=3``."""
    try:
        return {
            name.strip(): int(value)
            for name, value in (part.split("=") for part in text.split(","))
        }
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like t=0,z=3") from None


def span(text: str) -> tuple[str, int, int]:
    """Read ``0,40`` or ``z=0,40``; the name is empty in the first."""
    name, _, pair = text.rpartition("=")
    first, stop = numbers(pair, 2)
    if not (first.is_integer() and stop.is_integer()):
        raise argparse.ArgumentTypeError(f"{text!r} is not two whole numbers")
    return name.strip(), int(first), int(stop)


def planes(text: str) -> tuple[str, int, int]:
    """Read ``z=3,20``."""
    name, first, stop = span(text)
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not like z=3,20")
    return name, first, stop


def positive(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Read ``z,x``."""
    return tuple(part.strip() for part in text.split(","))


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which image to open."""
    parser.add_argument("path", help="OME-Zarr, zarr, TIFF or another image file")
    parser.add_argument("--axes", help="names of the axes in order, e.g. tzyx; c is the channels")
    parser.add_argument("--channel-axis", type=int, help="number of the channel axis")
    parser.add_argument(
        "--window",
        type=limits,
        action="append",
        metavar="LOW,HIGH",
        help="raw values that count as black and white; once per channel",
    )


def add_plane(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a plane of the image."""
    parser.add_argument(
        "--plane",
        type=indices,
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="index on an axis that is not shown, e.g. t=0,z=3; 0 where not given",
    )
    parser.add_argument(
        "--displayed", type=names, metavar="ROWS,COLUMNS", help="axes of the plane, e.g. z,x"
    )


def add_region(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses a part of the plane."""
    parser.add_argument(
        "--region",
        type=region,
        metavar="Y0,X0,Y1,X1",
        help="part of the plane, half-open, in pixels; default: all of it",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the model."""
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"see 'models'; default: {DEFAULT_MODEL}"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=CHOICES,
        help="what encoders compute with; auto tries once which is fastest and as good",
    )


def add_executor(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the options that say who works at a whole image."""
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="how many parts are done at once; default: what cores and memory allow",
    )
    parser.add_argument(
        "--dask",
        metavar="WHERE",
        help="dask workers in place of threads: local, local:4, tcp://host:8786 or scheduler.json",
    )


def open_image(args: argparse.Namespace) -> Source:
    """Open the image that `add_source` describes."""
    from napari_ditto.data.source import open_source

    window = Window.from_pairs(args.window) if args.window else None
    return open_source(args.path, axes=args.axes, channel_axis=args.channel_axis, window=window)


def merged(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Return all indices of a repeated ``--plane``."""
    return {name: index for part in parts for name, index in part.items()}


def address(source: Source, args: argparse.Namespace) -> PlaneAddress:
    """Return the plane that `add_plane` describes."""
    return source.plane(merged(args.plane), args.displayed)
