"""Content keys: which embedding belongs to which pixels, model and window."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.window import Window

KEY_VERSION = 1
MODEL_DIGITS = 16
_KEY = re.compile(r"[0-9a-f]{64}\Z")


def embedding_key(model_key: str, tile: NDArray[np.generic], window: Window) -> str:
    """Return the cache key of a tile: equal content, equal key, wherever the pixels came from.

    Parameters
    ----------
    model_key : str
        ``ModelSpec.key``; it changes with the weights and with the preprocessing.
    tile : ndarray, shape (h, w, 3)
        The pixels that the encoder sees; hashed as little-endian float32.
    window : Window
        The intensity window that they were read with.

    Returns
    -------
    str
        64 hexadecimal digits. The first 16 name the model, so that a store can refuse a foreign
        embedding and find all entries of one model; the rest is SHA-256 over everything.
    """
    pixels = np.ascontiguousarray(tile, dtype="<f4")
    head = {
        "version": KEY_VERSION,
        "model": model_key,
        "shape": pixels.shape,
        "low": [float(value).hex() for value in window.low],
        "high": [float(value).hex() for value in window.high],
    }
    digest = hashlib.sha256(json.dumps(head).encode())
    digest.update(pixels.reshape(-1).data)
    return model_part(model_key) + digest.hexdigest()[MODEL_DIGITS:]


def model_part(model_key: str) -> str:
    """Return the first 16 digits of every key of a model."""
    return hashlib.sha256(model_key.encode()).hexdigest()[:MODEL_DIGITS]


def belongs_to(key: str, model_key: str) -> bool:
    """Whether `key` was made for this model."""
    return key.startswith(model_part(model_key))


def is_key(text: str) -> bool:
    """Whether `text` has the form of an embedding key."""
    return _KEY.match(text) is not None


def check_key(key: str) -> None:
    """Raise ValueError for text that :func:`embedding_key` cannot have made."""
    if not is_key(key):
        raise ValueError(f"not an embedding key: {key!r}")
