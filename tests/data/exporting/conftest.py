"""Labels with all that a format may stumble over, and what is known of them."""

import numpy as np
import pytest

from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable

CLASSES = (ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, 'a "b", é', "#56b4e9"))


def plane():
    """A disc with a hole, two pieces under one id, one pixel, touching objects, a large id."""
    y, x = np.mgrid[:70, :90]
    labels = np.zeros((70, 90), np.uint32)
    away = np.hypot(y - 30, x - 30)
    labels[(away < 20) & (away > 8)] = 1
    labels[5:9, 70:80] = labels[20:30, 60:66] = 2
    labels[69, 89] = 3
    labels[40:50, 60:70], labels[40:50, 70:80] = 4, 60_000
    return labels


@pytest.fixture
def labels():
    return plane()


@pytest.fixture
def table():
    records = {1: ObjectRecord(1, 1, 0.75), 2: ObjectRecord(2, 2, 0.5), 4: ObjectRecord(4)}
    return ObjectTable(records, CLASSES)
