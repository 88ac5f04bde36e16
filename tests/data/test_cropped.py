"""A box of an image as an image of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.data.cropped import cropped
from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.errors import SourceError
from napari_ditto.testing.contracts.source import SourceCase, SourceContract
from tests.data.counting import counting_zarr

BOX = Box(7, 12, 40, 60)


def stack(channels: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 4000, (3, 50, 70, channels)).astype(np.uint16)


class Cropped(SourceContract):
    hold: bool
    channels: int

    @pytest.fixture
    def case(self) -> SourceCase:
        raw = stack(self.channels)
        source = open_source(raw, axes="zyxc", window=(0, 4000))
        crop = cropped(source, source.plane({"z": 1}), BOX, hold=self.hold)
        return SourceCase(crop, raw[:, BOX.y0 : BOX.y1, BOX.x0 : BOX.x1])


class TestCropped(Cropped):
    hold, channels = False, 2


class TestHeld(Cropped):
    hold, channels = True, 1


class TestHeldInColour(Cropped):
    hold, channels = True, 3


@pytest.mark.parametrize("hold", [False, True])
def test_axes_that_are_shown_may_be_any(hold: bool) -> None:
    raw = stack(1)[..., 0]
    source = open_source(raw, axes="zyx", window=(0, 4000))
    address = source.plane({"y": 30}, ("x", "z"))
    crop = cropped(source, address, Box(10, 1, 25, 3), hold=hold)
    assert crop.shape == (2, 50, 15)
    shown = crop.read(address, Box.of_shape((15, 2)))
    np.testing.assert_array_equal(shown, source.read(address, Box(10, 1, 25, 3)))


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_held_is_given_as_it_is(hold: bool, channels: int) -> None:
    source = open_source(stack(channels), axes="zyxc", window=(0, 4000))
    address = source.plane({"z": 1})
    held = cropped(source, address, BOX, hold=hold).pixels(address)
    assert held.shape == (*BOX.shape, 1 if hold and channels == 1 else 3)
    shown = source.read(address, BOX)
    np.testing.assert_array_equal(np.broadcast_to(held, shown.shape), shown)


def test_it_is_like_its_parent_in_all_else() -> None:
    source = open_source(stack(3), axes="zyxc", scale=(2.0, 0.5, 0.5), name="cells")
    crop = cropped(source, source.plane(), BOX)
    assert (crop.name, crop.scale, crop.dtype) == ("cells", (2.0, 0.5, 0.5), np.uint16)
    assert crop.window == source.window
    assert crop.levels == 1
    parts = compose_sources([stack(1)[..., 0], stack(1)[..., 0]], axes="zyx")
    assert not hasattr(cropped(parts, parts.plane(), BOX), "dtype")


@pytest.mark.parametrize("box", [Box(0, 0, 51, 10), Box(-1, 0, 5, 5), Box(3, 3, 3, 9)])
def test_a_box_that_is_none_is_refused(box: Box) -> None:
    source = open_source(stack(1), axes="zyxc")
    with pytest.raises(SourceError):
        cropped(source, source.plane(), box)


def test_held_pixels_are_read_once_and_are_nobodys_to_change() -> None:
    array, store = counting_zarr((2, 256, 256), (1, 64, 64))
    array[:] = np.random.default_rng(0).integers(0, 9, array.shape)
    source = open_source(array, axes="zyx", window=(0, 9))
    store.reads.clear()
    crop = cropped(source, source.plane(), Box(64, 64, 192, 192), hold=True)
    boxes = [Box(y, x, y + 50, x + 50) for y in range(0, 78, 11) for x in range(0, 78, 11)]
    with ThreadPoolExecutor(4) as pool:
        tiles = list(pool.map(lambda box: crop.read(crop.plane(), box), boxes))
    for box, tile in zip(boxes, tiles, strict=True):
        np.testing.assert_array_equal(tile, source.read(source.plane(), box.shift(64, 64)))
        tile[...] = 5
    store.reads.clear()
    assert crop.read(crop.plane(), boxes[0]).max() <= 1
    assert not store.reads
    other = source.plane({"z": 1})
    np.testing.assert_array_equal(
        crop.read(other, boxes[3]), source.read(other, boxes[3].shift(64, 64))
    )
    crop = cropped(source, source.plane(), Box(64, 64, 192, 192), hold=True)
    store.reads.clear()
    crop.read(crop.plane(), boxes[0])
    crop.read(crop.plane(), boxes[-1])
    assert sum(store.reads.values()) == 4
