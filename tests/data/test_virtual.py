"""The virtual raster: any size for nothing, chunks only where looked at."""

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.synthetic import Raster
from napari_ditto.data.source import open_source
from napari_ditto.data.virtual import VirtualArray, virtual_raster


def test_levels_halve_and_hold_what_the_raster_draws():
    levels = virtual_raster(5000, seed=2)
    assert [level.shape for level in levels] == [
        (5000, 5000),
        (2500, 2500),
        (1250, 1250),
        (625, 625),
        (313, 313),
    ]
    box = Box(1000, 2100, 1100, 2250)
    raster = Raster((5000, 5000), seed=2)
    assert np.array_equal(levels[0][box.slices].compute(), raster.image(box))
    assert np.array_equal(
        virtual_raster(5000, 2, truth=True)[0][box.slices].compute(), raster.labels(box)
    )


def test_a_tile_computes_only_the_chunks_it_touches(monkeypatch):
    drawn = []
    draw = Raster.image
    monkeypatch.setattr(
        Raster,
        "image",
        lambda self, box, level=0: (drawn.append((box, level)), draw(self, box, level))[1],
    )
    source = open_source(virtual_raster(60_000), axes="yx", window=(0, 255))
    tile = Box(30_000, 20_000, 30_512, 20_512)
    assert source.read(source.plane(), tile).shape == (512, 512, 3)
    assert len(drawn) == 4
    assert all(level == 0 and not box.intersect(tile).is_empty for box, level in drawn)


def test_slicing_follows_numpy():
    array = VirtualArray(Raster((300, 300)))
    assert np.array_equal(array[10:50:3, 20:90], array[0:300, 0:300][10:50:3, 20:90])
