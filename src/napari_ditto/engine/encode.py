"""From a tile to its embedding: read, look in the cache, else encode and keep."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.bounded import Bounded
from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Tile
from napari_ditto.data.embeddings import EmbeddingCache, embedding_key
from napari_ditto.data.protocols import DeferringStore, EmbeddingStore, Source
from napari_ditto.engine.prefetch import Prefetch
from napari_ditto.errors import ModelError, StoreError
from napari_ditto.models.protocols import ContextModel, PromptModel

REMEMBERED_KEYS = 1 << 16

TileOfPlane = tuple[PlaneAddress, Tile]
Read = tuple[NDArray[np.float32], str]
"""A tile's pixels and the key of its embedding."""

LONG_SECONDS = 3.0
"""An encoding that is expected to take longer says so."""


@dataclass
class EncodeCounts:
    """What a :class:`TileEncoder` did so far.

    Attributes
    ----------
    read, encoded, reused : int
        Tiles read from the source, encoded by the model, found in the cache.
    """

    read: int = 0
    encoded: int = 0
    reused: int = 0


class TileEncoder:
    """Embeddings of a source's tiles, each encoded once.

    Keys are made from a tile's pixels, so a tile must be read before the cache can be asked. The
    keys themselves are remembered: further prompts on a tile read nothing. Call :meth:`forget`
    when the image was edited.

    Parameters
    ----------
    source : Source
        The image.
    model : PromptModel or ContextModel
        Whose encoder to use.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    on_read : callable, optional
        Is handed each tile that was read: its plane, the tile, its pixels (h, w, 3).
    """

    def __init__(
        self,
        source: Source,
        model: PromptModel | ContextModel,
        cache: EmbeddingStore | None = None,
        on_read: Callable[[PlaneAddress, Tile, NDArray[np.float32]], None] | None = None,
    ) -> None:
        self.source, self.model, self._on_read = source, model, on_read
        self.cache = EmbeddingCache(directory=None) if cache is None else cache
        self.counts = EncodeCounts()
        self.problem = ""
        self._keys: Bounded[TileOfPlane, str] = Bounded(REMEMBERED_KEYS)
        self._latest: tuple[str, Embedding] | None = None
        self._lock = Lock()
        self._prefetch: Prefetch[TileOfPlane, Read] = Prefetch(self._load, _nbytes)

    @property
    def tile_size(self) -> int:
        """Side of the model's tile, pixels."""
        return self.model.spec.input_size

    @property
    def known_tiles(self) -> tuple[TileOfPlane, ...]:
        """The tiles that have been read, oldest first."""
        return tuple(self._keys)

    def has(self, address: PlaneAddress, tile: Tile) -> bool:
        """Whether a tile's embedding is at hand, without reading the tile."""
        return self._remembered(address, tile) is not None

    def seen(self, address: PlaneAddress) -> tuple[Tile, ...]:
        """Return the tiles of a plane that were encoded, oldest first; safe from any thread."""
        with self._lock:
            return tuple(tile for plane, tile in self._keys if plane == address)

    def knows(self, address: PlaneAddress, tile: Tile) -> bool:
        """Whether a tile was encoded; it may have left the cache since."""
        return (address, tile) in self._keys

    def forget(self) -> None:
        """Read every tile again when it is next needed, so that edits are noticed."""
        with self._lock:
            self._keys.clear()

    @contextmanager
    def reading_ahead(self, tiles: Iterable[TileOfPlane]) -> Iterator[None]:
        """Read tiles in the background, meanwhile, in the order in which they will be asked for.

        Asking for others, or in another order, is no error. At the end nothing more is read.

        Parameters
        ----------
        tiles : iterable of (PlaneAddress, Tile)
            May be endless; is asked for more as those before are used.
        """
        self._prefetch.expect(wanted for wanted in tiles if wanted not in self._keys)
        try:
            yield
        finally:
            self._prefetch.stop()

    def embed_steps(
        self, address: PlaneAddress, tiles: Sequence[Tile]
    ) -> Generator[Progress, None, list[Embedding]]:
        """Return the embeddings of some tiles, in their order.

        Tiles that the cache lacks are encoded in one batch; what was encoded before a cancel or
        an error stays in the cache.

        Raises
        ------
        SourceError, ModelError
            If a tile cannot be read or encoded.
        """
        found: dict[Tile, Embedding] = {}
        missing: dict[Tile, NDArray[np.float32]] = {}
        for i, tile in enumerate(tiles):
            known = self._remembered(address, tile)
            if known is None:
                yield Progress("read", i, len(tiles), "reading…")
                pixels = self._read(address, tile)
                known = self._lookup(self._keys[address, tile], tile)
                if known is None:
                    missing[tile] = pixels
                    continue
            else:
                self._prefetch.drop((address, tile))
            self.counts.reused += 1
            found[tile] = known
        if missing:
            yield Progress("encode", 0, len(missing), self._encoding_text(len(missing)))
            found |= self._encode(address, missing)
        return [found[tile] for tile in tiles]

    def _encoding_text(self, count: int) -> str:
        """Say what is encoded, and how long it may take where that is worth knowing."""
        text = "encoding tile 1 of 1" if count == 1 else f"encoding {count} tiles"
        seconds = count * self.model.spec.encode_seconds
        return text if seconds < LONG_SECONDS else f"{text}, about {seconds:.0f} s on a small CPU"

    def _remembered(self, address: PlaneAddress, tile: Tile) -> Embedding | None:
        key = self._keys.get((address, tile))
        return None if key is None else self._lookup(key, tile)

    def _read(self, address: PlaneAddress, tile: Tile) -> NDArray[np.float32]:
        pixels, key = self._prefetch.take((address, tile))
        self.counts.read += 1
        if self._on_read:
            self._on_read(address, tile, pixels)
        with self._lock:
            self._keys[address, tile] = key
        return pixels

    def _load(self, wanted: TileOfPlane) -> Read:
        address, tile = wanted
        pixels = self.source.read(address, tile.box, tile.level)
        return pixels, embedding_key(self.model.spec.key, pixels, self.source.window)

    def _lookup(self, key: str, tile: Tile) -> Embedding | None:
        if self._latest and self._latest[0] == key:
            return self._latest[1]
        found = self.cache.get(key)
        fits = found and found.model == self.model.spec.key and found.tile_shape == tile.box.shape
        return found if fits else None

    def _encode(
        self, address: PlaneAddress, missing: dict[Tile, NDArray[np.float32]]
    ) -> dict[Tile, Embedding]:
        found = {}
        for shape in {pixels.shape for pixels in missing.values()}:
            tiles = [tile for tile, pixels in missing.items() if pixels.shape == shape]
            embeddings = self.model.encode(np.stack([missing[tile] for tile in tiles]))
            if len(embeddings) != len(tiles):
                raise ModelError(f"{len(embeddings)} embeddings for {len(tiles)} tiles")
            self.counts.encoded += len(tiles)
            for tile, embedding in zip(tiles, embeddings, strict=True):
                self._keep(self._keys[address, tile], embedding)
                found[tile] = embedding
        return found

    def _keep(self, key: str, embedding: Embedding) -> None:
        # A store that refuses costs time later, not the user's click now.
        self._latest = (key, embedding)
        try:
            if isinstance(self.cache, DeferringStore):
                self.cache.put_soon(key, embedding)
            else:
                self.cache.put(key, embedding)
        except StoreError as error:
            self.problem = str(error)


def _nbytes(read: Read) -> int:
    return int(read[0].nbytes)
