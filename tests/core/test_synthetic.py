"""Synthetic images: repeatable, and their truth is true."""

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import components
from napari_ditto.core.synthetic import Raster, blobs, movie, render, stack, tissue


def test_blobs_are_apart_and_numbered_from_one():
    labels = blobs((200, 300), count=25, seed=3)
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert labels.max() >= 20
    assert components(labels > 0)[1] == labels.max()


def test_tissue_fills_the_plane():
    labels = tissue((60, 80), 20, seed=1)
    assert set(np.unique(labels)) == set(range(1, labels.max() + 1))


def test_render_is_repeatable_and_shows_the_objects():
    labels = blobs((100, 100), seed=5)
    image = render(labels, seed=2)
    assert np.array_equal(image, render(labels, seed=2))
    assert image[labels > 0].mean() > image[labels == 0].mean() + 50


def test_stack_has_cells_over_several_slices():
    image, labels = stack((12, 96, 96), 10, seed=4)
    assert image.shape == labels.shape == (12, 96, 96)
    depth = [(labels == k).any(axis=(1, 2)).sum() for k in np.unique(labels)[1:]]
    assert max(depth) >= 3


def test_movie_keeps_ids_and_knows_mothers():
    film = movie(frames=16, shape=(128, 128), count=4, seed=1)
    assert film.image.shape == film.labels.shape == (16, 128, 128)
    assert film.parents
    for daughter, mother in film.parents.items():
        frames = [np.flatnonzero((film.labels == k).any(axis=(1, 2))) for k in (mother, daughter)]
        assert frames[0].max() + 1 == frames[1].min()


class TestRaster:
    raster = Raster((100_000, 100_000), seed=7)

    def test_blocks_fit_together(self):
        box = Box(54_321, 12_345, 54_321 + 80, 12_345 + 90)
        whole = self.raster.image(box), self.raster.labels(box)
        for draw, expected in zip((self.raster.image, self.raster.labels), whole, strict=True):
            parts = [draw(Box(box.y0, x, box.y1, x + 45)) for x in (box.x0, box.x0 + 45)]
            assert np.array_equal(np.hstack(parts), expected)

    @pytest.mark.parametrize("cell", [(0, 0), (500, 77), (1041, 1041)])
    def test_every_cell_has_its_object(self, cell):
        y, x = (int(v) for v in self.raster.center(*cell))
        label = self.raster.labels(Box(y, x, y + 1, x + 1))[0, 0]
        assert label == cell[0] * 1042 + cell[1] + 1
        around = Box(y - 60, x - 60, y + 60, x + 60).intersect(Box.of_shape(self.raster.shape))
        assert components(self.raster.labels(around) == label)[1] == 1

    def test_levels_show_the_same_objects(self):
        fine = self.raster.labels(Box(4000, 4000, 4400, 4400))
        coarse = self.raster.labels(Box(1000, 1000, 1100, 1100), level=2)
        agree = (np.kron(coarse, np.ones((4, 4), int)) == fine).mean()
        assert agree > 0.95

    def test_levels_end_at_512(self):
        assert self.raster.level_shape(self.raster.levels - 1) == (391, 391)
        assert Raster((300, 200)).levels == 1
