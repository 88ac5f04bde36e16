"""Image layers as sources, and the plane on show, without a viewer window."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.errors import PromptError, SourceError
from napari_ditto.ui.adapters import (
    axis_names,
    describe_window,
    plane_from_viewer,
    source_axes,
    source_from_layer,
)

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 1000, (5, 40, 60)).astype(np.uint16)


def pixels(source, **index):
    address = source.plane(index)
    return source.read(address, Box.of_shape(source.plane_shape(address)))


@pytest.mark.parametrize(
    "data",
    [
        STACK,
        STACK.astype(">u2"),
        da.from_array(STACK, chunks=(1, 20, 20)),
        zarr.array(STACK, chunks=(1, 20, 20)),
        STACK.astype(np.float32),
    ],
    ids=["numpy", "big-endian", "dask", "zarr", "float"],
)
def test_any_array_gives_the_same_pixels(data):
    source = source_from_layer(Image(data, name="a"), Window((0.0,), (1000.0,)))
    assert (source.axes, source.shape, source.name) == (("z", "y", "x"), (5, 40, 60), "a")
    np.testing.assert_allclose(pixels(source, z=3)[..., 0], STACK[3] / 1000, atol=1e-6)


def test_bool_and_rgb_and_rgba():
    assert pixels(source_from_layer(Image(STACK[0] > 500))).max() == 1
    colors = RNG.integers(0, 256, (40, 60, 4), dtype=np.uint8)
    for layer in (Image(colors), Image(colors[..., :3])):
        source = source_from_layer(layer, "contrast")
        assert (source.axes, source.channels >= 3) == (("y", "x"), True)
        np.testing.assert_allclose(pixels(source), colors[..., :3] / 255, atol=1e-6)


def test_multiscale_is_read_at_its_finest_level():
    layer = Image([STACK, STACK[:, ::2, ::2]], multiscale=True)
    source = source_from_layer(layer, Window((0.0,), (1000.0,)))
    assert source.shape == STACK.shape
    np.testing.assert_allclose(pixels(source, z=1)[..., 0], STACK[1] / 1000, atol=1e-6)


def test_three_layers_are_three_channels():
    layers = [Image(STACK // k, name=f"c{k}", scale=(2, 1, 1)) for k in (1, 2, 3)]
    source = source_from_layer(layers, Window((0.0,) * 3, (1000.0,) * 3))
    assert source.channels == 3
    expected = np.stack([STACK[2] // k for k in (1, 2, 3)], axis=-1) / 1000
    np.testing.assert_allclose(pixels(source, z=2), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Image(STACK[:, :30], name="b"), "different shape"),
        (Image(STACK, name="b", translate=(0, 5, 0)), "do not lie on each other"),
        (Image(np.zeros((40, 60, 3), np.uint8), name="b"), "RGB"),
    ],
)
def test_layers_that_do_not_fit_are_refused(other, message):
    with pytest.raises(SourceError, match=message):
        source_from_layer([Image(STACK, name="a"), other])


def test_four_layers_are_too_many():
    with pytest.raises(SourceError, match="4 image layers"):
        source_from_layer([Image(STACK)] * 4)


def test_a_labelled_first_axis_is_channels():
    layer = Image(STACK[:3], axis_labels=("c", "y", "x"))
    source = source_from_layer(layer)
    assert (source.axes, source.channels, source_axes(layer)) == (("y", "x"), 3, ("y", "x"))


def test_many_channels_are_an_ordinary_axis():
    layer = Image(STACK, axis_labels=("c", "y", "x"))
    assert axis_names(layer) == source_axes(layer) == ("channel", "y", "x")
    assert source_from_layer(layer).shape == STACK.shape


@pytest.mark.parametrize(
    ("labels", "names"),
    [(None, ("z", "y", "x")), (("T", "rows", "cols"), ("t", "rows", "cols"))],
)
def test_axis_names(labels, names):
    assert axis_names(Image(STACK, axis_labels=labels)) == names


def test_repeated_names_say_nothing():
    assert axis_names(Image(STACK, axis_labels=("y", "y", "x"))) == ("z", "y", "x")


def test_the_contrast_limits_are_copied_not_followed():
    layer = Image(STACK[0], contrast_limits=(100, 300))
    source = source_from_layer(layer, "contrast")
    before = pixels(source)
    layer.contrast_limits = (0, 1000)
    np.testing.assert_array_equal(pixels(source), before)
    assert describe_window(source.window, "contrast") == "100 to 300 (copied from the layer)"
    assert describe_window(Window((0,), (1,)), Window((0,), (1,))) == "0 to 1 (given)"


def shown(*layers, **dims):
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(layer)
    for name, value in dims.items():
        setattr(viewer.dims, name, value)
    return plane_from_viewer(viewer.dims, layers[0])


@pytest.mark.parametrize(
    ("order", "step", "expected"),
    [
        ((0, 1, 2), (3, 0, 0), PlaneAddress("y", "x", (("z", 3),))),
        ((0, 2, 1), (3, 0, 0), PlaneAddress("x", "y", (("z", 3),))),
        ((1, 0, 2), (0, 7, 0), PlaneAddress("z", "x", (("y", 7),))),
        ((2, 1, 0), (0, 0, 9), PlaneAddress("y", "z", (("x", 9),))),
    ],
)
def test_any_two_axes_in_any_order(order, step, expected):
    assert shown(Image(STACK), order=order, current_step=step) == expected


def test_scale_and_translate_do_not_change_the_index():
    layer = Image(STACK, scale=(2.5, 0.1, 0.1), translate=(-7, 100, 3))
    assert shown(layer, current_step=(4, 0, 0)).index == {"z": 4}


def test_the_index_is_the_one_that_napari_draws():
    viewer, layer = ViewerModel(), Image(np.arange(5.0)[:, None, None] * np.ones((5, 8, 8)))
    layer.scale, layer.translate = (0.7, 1, 1), (0.3, 0, 0)
    viewer.add_layer(layer)
    viewer.add_image(np.zeros((30, 8, 8)), scale=(0.2, 1, 1))
    for step in range(20):
        viewer.dims.set_current_step(0, step)
        try:
            index = plane_from_viewer(viewer.dims, layer).index["z"]
        except PromptError:
            continue
        assert layer.get_value((viewer.dims.point[0], 3, 3), world=True) == index


def test_a_flat_image_in_a_stack():
    flat, stack = Image(STACK[0]), Image(STACK)
    assert shown(flat, stack, current_step=(3, 0, 0)) == PlaneAddress("y", "x", ())


def test_a_flat_image_seen_from_the_side_is_refused():
    with pytest.raises(PromptError, match="not axes of the image"):
        shown(Image(STACK[0]), Image(STACK), order=(1, 0, 2))


def test_outside_the_image_is_said_clearly():
    short, long = Image(STACK, name="short"), Image(np.zeros((20, 40, 60)))
    with pytest.raises(PromptError, match=r"z=12 is outside .* z from 0 to 4 .*'short'"):
        shown(short, long, current_step=(12, 0, 0))


def test_three_d_view_is_refused():
    with pytest.raises(PromptError, match="Switch to 2D view"):
        shown(Image(STACK), ndisplay=3)


def test_channels_have_no_place_in_the_address():
    layer = Image(STACK[:2], axis_labels=("c", "y", "x"))
    assert shown(layer, current_step=(1, 0, 0)) == PlaneAddress("y", "x", ())
