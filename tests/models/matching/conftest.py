"""Stand-ins for encoders whose features mean something."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.synthetic import blobs
from napari_ditto.models.matching.dense import unit
from napari_ditto.models.matching.prototypes import Cells
from napari_ditto.models.protocols import Example
from napari_ditto.testing.fakes import PerfectModel, paint_truth
from napari_ditto.testing.matching import MatchingModel, truth_features


def make_cells(count, kinds=3, seed=0, d=8):
    """Return cells of some looks each, the second half of the looks in class 1."""
    rng = np.random.default_rng(seed)
    middles = unit(rng.standard_normal((2 * kinds, d)).astype(np.float32))
    which = np.arange(count) % (2 * kinds)
    noise = 0.05 * rng.standard_normal((count, d))
    shares = np.stack([which < kinds, which >= kinds], axis=1).astype(np.float32)
    features = unit((middles[which] + noise).astype(np.float32))
    return Cells(features, shares, np.arange(count) // 4), middles


@pytest.fixture(scope="session")
def looks():
    return make_cells


@pytest.fixture
def knowing():
    """A model with blurred features of three kinds, and a decoder that knows every object."""
    return MatchingModel(PerfectModel(128, connected=True), truth_features)


@pytest.fixture(scope="session")
def scene():
    """Make a tile of objects of three kinds, and its labels: the kinds 1 to 3."""

    def make(seed, shape=(96, 112)):
        truth = blobs(shape, 18, radius=9, seed=seed)
        return paint_truth(truth)[None] / np.float32(255), np.where(truth > 0, 1 + truth % 3, 0)

    return make


@pytest.fixture
def shown(knowing, scene):
    """Make an example of a scene."""

    def make(seed, weight=1.0):
        tile, labels = scene(seed)
        return Example(knowing.encode(tile)[0], labels, weight)

    return make
