"""The known weights: where they come from, what they must hash to, and whose they are.

A hash that is null could not be checked by us: such weights are trusted on first use, and
their hash is written beside them (:mod:`napari_ditto.models.weights`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resource
from typing import Any

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?")
_HUB_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
_WORDS = ("vocab.json", "merges.txt", "processor_config.json")  # of models that read words
_WEIGHTS = (".safetensors", ".pth", ".pt")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known about one published file; None is not known."""

    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One set of published weights.

    Attributes
    ----------
    id : str
        The name that ``load_model`` takes.
    family, title : str
        Adapter that reads them, and a name for people.
    source : str
        Page of the hub repository, or address of the file.
    revision : str
        Commit of the hub repository; ``"main"`` is pinned when downloaded.
    files : mapping of str to FileInfo
        The files that are fetched, and no others.
    size : int
        Bytes to download, rounded where it is not known exactly; 0 is not known.
    licence, citation : str
        Of the weights.
    encode_seconds : float
        Rough cost of a tile on two CPU cores; 0 is not known.
    gated : bool
        Whether its licence must be accepted on its page, so that we cannot fetch it.
    """

    id: str
    family: str
    title: str
    source: str
    revision: str
    files: Mapping[str, FileInfo]
    size: int = 0
    licence: str = "see source"
    citation: str = "see source"
    encode_seconds: float = 0.0
    gated: bool = False

    @property
    def weights_file(self) -> str:
        """Name of the file that holds the tensors."""
        return next(name for name in self.files if name.endswith(_WEIGHTS))

    @property
    def repo(self) -> str:
        """Repository on the hub, ``"owner/name"``; empty for a single file."""
        return self.source.removeprefix("https://huggingface.co/") if self.revision else ""


@cache
def manifest() -> Mapping[str, ManifestEntry]:
    """Return the known weights by id, in the order they are offered."""
    text = (resource("napari_ditto.models") / "manifest.json").read_text(encoding="utf-8")
    return {item["id"]: _entry(item) for item in json.loads(text)["models"]}


def _entry(item: dict[str, Any]) -> ManifestEntry:
    infos = {name: FileInfo(**info) for name, info in item["files"].items()}
    return ManifestEntry(**{**item, "files": infos})


def find(family: str, reference: str) -> ManifestEntry | None:
    """Return the entry for a manifest id, or one made up for any other hub id; else None."""
    known = manifest().get(f"{family}:{reference}")
    if known:
        return known
    found = _HUB_ID.fullmatch(reference)
    if not found:
        return None
    return ManifestEntry(
        id=f"{family}:{reference}",
        family=family,
        title=reference,
        source=f"https://huggingface.co/{found['repo']}",
        revision=found["revision"] or "main",
        files={name: FileInfo() for name in (*_HUB_FILES, *(_WORDS if family == "sam3" else ()))},
    )
