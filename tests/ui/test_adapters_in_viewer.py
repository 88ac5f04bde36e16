"""The adapters on what a plugin really gets: proxied viewers and layers, public names alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.ui import adapters
from napari_ditto.ui.keymap import bind

pytestmark = [pytest.mark.gui, pytest.mark.once]

STACK = np.random.default_rng(0).integers(0, 255, (4, 64, 80), dtype=np.uint8)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    placed = {"scale": (2, 0.5, 0.5), "translate": (0, 7, 9), "units": ("um",) * 3}
    viewer.add_image([STACK, STACK[:, ::2, ::2]], multiscale=True, name="im", **placed)
    viewer.dims.set_current_step(0, 2)
    return viewer


def test_image_and_plane(viewer):
    image = viewer.layers["im"]
    source = adapters.source_from_layer(image, Window((0.0,), (255.0,)))
    plane = adapters.plane_from_viewer(viewer.dims, image)
    assert plane == PlaneAddress("y", "x", (("z", 2),))
    read = source.read(plane, Box(0, 0, 64, 80))[..., 0]
    np.testing.assert_allclose(read, STACK[2] / 255, atol=1e-6)


def test_prompts_from_layers_that_the_user_made(viewer):
    image = viewer.layers["im"]
    clicked = viewer.layers["im"].data_to_world((2, 10, 20))
    viewer.add_points([clicked], units=("um",) * 3)
    viewer.add_shapes(ndim=3, units=("um",) * 3)
    corners = [(2, 5, 5), (2, 5, 30), (2, 25, 30), (2, 25, 5)]
    viewer.layers[-1].add(np.array([image.data_to_world(c) for c in corners]))
    plane = adapters.plane_from_viewer(viewer.dims, image)
    found = adapters.collect_prompts(list(viewer.layers)[1:], image, plane, viewer.dims)
    (point,) = found.prompts.points
    box = found.prompts.box
    np.testing.assert_allclose((point.y, point.x), (10, 20))
    np.testing.assert_allclose((box.y0, box.x0, box.y1, box.x1), (5, 5, 25, 30), atol=1e-4)
    assert found.notes == ()


def test_our_layers_lie_on_the_image_and_toggle(viewer):
    image = viewer.layers["im"]
    for make in (adapters.new_points_layer, adapters.new_shapes_layer):
        viewer.layers.append(make(image))
        layer = viewer.layers[-1]
        unbind = bind(layer, {"toggle_sign": lambda layer=layer: adapters.toggle_sign(layer)})
        np.testing.assert_allclose(adapters.data_to_world(layer), adapters.data_to_world(image))
        assert adapters.toggle_sign(layer) is False
        assert not adapters.next_is_positive(layer)
        unbind()


def test_labels_are_written_and_shown(viewer):
    image = viewer.layers["im"]
    source = adapters.source_from_layer(image)
    viewer.layers.append(adapters.new_labels_layer(image, source))
    layer = viewer.layers[-1]
    store = adapters.label_store_for(layer, source, image)
    plane = adapters.plane_from_viewer(viewer.dims, image)
    store.write(plane, Box(10, 10, 20, 20), np.ones((10, 10), bool), 5)
    adapters.refresh_labels(layer)
    assert layer.get_value(image.data_to_world((2, 15, 15)), world=True) == 5
    layer.selected_label = 5
    found = adapters.collect_prompts([layer], image, plane, viewer.dims)
    assert found.prompts.mask.mask.sum() == 100
