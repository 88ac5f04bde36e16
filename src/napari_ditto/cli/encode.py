"""Fill the cache with the embeddings of a plane, so that every click on it is quick.

Tiles that the cache has are not encoded again: run it again to go on after an interruption.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from napari_ditto.cli import options
from napari_ditto.cli.console import Console, duration
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Tile, plan_tiles
from napari_ditto.errors import SourceError

MAX_TILES = 1_000_000
"""Days of `classic`; more is a slip of the hand."""

if TYPE_CHECKING:
    from napari_ditto.data.protocols import Source
    from napari_ditto.engine.encode import TileEncoder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    options.add_source(parser)
    options.add_plane(parser)
    options.add_model(parser)
    options.add_region(parser)
    parser.add_argument("--level", type=int, default=0, help="pyramid level, 0 is the finest")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.chunk_cache import buffered
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.engine.encode import TileEncoder
    from napari_ditto.models.registry import load_model

    source = options.open_image(args)
    address = options.address(source, args)
    model, cache = load_model(args.model, args.device, args.precision), EmbeddingCache()
    # Tiles overlap by half: each chunk is wanted about four times, and decoded once.
    kept = buffered(source, overlap=model.spec.input_size)
    encoder = TileEncoder(kept, model, cache)
    start = time.perf_counter()
    tiles = plan(source, address, args.level, args.region, encoder.tile_size)
    console.follow(encode_steps(encoder, address, tiles))
    cache.flush()
    counts, seconds = encoder.counts, time.perf_counter() - start
    facts = {
        "tiles": len(tiles),
        "encoded": counts.encoded,
        "reused": counts.reused,
        "seconds": seconds,
        "cache": cache.path,
        "problem": cache.problem,
    }
    console.result(
        facts,
        f"{len(tiles)} tiles in {duration(seconds)}: {counts.encoded} encoded, "
        f"{counts.reused} were in {cache.path}",
    )
    if cache.problem:
        console.note(f"napari-ditto: the embeddings were not kept: {cache.problem}")
    return 2 if cache.problem else 0


def plan(
    source: Source, address: PlaneAddress, level: int, region: Box | None, size: int
) -> list[Tile]:
    """Return the tiles that a click in the region would need."""
    shape = source.plane_shape(address, level)
    part = region.intersect(Box.of_shape(shape)) if region else Box.of_shape(shape)
    if part.area > MAX_TILES * (size // 2) ** 2:
        raise SourceError(
            f"more than {MAX_TILES:,} tiles are needed for {part.height} x {part.width} pixels",
            where=source.name,
            todo="Choose a --region or a coarser --level",
        )
    return list(plan_tiles(shape, size, within=part, level=level))


def encode_steps(
    encoder: TileEncoder, address: PlaneAddress, tiles: Sequence[Tile]
) -> Generator[Progress, None, None]:
    """Encode tiles one by one, while the next are read and those before are written."""
    with encoder.reading_ahead((address, tile) for tile in tiles):
        for n, tile in enumerate(tiles):
            yield Progress("encode", n, len(tiles), f"encoding tile {n + 1} of {len(tiles)}")
            drain(encoder.embed_steps(address, [tile]))
