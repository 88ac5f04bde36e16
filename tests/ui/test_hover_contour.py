"""The contour's layer lies on the image, wherever and however that lies; no window is needed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.ui.hover.contour import Contour
from napari_ditto.ui.hover.raster import BRIGHT, DARK
from napari_ditto.ui.preview import OWN

SHAPE = (5, 60, 80)
BOX = Box(20, 30, 32, 50)


def disc():
    y, x = np.ogrid[: BOX.height, : BOX.width]
    return (y - 5.5) ** 2 / 36 + (x - 9.5) ** 2 / 100 <= 1


def pixels(viewer, contour, image, value):
    """Where cells of a value lie, in pixels of the image."""
    layer = contour.layer
    at = np.argwhere(np.asarray(layer.data) == value)
    return np.array([image.world_to_data(layer.data_to_world(cell)) for cell in at])


PLACES = {
    "plain": {},
    "scaled": {"scale": (4, 0.5, 0.5), "translate": (1, -7, 3)},
    "turned": {"rotate": 30, "scale": (1, 2, 3)},
}


@pytest.mark.parametrize("zoom", [0.4, 1.0, 9.0])
@pytest.mark.parametrize("place", PLACES)
def test_bright_cells_lie_on_the_rim_of_the_mask(place, zoom):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros(SHAPE), **PLACES[place])
    viewer.scene.camera.zoom = zoom
    contour = Contour(viewer)
    mask = disc()
    contour.show(image, mask, BOX, PlaneAddress("y", "x", (("z", 3),)))
    bright = pixels(viewer, contour, image, BRIGHT)
    np.testing.assert_allclose(bright[:, 0], 3, atol=1e-6)
    rows, columns = (np.floor(bright[:, i] + 0.5).astype(int) for i in (1, 2))
    assert mask[rows - BOX.y0, columns - BOX.x0].all()
    dark = np.floor(pixels(viewer, contour, image, DARK)[:, 1:] + 0.5).astype(int)
    near = Box(BOX.y0 - 20, BOX.x0 - 20, BOX.y1 + 20, BOX.x1 + 20)
    assert all(near.contains(y, x) for y, x in dark)
    assert len(bright)


def test_other_axes_may_be_on_show():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 7, 80)))
    contour = Contour(viewer)
    contour.show(image, disc(), BOX, PlaneAddress("z", "x", (("y", 4),)))
    bright = pixels(viewer, contour, image, BRIGHT)
    np.testing.assert_allclose(bright[:, 1], 4)
    rows, columns = (np.floor(bright[:, i] + 0.5).astype(int) for i in (0, 2))
    assert disc()[rows - BOX.y0, columns - BOX.x0].all()
    flat = Box(BOX.x0, BOX.y0, BOX.x1, BOX.y1)
    contour.show(image, disc().T, flat, PlaneAddress("x", "z", (("y", 4),)))
    bright = pixels(viewer, contour, image, BRIGHT)
    rows, columns = (np.floor(bright[:, i] + 0.5).astype(int) for i in (0, 2))
    assert disc()[rows - BOX.y0, columns - BOX.x0].all()


def test_the_window_is_moved_only_where_it_must_and_never_widens_the_view():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2000, 3000)))
    viewer.scene.camera.zoom = 1.9
    contour, address = Contour(viewer), PlaneAddress()
    before = viewer.dims.range
    contour.prepare(image, address)
    layer = contour.layer
    for y, x in ((0, 0), (1988, 2980), (700, 800)):
        contour.show(image, disc(), Box(y, x, y + 12, x + 20), address)
        assert (layer.data == BRIGHT).any()
    data, place = layer.data, tuple(layer.translate)
    contour.show(image, disc(), Box(720, 810, 732, 830), address)
    assert layer.data is data
    assert tuple(layer.translate) == place
    bright = pixels(viewer, contour, image, BRIGHT)
    assert bright.min(axis=0).tolist() == [720, 810], "the one before was wiped out"
    assert viewer.dims.range == before
    contour.show(image, np.ones((900, 1000), bool), Box(100, 100, 1000, 1100), address)
    assert (layer.data == BRIGHT).any()
    contour.hide()
    assert not layer.data.any()


def test_the_layer_is_quiet_and_comes_back_when_deleted():
    viewer = ViewerModel()
    image, points = viewer.add_image(np.zeros((60, 80))), viewer.add_points()
    contour = Contour(viewer)
    contour.show(image, disc(), BOX, PlaneAddress())
    assert viewer.layers.selection.active is points
    assert list(viewer.layers).index(contour.layer) == 1
    assert OWN in contour.layer.metadata
    viewer.layers.remove(contour.layer)
    assert contour.layer is None
    contour.hide()
    contour.show(image, disc(), BOX, PlaneAddress())
    assert (contour.layer.data == BRIGHT).any()
    contour.remove()
    assert len(viewer.layers) == 2
    contour.remove()
