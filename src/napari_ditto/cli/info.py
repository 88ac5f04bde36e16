"""Say how an image would be read: axes, levels, chunks, window, tiles and cost.

Only the metadata is read, and the small sample that the intensity window is taken from.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import options
from napari_ditto.cli.console import Console, duration, size, table

if TYPE_CHECKING:
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.data.protocols import Source
    from napari_ditto.models.protocols import ModelSpec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.models.registry import spec_of

    source = options.open_image(args)
    address = options.address(source, args)
    spec = spec_of(args.model, args.device, args.precision)
    facts = describe(source, address) | cost(source, address, spec)
    console.result(facts, text(facts))
    return 0


def describe(source: Source, address: PlaneAddress) -> dict[str, Any]:
    """Return what the image is."""
    pairs = zip(source.window.low, source.window.high, strict=True)
    return {
        "name": source.name,
        "axes": source.axes,
        "shape": source.shape,
        "channels": source.channels,
        "dtype": str(getattr(source, "dtype", "")),
        "window": list(pairs),
        "displayed": (address.rows, address.columns),
        "index": address.index,
        "levels": [describe_level(source, address, level) for level in range(source.levels)],
        "notes": getattr(source, "notes", ()),
    }


def describe_level(source: Source, address: PlaneAddress, level: int) -> dict[str, Any]:
    """Return the size of the plane at a level, and how it is stored."""
    pyramid = getattr(source, "pyramid", None)
    stored = pyramid.stored if pyramid else ()
    return {
        "plane": source.plane_shape(address, level),
        "factor": source.factor(address, level),
        "stored": level < len(stored),
        "chunks": stored[level].chunks if level < len(stored) else None,
    }


def cost(source: Source, address: PlaneAddress, spec: ModelSpec) -> dict[str, Any]:
    """Return what it takes to encode the plane."""
    from napari_ditto.core.tiling import Grid

    tiles = Grid(source.plane_shape(address), spec.input_size).count
    return {
        "model": spec.id,
        "tile": spec.input_size,
        "tiles": tiles,
        "seconds_first_click": spec.encode_seconds + spec.decode_seconds,
        "seconds_whole_plane": tiles * spec.encode_seconds,
        "bytes_whole_plane": tiles * spec.embedding_bytes,
    }


def text(facts: dict[str, Any]) -> str:
    """Return the facts for a person."""
    window = ", ".join(f"{low:g} to {high:g}" for low, high in facts["window"])
    index = ", ".join(f"{name}={i}" for name, i in facts["index"].items())
    shown = " ".join(facts["displayed"]) + (f" at {index}" if index else "")
    shape = " x ".join(f"{n} {name}" for n, name in zip(facts["shape"], facts["axes"], strict=True))
    rows = [
        ("image", facts["name"]),
        ("shape", shape),
        ("pixels", f"{facts['dtype']}, {facts['channels']} channel(s)"),
        ("window", f"{window} shown as black to white"),
        ("plane", shown),
        ("model", f"{facts['model']}, tiles of {facts['tile']} px"),
        ("first click", f"1 tile, about {duration(facts['seconds_first_click'])}"),
        (
            "whole plane",
            f"{facts['tiles']} tiles, about {duration(facts['seconds_whole_plane'])}, "
            f"{size(facts['bytes_whole_plane'])} of cache",
        ),
    ]
    levels = [
        (
            n,
            "{} x {}".format(*level["plane"]),
            level["chunks"] or ("one" if level["stored"] else "computed"),
        )
        for n, level in enumerate(facts["levels"])
    ]
    notes = [f"note: {note}" for note in facts["notes"]]
    return "\n".join([table(rows), "", table(levels, ("level", "plane", "chunks")), *notes])
