"""The embedding cache: memory over disk, content-addressed and crash-safe."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_ditto.core.embedding import Embedding
from napari_ditto.data.diskstore import DiskStore
from napari_ditto.data.entry import check_arrays
from napari_ditto.data.keys import belongs_to, check_key, embedding_key
from napari_ditto.data.memorystore import MemoryStore, frozen
from napari_ditto.data.write_behind import WriteBehind
from napari_ditto.errors import StoreError

__all__ = ["CacheStats", "EmbeddingCache", "ModelUse", "default_directory", "embedding_key"]

GIB = 1 << 30

_OPEN: weakref.WeakSet[EmbeddingCache] = weakref.WeakSet()
_OPENING = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Entries and bytes on disk of one model."""

    entries: int = 0
    nbytes: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What the cache holds and how it did since it was opened.

    Attributes
    ----------
    entries, nbytes : int
        On disk.
    memory_entries, memory_nbytes : int
        In memory.
    models : mapping of str to ModelUse
        What is on disk by ``ModelSpec.key``.
    path : Path or None
        Folder of the entries; None for a cache in memory only.
    quota, budget : int
        Bytes allowed on disk and in memory.
    hits, misses : int
        Answers of :meth:`EmbeddingCache.get`.
    problem : str
        Why the disk is not used at present, or empty.
    """

    entries: int = 0
    nbytes: int = 0
    memory_entries: int = 0
    memory_nbytes: int = 0
    models: Mapping[str, ModelUse] = field(default_factory=dict)
    path: Path | None = None
    quota: int = 0
    budget: int = 0
    hits: int = 0
    misses: int = 0
    problem: str = ""


class EmbeddingCache:
    """Keeps embeddings by content key, in memory and on disk; safe for threads and processes.

    A disk that is full, read-only or gone is no error here: the cache goes on from memory, says
    so in :attr:`problem`, and tries again with the next embedding.

    Parameters
    ----------
    memory_bytes : int
        Budget in memory.
    directory : Path, "default" or None
        Where to keep entries on disk; "default" is :func:`default_directory`, None keeps them in
        memory only.
    disk_bytes : int
        Quota on disk.
    """

    def __init__(
        self,
        memory_bytes: int = GIB,
        directory: Path | Literal["default"] | None = "default",
        disk_bytes: int = 10 * GIB,
    ) -> None:
        folder = default_directory() if directory == "default" else directory
        self._memory = MemoryStore(memory_bytes)
        self._disk = None if folder is None else DiskStore(folder, disk_bytes)
        self._counts = {"hits": 0, "misses": 0}
        self._lock = threading.Lock()
        self._problem = ""
        self._writer = WriteBehind(self._put_on_disk)
        self._follow_the_others()

    @property
    def problem(self) -> str:
        """One line on why the disk is not used at present, or an empty string."""
        return self._problem

    @property
    def path(self) -> Path | None:
        """Folder of the entries on disk."""
        return self._disk.root if self._disk else None

    def get(self, key: str) -> Embedding | None:
        """Return the intact embedding of a key, its arrays read-only, or None."""
        check_key(key)
        found = self._memory.get(key)
        if found is None:
            found = self._get_from_disk(key)
        elif self._disk:
            self._disk.touch(key)
        with self._lock:
            self._counts["misses" if found is None else "hits"] += 1
        return found

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep a copy of an embedding; when this returns, a kill loses nothing of it.

        A disk that refuses is remembered, not raised.

        Raises
        ------
        ValueError
            If `embedding` is of another model than `key`, or cannot be stored.
        """
        self._put_on_disk(key, self._keep(key, embedding))

    def put_soon(self, key: str, embedding: Embedding) -> None:
        """Keep a copy of an embedding in memory now, and on disk soon, in the background.

        A kill before that loses it, no more; :meth:`flush` waits for the disk. Waits itself while
        some tens of megabytes are under way already.

        Raises
        ------
        ValueError
            If `embedding` is of another model than `key`.
        """
        kept = self._keep(key, embedding)
        if self._disk:
            check_arrays(kept)
            self._writer.put(key, kept)

    def flush(self) -> None:
        """Return when all embeddings are on disk, or :attr:`problem` says why they are not."""
        self._writer.flush()

    def stats(self) -> CacheStats:
        """Return what is held; looks at every entry on disk, up to 0.3 ms each."""
        self.flush()
        models = self._models_on_disk()
        return CacheStats(
            entries=sum(use.entries for use in models.values()),
            nbytes=sum(use.nbytes for use in models.values()),
            memory_entries=len(self._memory),
            memory_nbytes=self._memory.nbytes,
            models=models,
            path=self.path,
            quota=self._disk.quota if self._disk else 0,
            budget=self._memory.budget,
            problem=self._problem,
            **self._counts,
        )

    def clear(self, model: str | None = None) -> None:
        """Drop all embeddings, or those of one ``ModelSpec.key``.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        self.flush()
        self._memory.clear(model)
        if self._disk:
            self._disk.clear(model)

    def _follow_the_others(self) -> None:
        """Wait for what other caches of this process have yet to write to the same folder."""
        with _OPENING:
            others = [cache for cache in _OPEN if cache.path and cache.path == self.path]
            _OPEN.add(self)
        for cache in others:
            cache.flush()

    def _keep(self, key: str, embedding: Embedding) -> Embedding:
        """Keep a copy in memory, and return it."""
        check_key(key)
        if not belongs_to(key, embedding.model):
            raise ValueError(f"embedding of model {embedding.model!r} under a key of another model")
        kept = frozen(embedding)
        self._memory.put(key, kept)
        return kept

    def _put_on_disk(self, key: str, embedding: Embedding) -> None:
        if self._disk:
            try:
                self._disk.put(key, embedding)
                self._problem = ""
            except StoreError as error:
                self._problem = str(error)

    def _models_on_disk(self) -> dict[str, ModelUse]:
        models: dict[str, ModelUse] = {}
        try:
            for entry in self._disk.entries() if self._disk else ():
                use = models.get(entry.model, ModelUse())
                models[entry.model] = ModelUse(use.entries + 1, use.nbytes + entry.size)
        except StoreError as error:
            self._problem = str(error)
        return models

    def _get_from_disk(self, key: str) -> Embedding | None:
        if self._disk is None:
            return None
        try:
            found = self._writer.get(key) or self._disk.get(key)
        except StoreError as error:
            self._problem = str(error)
            return None
        if found is not None:
            self._memory.put(key, found)
        return found


def default_directory() -> Path:
    """Return ``$NAPARI_DITTO_CACHE``, or the user's cache folder of this system."""
    chosen = os.environ.get("NAPARI_DITTO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("napari-ditto", appauthor=False)
