"""Write docs/reference from docstrings and from --help; ``make reference`` runs it."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

PROPERTY = property | cached_property
FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/make_reference.py from the source; do not edit. -->\n"

# Title of a chapter, and the public names in it.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "Start here": (
        "napari_ditto.open_source",
        "napari_ditto.load_model",
        "napari_ditto.Annotator",
        "napari_ditto.segment_all",
        "napari_ditto.segment_like",
    ),
    "Images": (
        "napari_ditto.data.protocols.Source",
        "napari_ditto.core.window.Window",
        "napari_ditto.core.geometry.PlaneAddress",
        "napari_ditto.core.geometry.Box",
    ),
    "Prompts and proposals": (
        "napari_ditto.core.prompts.PromptSet",
        "napari_ditto.core.prompts.PointPrompt",
        "napari_ditto.core.prompts.BoxPrompt",
        "napari_ditto.core.prompts.ScribblePrompt",
        "napari_ditto.core.prompts.MaskPrompt",
        "napari_ditto.core.proposals.Proposals",
    ),
    "Models": (
        "napari_ditto.models.protocols.PromptModel",
        "napari_ditto.models.protocols.AutoPromptModel",
        "napari_ditto.models.protocols.ContextModel",
        "napari_ditto.models.protocols.ModelSpec",
        "napari_ditto.models.protocols.MaskLogits",
        "napari_ditto.core.embedding.Embedding",
    ),
    "Labels, cache and progress": (
        "napari_ditto.data.protocols.LabelStore",
        "napari_ditto.data.protocols.LabelDelta",
        "napari_ditto.data.embeddings.EmbeddingCache",
        "napari_ditto.core.progress.Progress",
    ),
    "Errors": ("napari_ditto.errors.DittoError",),
}


def api() -> str:
    """Return the page of the Python interface."""
    parts = [NOTE, "# Python\n"]
    for title, names in CHAPTERS.items():
        parts.append(f"## {title}\n")
        parts.extend(entry(name) for name in names)
    tree = inspect.getdoc(importlib.import_module("napari_ditto.errors")) or ""
    parts.append(f"```text\n{textwrap.dedent(tree.partition('::')[2]).strip()}\n```\n")
    return "\n".join(parts)


def entry(path: str) -> str:
    """Return the section of one public name, with its public methods."""
    module, _, name = path.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    lines = [f"### `{name}{signature(thing)}`", f"from `{module}`", markdown(thing)]
    if inspect.isclass(thing):
        for member, value in own_members(thing):
            call = "" if isinstance(value, PROPERTY) else signature(unwrapped(value))
            lines.append(f"#### `.{member}{call}`\n\n{markdown(unwrapped(value))}")
    return "\n\n".join(lines) + "\n"


def own_members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield public methods and properties that the class itself describes."""
    for name, value in vars(cls).items():
        described = inspect.getdoc(unwrapped(value)) if not name.startswith("_") else None
        if described and (callable(unwrapped(value)) or isinstance(value, PROPERTY)):
            yield name, value


def unwrapped(value: object) -> object:
    """Return the function behind a class method, the value itself otherwise."""
    return getattr(value, "__func__", value)


def signature(thing: object) -> str:
    """Return names and defaults; the docstring has the types."""
    if inspect.isclass(thing) and getattr(thing, "_is_protocol", False):
        return ""
    parameters = inspect.signature(thing).parameters.values()  # type: ignore[arg-type]
    shown = [p.replace(annotation=p.empty) for p in parameters if p.name not in {"self", "cls"}]
    plain = [p if short(p) else p.replace(default=...) for p in shown]
    return str(inspect.Signature(plain))


def short(parameter: inspect.Parameter) -> bool:
    """Whether the default can be shown: a factory's marker has no repr that means anything."""
    return parameter.default is parameter.empty or not repr(parameter.default).startswith("<")


def markdown(thing: object) -> str:
    """Return a numpydoc docstring as Markdown."""
    text = inspect.getdoc(thing) or ""
    text = re.sub(r":(?:class|func|meth|attr|data|mod|exc):`~?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    text = re.sub(r"^(\w[\w ]*)\n-{3,}$", r"**\1**\n", text, flags=re.MULTILINE) + "\n"
    text = re.sub(r"^(\S.*?) : (.*)\n((?: {4}.*\n?)*)", definition, text, flags=re.MULTILINE)
    text = re.sub(r"^(\w.*)\n((?: {4}.*\n?)+)", definition, text, flags=re.MULTILINE)
    text = text.replace("  # doctest: +SKIP", "")
    text = re.sub(r"((?:^>>> .*\n)+)", r"```pycon\n\1```\n", text, flags=re.MULTILINE)
    return text.strip()


def definition(match: re.Match[str]) -> str:
    """Return a parameter, attribute, result or error as a list item."""
    name, *kind, text = match.groups()
    body = " ".join(textwrap.dedent(text).split())
    return f"- **{name}**{f' ({kind[0]})' if kind else ''}: {body}\n"


def cli() -> str:
    """Return the page of the command."""
    from napari_ditto.cli.program import COMMANDS, build_parser

    os.environ["COLUMNS"] = "100"
    parser = build_parser()
    parts = [NOTE, "# Command line\n", block(parser.format_help())]
    subparsers = next(a for a in parser._actions if a.dest == "command").choices
    for name in COMMANDS:
        parts.append(f"## napari-ditto {name}\n")
        parts.append(block(subparsers[name].format_help()))
    return "\n".join(parts)


def block(text: str) -> str:
    """Return preformatted text."""
    return f"```text\n{text.rstrip()}\n```\n"


PAGES = {"api.md": api, "cli.md": cli}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (FOLDER / page).write_text(write())
        print(FOLDER / page)
