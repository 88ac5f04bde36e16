"""List the models; get, add, check, measure and remove them: what the dock "Ditto models" does.

list    every model, whether it can be used now, its licence and what it is good at
get     fetch published weights, after asking or with --yes; resumes, and checks what came
add     offer weights of your own with the others: a folder, or a .safetensors, .pth or .pt file
verify  compute the hash of a model's weights and compare it with what is known
speed   measure a model on this machine: milliseconds for a tile and a click, and memory
remove  delete what was fetched, after asking or with --yes; your own files only leave the list
path    the folder of all weights ($NAPARI_DITTO_MODELS), or of one model
online  whether anything may be fetched; 'online never' and 'online again' change it for good
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.cli.console import Console, size, table
from napari_ditto.errors import ModelNotFoundError

if TYPE_CHECKING:
    from napari_ditto.models.manifest import ManifestEntry
    from napari_ditto.models.speed_check import Speed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="list")
    parser.add_argument(
        "name", nargs="?", help="a model's name, e.g. sam:facebook/sam-vit-base; a path to add"
    )
    parser.add_argument("--yes", action="store_true", help="fetch or remove without asking")
    parser.add_argument("--device", default="auto", help="where to measure; auto by default")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    return _ACTIONS[args.action](args, console)


def list_models(args: argparse.Namespace, console: Console) -> int:
    """Print every known model."""
    from napari_ditto.models.catalogue import about
    from napari_ditto.models.registry import available_models
    from napari_ditto.models.speed_check import remembered

    entries = available_models()
    speeds = {e.id: remembered(e.id) for e in entries}
    rows = [
        (
            e.id,
            "here" if e.installed else "by hand" if e.gated else "-",
            size(e.size_bytes) if e.size_bytes else "",
            _milliseconds(speeds[e.id]),
            e.licence,
        )
        for e in entries
    ]
    told = [{**asdict(e), **asdict(about(e)), "speed": _facts(speeds[e.id])} for e in entries]
    text = table(rows, ("name", "weights", "size", "tile", "licence"))
    console.result({"models": told}, text)
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


def _named(args: argparse.Namespace) -> str:
    """Return the name that an action needs."""
    if not args.name:
        raise ModelNotFoundError("which model?", todo="'napari-ditto models' lists the names")
    return str(args.name)


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
    return _agrees("\n".join(lines), "Fetch it?")


def _agrees(about: str, question: str) -> bool:
    print(about, file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nobody is here to ask; --yes agrees.", file=sys.stderr)
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def add(args: argparse.Namespace, console: Console) -> int:
    """Offer weights of the user's own with the others."""
    from napari_ditto.models.added import Added, add_steps

    added = console.follow(add_steps(Path(_named(args))))
    if isinstance(added, Added):
        console.result(asdict(added), f"added {added.id}")
    else:
        text = f"{added.path.stem} is a tuned prompt, now among the others"
        console.result({"kind": "tuned", "path": added.path}, text)
    return 0


def verify(args: argparse.Namespace, console: Console) -> int:
    """Check the hash of a model's weights."""
    from napari_ditto.models.verification import verify_steps

    found = console.follow(verify_steps(_named(args)))
    agrees = "" if found.by == "nobody" else f"  as {found.by}"
    text = f"{found.name}: {found.sha256}{agrees}" if found.sha256 else f"{found.name}: no weights"
    console.result(asdict(found), text)
    return 0


def speed(args: argparse.Namespace, console: Console) -> int:
    """Measure a model on this machine."""
    from napari_ditto.models.speed_check import speed_steps

    found = console.follow(speed_steps(_named(args), args.device))
    rows = [
        ("tile", f"{found.encode_ms:.0f} ms for {found.tile} x {found.tile} px"),
        ("prompt", f"{found.decode_ms:.0f} ms"),
        ("loading", f"{found.load_seconds:.1f} s"),
        ("memory", size(found.memory_bytes) if found.memory_bytes else "not known"),
        ("device", found.device),
        ("machine", found.machine),
    ]
    console.result(asdict(found), table(rows))
    return 0


def remove(args: argparse.Namespace, console: Console) -> int:
    """Delete what was fetched, or take the user's own model off the list."""
    from napari_ditto.models.added import find_added, forget
    from napari_ditto.models.weights import folder_of
    from napari_ditto.models.weights import remove as delete

    name = _named(args)
    added = find_added(name)
    if added:
        forget(name)
        console.result({"name": name, "freed": 0}, f"{name} is off the list; its files stay")
        return 0
    entry = find_entry(name)
    if not folder_of(entry).is_dir():
        raise ModelNotFoundError("nothing was fetched for this model", where=name)
    if not (args.yes or _agrees(f"{entry.title} in {folder_of(entry)}", "Delete it?")):
        console.result({"name": name, "freed": 0}, "nothing was deleted")
        return 0
    freed = delete(entry)
    console.result({"name": name, "freed": freed}, f"{name}: {size(freed)} freed")
    return 0


def path(args: argparse.Namespace, console: Console) -> int:
    """Print a folder."""
    from napari_ditto.models import weights

    folder = weights.folder_of(find_entry(args.name)) if args.name else weights.models_dir()
    console.result({"path": folder}, str(folder))
    return 0


def online(args: argparse.Namespace, console: Console) -> int:
    """Say whether anything may be fetched, or change it."""
    from napari_ditto.models import online as network

    if args.name not in (None, "never", "again"):
        raise ModelNotFoundError(
            f"online {args.name}?", todo="Say 'online never' or 'online again'"
        )
    if args.name:
        network.never_go_online(args.name == "never")
    offline = network.is_offline()
    console.result({"online": not offline}, "never goes online" if offline else "may go online")
    return 0


def _milliseconds(speed: Speed | None) -> str:
    return f"{speed.encode_ms:.0f} ms" if speed else ""


def _facts(speed: Speed | None) -> dict[str, object] | None:
    return asdict(speed) if speed else None


_ACTIONS: dict[str, Callable[[argparse.Namespace, Console], int]] = {
    "list": list_models,
    "get": get,
    "add": add,
    "verify": verify,
    "speed": speed,
    "remove": remove,
    "path": path,
    "online": online,
}
