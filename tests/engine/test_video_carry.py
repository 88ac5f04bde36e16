"""What is handed on comes back for each object, and nothing for others."""

from __future__ import annotations

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.tiling import Tile
from napari_ditto.engine.video_carry import Handed, pack, unpack

TILE = Tile(1, Box(32, 0, 96, 64))


def handed(seed, past):
    rng = np.random.default_rng(seed)
    memory = {
        "features": rng.random((4, 2, 2)).astype(np.float16),
        "pointer": rng.random(8).astype(np.float32),
    }
    older = tuple((d, {"pointer": rng.random(8).astype(np.float32)}) for d in past)
    return Handed(TILE, memory, older)


def test_there_and_back():
    told = {7: handed(0, [1, 2]), 4294967295: handed(1, []), 3: handed(2, [5])}
    carry = pack(told, ["pointer"])
    assert all(isinstance(array, np.ndarray) for array in carry.values())
    for label, expected in told.items():
        found = unpack(carry, label)
        assert found is not None
        assert found.tile == TILE
        for name, array in expected.memory.items():
            assert np.array_equal(found.memory[name], array)
            assert found.memory[name].dtype == array.dtype
        assert [d for d, _ in found.past] == [d for d, _ in expected.past]
        for (_, mine), (_, theirs) in zip(found.past, expected.past, strict=True):
            assert mine.keys() == theirs.keys()
            assert np.array_equal(mine["pointer"], theirs["pointer"])
    assert unpack(carry, 8) is None


def test_nothing_and_no_past():
    assert pack({}, ["pointer"]) == {}
    assert unpack({}, 7) is None
    found = unpack(pack({7: handed(0, [])}, ["pointer"]), 7)
    assert found is not None
    assert found.past == ()
