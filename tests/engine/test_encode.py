"""Tiles are read, looked up and encoded, each one once."""

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.synthetic import blobs
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.engine.encode import EncodeCounts, TileEncoder
from napari_ditto.errors import ModelError, SourceError, StoreError
from napari_ditto.testing.fakes import CountingModel, FailingModel, PerfectModel
from napari_ditto.testing.scenes import truth_source

TRUTH = blobs((100, 150), 20, radius=8, seed=0)
GRID = Grid(TRUTH.shape, 64)
TILES = list(GRID.covering(Box.of_shape(TRUTH.shape)))


def encoder(model=None, cache=None):
    return TileEncoder(truth_source(TRUTH), model or CountingModel(PerfectModel(64)), cache)


def test_a_batch_is_one_encoder_call():
    made = encoder()
    address = made.source.plane()
    steps = made.embed_steps(address, TILES)
    embeddings = drain(steps)
    assert [e.tile_shape for e in embeddings] == [t.box.shape for t in TILES]
    for tile, embedding in zip(TILES, embeddings, strict=True):
        assert np.array_equal(embedding.arrays["truth"], TRUTH[tile.box.slices])
    assert (made.model.calls, made.model.encoded) == (1, len(TILES))


def test_progress_says_what_is_done():
    made = encoder()
    texts = [p.text for p in made.embed_steps(made.source.plane(), TILES[:1])]
    assert texts == ["reading…", "encoding tile 1 of 1"]
    assert not list(made.embed_steps(made.source.plane(), TILES[:1]))


def test_a_slow_model_says_how_long_it_may_take():
    made = encoder(SlowSpec(PerfectModel(64)))
    texts = [p.text for p in made.embed_steps(made.source.plane(), TILES[:2])]
    assert texts[-1] == "encoding 2 tiles, about 30 s on a small CPU"


class SlowSpec(CountingModel):
    @property
    def spec(self):
        return replace(super().spec, encode_seconds=15.0)


def test_another_encoder_with_the_same_cache_encodes_nothing():
    cache = EmbeddingCache(directory=None)
    first, second = encoder(cache=cache), encoder(cache=cache)
    for each in (first, second):
        drain(each.embed_steps(each.source.plane(), TILES))
    assert first.counts.encoded == len(TILES)
    assert (second.counts.encoded, second.counts.reused) == (0, len(TILES))


def test_a_later_session_encodes_nothing(tmp_path):
    for encoded in (len(TILES), 0):
        made = encoder(cache=EmbeddingCache(directory=tmp_path))
        drain(made.embed_steps(made.source.plane(), TILES))
        assert made.counts.encoded == encoded


def test_known_tiles_are_not_read_again_until_told():
    made = encoder()
    address = made.source.plane()
    for _ in range(3):
        drain(made.embed_steps(address, TILES[:2]))
    assert made.counts.read == 2
    made.forget()
    drain(made.embed_steps(address, TILES[:2]))
    assert (made.counts.read, made.counts.encoded) == (4, 2)


def test_what_was_encoded_before_an_error_is_kept():
    made = encoder(FailingModel(at=1, model=PerfectModel(64)))
    address = made.source.plane()
    drain(made.embed_steps(address, TILES[:1]))
    with pytest.raises(ModelError, match="broke"):
        drain(made.embed_steps(address, TILES[1:2]))
    drain(made.embed_steps(address, TILES[:2]))
    assert made.model.encoded == 2


class Watched(CountingModel):
    """Encodes a tile only when so many tiles have been read."""

    def __init__(self, reads, ahead):
        super().__init__(PerfectModel(64))
        self.reads, self.ahead = reads, ahead

    def encode(self, tiles):
        self.reads.wait_for(min(self.encoded + 1 + self.ahead, len(TILES)))
        return super().encode(tiles)


class Reads:
    """Lists the tiles that a source has been asked for."""

    def __init__(self, source):
        self.source, self.boxes, self.changed = source, [], threading.Condition()

    def __getattr__(self, name):
        return getattr(self.source, name)

    def read(self, address, box, level=0):
        with self.changed:
            self.boxes.append(box)
            self.changed.notify_all()
        return self.source.read(address, box, level)

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.boxes) >= count, 30), self.boxes


def test_the_next_tiles_are_read_while_one_is_encoded():
    reads = Reads(truth_source(TRUTH))
    made = TileEncoder(reads, Watched(reads, ahead=2))
    address = reads.plane()
    seen = []
    with made.reading_ahead((address, tile) for tile in TILES):
        for tile in TILES:
            seen += [p.text for p in made.embed_steps(address, [tile])]
    assert seen == ["reading…", "encoding tile 1 of 1"] * len(TILES)
    assert sorted(reads.boxes) == sorted(tile.box for tile in TILES)
    assert made.counts == EncodeCounts(read=len(TILES), encoded=len(TILES))


def test_what_is_known_is_not_read_ahead():
    reads = Reads(truth_source(TRUTH))
    made = TileEncoder(reads, CountingModel(PerfectModel(64)))
    address = reads.plane()
    drain(made.embed_steps(address, TILES[:2]))
    with made.reading_ahead((address, tile) for tile in TILES):
        for tile in TILES:
            drain(made.embed_steps(address, [tile]))
    assert sorted(reads.boxes) == sorted(tile.box for tile in TILES)


def test_a_cancelled_walk_reads_no_further():
    reads = Reads(truth_source(TRUTH))
    made = TileEncoder(reads, CountingModel(PerfectModel(64)))

    def walk():
        with made.reading_ahead((reads.plane(), tile) for tile in endless()):
            for tile in endless():
                yield from made.embed_steps(reads.plane(), [tile])

    steps = walk()
    for _ in range(5):
        next(steps)
    steps.close()
    for thread in threading.enumerate():
        if thread.name == "ditto-reader":
            thread.join(30)
            assert not thread.is_alive()
    assert made.counts.encoded == 2


def endless():
    return (Tile(0, Box(0, x % 80, 64, 64 + x % 80)) for x in itertools.count())


def test_a_tile_that_cannot_be_read_ahead_says_so_when_it_is_its_turn():
    outside = Tile(0, Box(90, 0, 154, 64))
    made = encoder()
    address = made.source.plane()
    with made.reading_ahead((address, tile) for tile in (*TILES[:2], outside)):
        for tile in TILES[:2]:
            drain(made.embed_steps(address, [tile]))
        with pytest.raises(SourceError):
            drain(made.embed_steps(address, [outside]))
    assert made.counts.encoded == 2


class SlowDisk(EmbeddingCache):
    """Writes an embedding only when the encoder has done two more."""

    def __init__(self, folder, model):
        super().__init__(directory=folder)
        self.model, self.sure = model, True

    def _put_on_disk(self, key, embedding):
        self.sure &= self.model.passed.wait(30)
        super()._put_on_disk(key, embedding)


class Passing(CountingModel):
    def __init__(self):
        super().__init__(PerfectModel(64))
        self.passed = threading.Event()

    def encode(self, tiles):
        if self.encoded == 2:
            self.passed.set()
        return super().encode(tiles)


def test_the_encoder_does_not_wait_for_the_disk(tmp_path):
    model = Passing()
    cache = SlowDisk(tmp_path, model)
    made = encoder(model, cache)
    for tile in TILES[:4]:
        drain(made.embed_steps(made.source.plane(), [tile]))
    cache.flush()
    assert cache.sure
    assert cache.stats().entries == 4


class Refusing:
    def get(self, key):
        return None

    def put(self, key, embedding):
        raise StoreError("the disk is full")


def test_a_cache_that_refuses_costs_no_click():
    made = encoder(cache=Refusing())
    address = made.source.plane()
    for _ in range(2):
        assert drain(made.embed_steps(address, TILES[:1]))
    assert made.counts.encoded == 1
    assert "disk is full" in made.problem


def test_embeddings_of_another_model_are_refused():
    class Foreign(Refusing):
        def get(self, key):
            return PerfectModel(32).encode(np.zeros((1, 64, 64, 3), np.float32)[:, :32, :32])[0]

    made = encoder(cache=Foreign())
    (embedding,) = drain(made.embed_steps(made.source.plane(), TILES[:1]))
    assert embedding.tile_shape == (64, 64)


def test_a_source_that_fails_says_so():
    made = encoder()
    outside = Tile(0, Box(90, 0, 154, 64))
    with pytest.raises(SourceError):
        drain(made.embed_steps(made.source.plane(), [outside]))
