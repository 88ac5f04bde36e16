"""What every network asks of tiles and embeddings before it looks at them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError


def check_tiles(tiles: NDArray[np.float32], limit: int) -> tuple[int, int]:
    """Return height and width of tiles.

    Raises
    ------
    ModelError
        Unless they are (n, h, w, 3), with h and w from 1 to `limit`.
    """
    if tiles.ndim == 4 and tiles.shape[3] == 3:
        height, width = int(tiles.shape[1]), int(tiles.shape[2])
        if min(height, width) > 0 and max(height, width) <= limit:
            return height, width
    raise ModelError(f"tiles must be (n, h, w, 3) with h and w up to {limit}, got {tiles.shape}")


def check_maker(embedding: Embedding, key: str) -> None:
    """Raise :class:`ModelError` unless the model of this key made an embedding."""
    if embedding.model != key:
        raise ModelError(
            "the embedding is of another model",
            where=f"{embedding.model}, not {key}",
            todo="Encode the tile again",
        )
