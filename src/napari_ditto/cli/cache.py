"""Show or clear the cache of embeddings.

The cache holds what the encoder said about each tile, so that no tile is encoded twice. Its place
is $NAPARI_DITTO_CACHE, or the user's cache folder of the system. Clearing it loses only time.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ditto.cli.console import Console, size, table

if TYPE_CHECKING:
    from napari_ditto.data.embeddings import CacheStats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("action", nargs="?", choices=("show", "clear"), default="show")
    parser.add_argument(
        "--model", help="only the embeddings of this model (the key that show lists)"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.data.embeddings import EmbeddingCache

    cache = EmbeddingCache()
    before = cache.stats()
    if args.action == "clear":
        cache.clear(args.model)
        after = cache.stats()
        freed = before.nbytes - after.nbytes
        gone = before.entries - after.entries
        console.result(
            {"path": before.path, "removed": gone, "freed_bytes": freed},
            f"removed {gone} embeddings, {size(freed)}, from {before.path}",
        )
    else:
        console.result(facts(before), text(before))
    return 0


def facts(stats: CacheStats) -> dict[str, object]:
    """Return the statistics for a program."""
    models = {k: {"entries": u.entries, "bytes": u.nbytes} for k, u in stats.models.items()}
    return {
        "path": stats.path,
        "entries": stats.entries,
        "bytes": stats.nbytes,
        "quota_bytes": stats.quota,
        "models": models,
        "problem": stats.problem,
    }


def text(stats: CacheStats) -> str:
    """Return the statistics for a person."""
    lines = [
        f"{stats.path}",
        f"{stats.entries} embeddings, {size(stats.nbytes)} of at most {size(stats.quota)}",
    ]
    if stats.models:
        rows = [(key, use.entries, size(use.nbytes)) for key, use in stats.models.items()]
        lines += ["", table(rows, ("model", "entries", "size"))]
    if stats.problem:
        lines += ["", stats.problem]
    return "\n".join(lines)
