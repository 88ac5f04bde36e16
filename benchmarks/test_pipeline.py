"""Reading, encoding and storing at once, and embeddings on disk against the disk itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import time

import numpy as np
import pytest

from benchmarks.records import race, report
from napari_ditto.cli.encode import encode_steps
from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.tiling import plan_tiles
from napari_ditto.core.window import Window
from napari_ditto.data.chunk_cache import buffered
from napari_ditto.data.diskstore import DiskStore
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.testing.contracts.embeddings import MODEL, make_key

SIDE, TILE, CHUNK = 1280, 512, 256
LATENCY = 0.2

SHAPES = {
    "SAM": {"image": ((256, 64, 64), "float32")},
    "SAM 2": {
        "image": ((256, 64, 64), "float16"),
        "half": ((64, 128, 128), "float16"),
        "quarter": ((32, 256, 256), "float16"),
    },
    "ditto": {"features": ((64, 128, 128), "float16"), "fine": ((32, 64, 64), "float16")},
}


def embedding(kind, model=MODEL, side=1024):
    rng = np.random.default_rng(0)
    shapes = SHAPES[kind].items()
    arrays = {name: rng.standard_normal(shape).astype(dtype) for name, (shape, dtype) in shapes}
    return Embedding(arrays, (side, side), model)


# -- embeddings on disk ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHAPES)
def test_store(benchmark, tmp_path, kind):
    import zarr

    made, numbers = embedding(kind), itertools.count()
    amount = made.nbytes / 1e6
    store = DiskStore(tmp_path / "ours", 1 << 40)
    raw = b"".join(array.tobytes() for array in made.arrays.values())
    plain, group = tmp_path / "plain", tmp_path / "group"

    def with_zarr(number):
        new = zarr.create_group(group / str(number), zarr_format=3)
        for name, array in made.arrays.items():
            new.create_array(
                name, data=array, chunks=array.shape, filters=None,
                compressors=[zarr.codecs.Crc32cCodec()],
            )  # fmt: skip

    def write(number, sync=False):
        with open(f"{plain}{number}", "wb", buffering=0) as file:
            file.write(raw)
            if sync:
                os.fsync(file.fileno())

    def read_zarr(_):
        return [np.asarray(a[...]) for _, a in zarr.open_group(group / "-1", mode="r").arrays()]

    write(-1), with_zarr(-1), store.put(make_key(10**6), made)
    ways = {
        "save": lambda n: store.put(make_key(n), made),
        "load": lambda _: store.get(make_key(10**6)),
        "save with zarr": with_zarr,
        "load with zarr": read_zarr,
        "write": lambda n: write(n),
        "write, fsync": lambda n: write(f"{n}s", sync=True),
        "read": lambda _: np.fromfile(f"{plain}-1", np.uint8),
    }
    found = race(benchmark, ways, rounds=10, setup=lambda: next(numbers))
    plainly = {name: amount / found[name].median for name in ("write", "write, fsync", "read")}
    for what, floor in (("save", "write"), ("load", "read")):
        report(
            f"store/{what}, {kind}", found[what], "MB/s", amount=amount,
            reference=("zarr", found[f"{what} with zarr"]),
            floor=(f"a plain {floor}", plainly[floor]),
            benchmark=benchmark, megabytes=amount, with_fsync=plainly["write, fsync"],
        )  # fmt: skip


# -- reading, encoding and storing at once ---------------------------------------------------


class Sleeping:
    """A model on another processor: it takes time, and none of this one's."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.spec = ModelSpec(
            "sleeping", "sleeping", "1", "0" * 64, "none", "none", input_size=TILE,
            capabilities=frozenset({"points"}),
        )  # fmt: skip
        self.made = embedding("SAM", self.spec.key, TILE)

    def encode(self, tiles):
        time.sleep(self.seconds * len(tiles))
        return [self.made for _ in tiles]


def image(latency):
    """Return an image whose store takes so long for each chunk, however many are asked for."""
    import zarr
    from zarr.storage import MemoryStore, WrapperStore

    class Far(WrapperStore):
        async def get(self, key, prototype, byte_range=None):
            if "/c/" in f"/{key}":
                await asyncio.sleep(latency)
            return await super().get(key, prototype, byte_range)

    made = zarr.create_array(MemoryStore(), shape=(SIDE, SIDE), chunks=(CHUNK, CHUNK), dtype="u1")
    made[...] = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    far = zarr.open_array(Far(made.store), mode="r") if latency else made
    return open_source(far, "yx", window=Window((0.0,), (255.0,)))


@pytest.mark.parametrize(
    ("name", "latency", "seconds", "keep"),
    [
        ("slow store", LATENCY, 0.1, False),
        ("slow store, slow encoder", LATENCY, 0.2, False),
        ("slow store, chunks kept", LATENCY, 0.1, True),
        ("fast store", 0.0, 0.1, False),
        ("fast store, fast encoder", 0.0, 0.02, False),
    ],
)
def test_at_once(benchmark, tmp_path, name, latency, seconds, keep):
    source, model, numbers = image(latency), Sleeping(seconds), itertools.count()
    address, made = source.plane(), model.encode(np.zeros((1, TILE, TILE, 3)))[0]
    tiles = list(plan_tiles((SIDE, SIDE), TILE, within=Box.of_shape((SIDE, SIDE))))

    def encoder():
        kept = buffered(source, overlap=TILE) if keep else source
        cache = EmbeddingCache(directory=tmp_path / str(next(numbers)))
        return TileEncoder(kept, model, cache)

    def read(at):
        with at.reading_ahead((address, tile) for tile in tiles):
            for tile in tiles:
                at._read(address, tile)

    def write(at):
        for n in range(len(tiles)):
            at.cache._disk.put(make_key(n, model.spec.key), made)

    def one_by_one(at):
        for tile in tiles:
            key = at._load((address, tile))[1]
            at.cache.put(key, model.encode(np.zeros((1, TILE, TILE, 3)))[0])

    def at_once(at):
        drain(encode_steps(at, address, tiles))
        at.cache.flush()

    ways = {
        "at once": at_once,
        "one by one": one_by_one,
        "read": read,
        "encode": lambda at: [model.encode(np.zeros((1, TILE, TILE, 3))) for _ in tiles],
        "write": write,
    }
    found = race(benchmark, ways, rounds=2, warmups=0, setup=encoder)
    alone = {what: found[what].median for what in ("read", "encode", "write")}
    report(
        f"pipeline/{name}", found["at once"], "s",
        reference=("one by one", found["one by one"]),
        floor=("the slowest part alone", max(alone.values())),
        benchmark=benchmark, tiles=len(tiles), **alone,
    )  # fmt: skip
