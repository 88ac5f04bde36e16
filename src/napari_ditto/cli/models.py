"""List the models, fetch the weights of one, or say where they are kept.

list   every model, whether its weights are here, their licence
get    fetch weights, after asking or with --yes; resumes, and checks what came
path   the folder of all weights ($NAPARI_DITTO_MODELS), or of one model
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from napari_ditto.cli.console import Console, size, table
from napari_ditto.errors import ModelNotFoundError

if TYPE_CHECKING:
    from napari_ditto.models.manifest import ManifestEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("action", nargs="?", choices=("list", "get", "path"), default="list")
    parser.add_argument("name", nargs="?", help="a model's name, e.g. sam:facebook/sam-vit-base")
    parser.add_argument("--yes", action="store_true", help="fetch without asking")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    actions = {"list": list_models, "get": get, "path": path}
    return actions[args.action](args, console)


def list_models(args: argparse.Namespace, console: Console) -> int:
    """Print every known model."""
    from napari_ditto.models.registry import available_models

    entries = available_models()
    rows = [
        (
            e.id,
            "here" if e.installed else "-",
            size(e.size_bytes) if e.size_bytes else "",
            e.licence,
        )
        for e in entries
    ]
    console.result(
        {"models": [asdict(e) for e in entries]},
        table(rows, ("name", "weights", "size", "licence")),
    )
    return 0


def find_entry(name: str | None) -> ManifestEntry:
    """Return what is known about published weights of this name."""
    from napari_ditto.models import manifest

    family, _, reference = (name or "").partition(":")
    entry = manifest.find(family, reference) if reference else None
    if entry is None:
        raise ModelNotFoundError(
            "no weights to fetch by this name" if name else "which model?",
            where=name or "",
            todo="'napari-ditto models' lists the names",
        )
    return entry


def get(args: argparse.Namespace, console: Console) -> int:
    """Fetch the weights of one model."""
    from napari_ditto.models import weights

    entry = find_entry(args.name)
    found = console.follow(weights.download(entry, agree=args.yes or ask))
    console.result({"name": entry.id, "path": found.path}, f"{entry.id} is in {found.path}")
    return 0


def ask(entry: ManifestEntry) -> bool:
    """Show what would be fetched and ask; no without a terminal."""
    lines = [
        f"{entry.title}: {size(entry.size) if entry.size else 'size not known'}",
        f"from     {entry.source}",
        f"licence  {entry.licence}",
        f"cite     {entry.citation}",
    ]
    print("\n".join(lines), file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nobody is here to ask; --yes agrees.", file=sys.stderr)
        return False
    print("Fetch it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def path(args: argparse.Namespace, console: Console) -> int:
    """Print a folder."""
    from napari_ditto.models import weights

    folder = weights.folder_of(find_entry(args.name)) if args.name else weights.models_dir()
    console.result({"path": folder}, str(folder))
    return 0
