"""Outlines are exact, valid, and lead back to the mask they came from."""

import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_ditto.core.geometry import Box
from napari_ditto.core.outlines import bounds, fill, trace
from napari_ditto.core.simplify import simplify

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))
RING = np.array([[0, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 1, 1]], bool)
"""Closes by a corner: its hole touches the outside in one point."""
CHECKS = np.indices((5, 6)).sum(axis=0) % 2 == 0


few = settings(max_examples=2000 if os.environ.get("DITTO_STRESS") else 40)


def rings_of(outlines):
    return [ring for outline in outlines for ring in outline.rings]


def polygons(outlines):
    shapely = pytest.importorskip("shapely")
    return shapely.MultiPolygon(
        [(o.shell[:, ::-1], [h[:, ::-1] for h in o.holes]) for o in outlines]
    )


@few
@given(masks, st.integers(0, 5), st.integers(0, 5))
@example(RING, 0, 0)
@example(~RING, 3, 4)
@example(CHECKS, 0, 0)
def test_filled_outlines_are_the_mask(mask, y, x):
    box = Box.of_shape(mask.shape).shift(y, x)
    outlines = trace(mask, (y, x))
    np.testing.assert_array_equal(fill(rings_of(outlines), box), mask)
    wider = box.grow(2)
    assert fill(rings_of(outlines), wider).sum() == mask.sum()


@few
@given(masks)
@example(RING)
@example(CHECKS)
def test_every_polygon_is_valid_and_one_piece(mask):
    from skimage.measure import label

    outlines = trace(mask)
    found = polygons(outlines)
    assert found.is_valid
    assert found.area == mask.sum()
    assert len(outlines) == label(mask, connectivity=1).max()
    assert all(len(np.unique(ring, axis=0)) == len(ring) for ring in rings_of(outlines))


@few
@given(masks)
def test_another_program_fills_them_alike(mask):
    features = pytest.importorskip("rasterio.features")
    found = polygons(trace(mask))
    theirs = (
        features.rasterize([found], out_shape=mask.shape) if mask.any() else np.zeros(mask.shape)
    )
    np.testing.assert_array_equal(theirs.astype(bool), mask)


def test_vertices_are_where_the_outline_turns():
    mask = np.zeros((6, 7), bool)
    mask[1:5, 2:6] = True
    mask[2:4, 3:5] = False
    (outline,) = trace(mask)
    assert outline.shell.tolist() == [[1, 2], [1, 6], [5, 6], [5, 2]]
    assert sorted(outline.holes[0].tolist()) == [[2, 3], [2, 5], [4, 3], [4, 5]]
    assert bounds(outline.rings) == (1, 2, 5, 6)


def test_a_slanted_polygon_is_filled_as_skimage_does_it():
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(0)
    for _ in range(50):
        ring = rng.uniform(-5, 45, (rng.integers(3, 9), 2))
        mine = fill([ring], Box(0, 0, 40, 40))
        np.testing.assert_array_equal(mine, polygon2mask((40, 40), ring - 0.5))


def blobs(seed):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(np.random.default_rng(seed).random((60, 60)), 3) > 0.5


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [0.5, 1, 3])
def test_simplified_outlines_are_valid_and_near(seed, tolerance):
    exact = trace(blobs(seed))
    for outline in exact:
        simple = simplify(outline, tolerance)
        assert polygons([simple]).is_valid
        gap = polygons([outline]).boundary.hausdorff_distance(polygons([simple]).boundary)
        small_holes = len(simple.holes) < len(outline.holes)
        assert gap <= tolerance + 1e-9 or small_holes
        assert len(simple.shell) <= len(outline.shell)


@few
@given(masks, st.floats(0, 4))
def test_a_simplified_outline_never_crosses_itself(mask, tolerance):
    assert all(polygons([simplify(o, tolerance)]).is_valid for o in trace(mask))


def test_stairs_go_and_squares_stay():
    stairs = np.tri(40, dtype=bool)
    assert len(simplify(trace(stairs)[0], 1).shell) <= 4
    square = np.ones((9, 9), bool)
    assert len(simplify(trace(square)[0], 1).shell) == 4
