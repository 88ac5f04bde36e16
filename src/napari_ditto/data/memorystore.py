"""The warm tier of the embedding cache: least recently used first out, within a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding


class MemoryStore:
    """Embeddings in memory, safe for concurrent use.

    Parameters
    ----------
    budget : int
        Bytes of array data kept; an embedding larger than that is not kept at all.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._entries: OrderedDict[str, Embedding] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Bytes of array data held."""
        return self._nbytes

    def get(self, key: str) -> Embedding | None:
        """Return the embedding and mark it as used; its arrays are read-only."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding whose arrays never change, dropping the least recently used."""
        with self._lock:
            self._drop(key)
            if embedding.nbytes > self.budget:
                return
            self._entries[key] = embedding
            self._nbytes += embedding.nbytes
            while self._nbytes > self.budget:
                self._drop(next(iter(self._entries)))

    def clear(self, model: str | None = None) -> None:
        """Drop everything, or everything of one model."""
        with self._lock:
            for key, embedding in list(self._entries.items()):
                if model in (None, embedding.model):
                    self._drop(key)

    def _drop(self, key: str) -> None:
        dropped = self._entries.pop(key, None)
        self._nbytes -= dropped.nbytes if dropped else 0


def frozen(embedding: Embedding) -> Embedding:
    """Return a copy that nobody can change: own memory, C order, native bytes, read-only."""
    return replace(embedding, arrays={k: _frozen(a) for k, a in embedding.arrays.items()})


def _frozen(array: NDArray[np.generic]) -> NDArray[np.generic]:
    copy = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    copy.flags.writeable = False
    return copy
