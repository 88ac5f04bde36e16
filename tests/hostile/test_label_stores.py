"""Label images and caches that mean harm are refused before their first chunk is read."""

from __future__ import annotations

import os
import shutil
import struct

import numcodecs
import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.diskstore import DONE, DiskStore
from napari_ditto.data.protocols import LabelDelta
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import DittoError
from tests.hostile.stores import edited
from tests.hostile.test_stores import tree

PLANE, BOX = PlaneAddress("y", "x"), Box(0, 0, 64, 64)


def hostile_pickle(folder):
    edited(folder / "0", "zarr.json", codecs=[{"name": "bytes"}, {"name": "numcodecs.pickle"}])


def hostile_chunk_size(folder):
    edited(folder / "0", "zarr.json", chunk_grid__configuration__chunk_shape=[2**20, 2**20])


def hostile_path(folder):
    file = folder / "zarr.json"
    file.write_text(file.read_text().replace('"path": "0"', '"path": "../secret"'))


def hostile_level(folder):
    shutil.move(folder / "0", folder.parent / "secret")
    (folder / "0").symlink_to(folder.parent / "secret", target_is_directory=True)


def hostile_pipe(folder):
    (folder / "0" / "zarr.json").unlink()
    os.mkfifo(folder / "0" / "zarr.json")


def first_chunk(folder):
    return next(p for p in sorted((folder / "0" / "c").rglob("*")) if p.is_file())


def hostile_chunk_link(folder):
    chunk = first_chunk(folder)
    chunk.rename(folder.parent / "secret")
    chunk.symlink_to(folder.parent / "secret")


def hostile_chunk_pipe(folder):
    chunk = first_chunk(folder)
    chunk.unlink()
    os.mkfifo(chunk)


def hostile_chunk_device(folder):
    chunk = first_chunk(folder)
    chunk.unlink()
    chunk.symlink_to("/dev/zero")


def hostile_chunk_folder(folder):
    shutil.move(folder / "0" / "c", folder.parent / "c")
    (folder / "0" / "c").symlink_to(folder.parent / "c", target_is_directory=True)


def hostile_bomb(folder):
    import google_crc32c

    packed = numcodecs.Blosc().encode(np.zeros(64 << 20, "u1"))
    check = struct.pack("<I", google_crc32c.value(packed))
    first_chunk(folder).write_bytes(packed + check)


HOSTILE = [make for name, make in sorted(globals().items()) if name.startswith("hostile_")]


def draw(store, box, label):
    old = store.read(PLANE, box)
    store.apply(LabelDelta(PLANE, box, old, np.full_like(old, label), label))


@pytest.fixture
def labels(tmp_path):
    """A sound label image of one object."""
    path = tmp_path / "labels.zarr"
    store = PyramidLabels.create(path, (64, 64), ("y", "x"))
    draw(store, Box(8, 8, 24, 24), 1)
    assert PyramidLabels.open(path).read(PLANE, BOX).max() == 1
    return path


def read_and_write(path):
    store = PyramidLabels.open(path)
    draw(store, Box(2, 2, 30, 30), 2)
    return store.read(PLANE, BOX)


@pytest.mark.parametrize("spoil", HOSTILE, ids=lambda make: make.__name__)
def test_hostile_labels_are_refused(labels, tmp_path, spoil):
    spoil(labels)
    before = tree(tmp_path)
    with pytest.raises(DittoError) as caught:
        read_and_write(labels)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_a_pipe_in_the_cache_is_a_miss(tmp_path):
    from tests.data.test_embeddings import make_embedding, make_key

    store = DiskStore(tmp_path, 1 << 20)
    store.put(make_key(0), make_embedding(0))
    done = next(tmp_path.rglob(DONE))
    done.unlink()
    os.mkfifo(done)
    assert store.get(make_key(0)) is None
