"""Finding one object on a plane too large to be read whole."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import label_extent as module
from napari_ditto.data.label_extent import label_extent
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.errors import LabelsError

PLANE = PlaneAddress("y", "x")
SHAPE = (1000, 1200)


class Counting(ArrayLabels):
    """Notes how much is read."""

    largest = 0

    def read(self, address, box):
        self.largest = max(self.largest, box.area)
        return super().read(address, box)


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(module, "PLANE_LIMIT", 1000)
    store = Counting(np.zeros(SHAPE, np.uint16), "yx")
    store.data[500:520, 100:900] = 1
    store.data[0:10, 1190:1200] = 2
    store.data[990:1000, 0:10] = 3
    return store


def found(store, label, y, x):
    return label_extent(store, PLANE, SHAPE, label, Box(y, x, y + 1, x + 1))


def test_a_long_object_is_followed_to_its_ends(store):
    assert found(store, 1, 510, 500) == Box(500, 100, 520, 900)
    assert store.largest < 1000 * 1200 / 2


def test_objects_at_the_edges_of_the_plane(store):
    assert found(store, 2, 5, 1195) == Box(0, 1190, 10, 1200)
    assert found(store, 3, 995, 5) == Box(990, 0, 1000, 10)


def test_what_is_not_near_is_looked_for_everywhere(store):
    assert found(store, 3, 5, 1195) == Box(990, 0, 1000, 10)
    assert found(store, 7, 5, 1195).is_empty


def test_too_large_an_object_is_one_line(store, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 100_000)
    with pytest.raises(LabelsError, match="label 1 covers too much"):
        found(store, 1, 510, 500)
