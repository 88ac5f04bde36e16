"""Where the objects of a tile are, by the network's own maps of centres and borders."""

from __future__ import annotations

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PromptSet


def suggest(embedding: Embedding) -> list[PromptSet]:
    """Return one prompt set per object."""
    return []
