"""Whether weights are what they should be: their hash, computed anew, against what is known."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_ditto.core.plain_file import open_plain
from napari_ditto.core.progress import Progress
from napari_ditto.errors import WeightsError
from napari_ditto.models.added import find_added
from napari_ditto.models.ditto.weights import WEIGHTS, published_sha256
from napari_ditto.models.manifest import manifest
from napari_ditto.models.registry import find_weights, parse
from napari_ditto.models.weights import Weights, inside, locate, read_lock

BLOCK = 8 << 20

By = Literal["package", "published", "first fetched", "when added", "nobody", "no weights"]
"""Who said what the hash must be."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the hash of weights must be, and who says so; empty where nobody does."""

    sha256: str
    by: By


@dataclass(frozen=True, slots=True)
class Verified:
    """A hash that was computed, and with what it agrees.

    Attributes
    ----------
    name, sha256 : str
        The model, and the hash of its tensors.
    by : str
        Whose hash it equals, see :data:`By`.
    """

    name: str
    sha256: str
    by: By


def known_hash(name: str) -> Known:
    """Return what the weights of a model must hash to; nothing large is read."""
    if name == "ditto":
        return Known(published_sha256(), "package")
    if name == "classic":
        return Known("", "no weights")
    entry = manifest().get(name)
    if entry:
        published = entry.files[entry.weights_file].sha256
        if published:
            return Known(published, "published")
        found = locate(entry)
        locked = read_lock(found.root).get(entry.weights_file) if found else None
        return Known(locked.sha256, "first fetched") if locked else Known("", "nobody")
    added = find_added(name)
    return Known(added.sha256, "when added") if added else Known("", "nobody")


def verify_steps(name: str) -> Generator[Progress, None, Verified]:
    """Compute the hash of a model's weights and compare it with what is known.

    Yields
    ------
    Progress
        Bytes read so far; a place to cancel.

    Raises
    ------
    ModelNotFoundError
        If there is no such model, or it is not here.
    WeightsError
        If the weights are not what they were, or cannot be read.
    """
    known = known_hash(name)
    if known.by == "no weights":
        return Verified(name, "", known.by)
    family, which = parse(name)
    weights = Weights(WEIGHTS, WEIGHTS.parent) if name == "ditto" else find_weights(family, which)
    found = yield from hash_steps(inside(weights.tensors, weights.root), f"checking {name}")
    if known.sha256 and found != known.sha256:
        raise WeightsError(
            f"the weights are not those that were {_SAID[known.by]}: {found[:12]}...",
            where=str(weights.tensors),
            todo=_TODO[known.by],
        )
    return Verified(name, found, known.by)


_SAID: dict[By, str] = {
    "package": "packed with this version",
    "published": "published",
    "first fetched": "first fetched",
    "when added": "added",
}
_TODO: dict[By, str] = {
    "package": "Install napari-ditto again",
    "published": "Remove them and get them again",
    "first fetched": "Remove them and get them again",
    "when added": "Add them again if the change was meant",
}


def hash_steps(path: Path, text: str) -> Generator[Progress, None, str]:
    """Return the SHA-256 of a file, hex, block by block."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    try:
        with open_plain(path) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                done += len(block)
                yield Progress("read", done, total, text)
    except OSError as error:
        raise WeightsError(
            f"the weights cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    return digest.hexdigest()
