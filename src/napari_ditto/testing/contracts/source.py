"""What every :class:`~napari_ditto.data.protocols.Source` must do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import Source
from napari_ditto.errors import SourceError


@dataclass(frozen=True, eq=False)
class SourceCase:
    """A source and what it should hold.

    Attributes
    ----------
    source : Source
        Under test.
    raw : ndarray, shape ``(*source.shape, source.channels)``
        The raw pixels of level 0.
    """

    source: Source
    raw: NDArray[Any]

    def plane(self, address: PlaneAddress) -> NDArray[Any]:
        """Return the raw pixels of a plane, shape (h, w, channels)."""
        axes = self.source.axes
        index = tuple(address.index.get(name, slice(None)) for name in axes)
        plane = self.raw[index]
        return (
            plane
            if axes.index(address.rows) < axes.index(address.columns)
            else plane.swapaxes(0, 1)
        )

    def expected(self, address: PlaneAddress, box: Box) -> NDArray[np.float32]:
        """Return what reading a box of level 0 must give."""
        pixels = self.source.window.apply(self.plane(address)[box.slices])
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.pad(pixels, ((0, 0), (0, 0), (0, 3 - pixels.shape[2])))


class SourceContract:
    """Inherit, and give a fixture ``case`` that returns a :class:`SourceCase`."""

    @pytest.fixture
    def case(self) -> SourceCase:
        """Return the source under test with its truth."""
        raise NotImplementedError

    def test_it_is_a_source_with_consistent_axes(self, case: SourceCase) -> None:
        source = case.source
        assert isinstance(source, Source)
        assert (*source.shape, source.channels) == case.raw.shape
        assert len(set(source.axes)) == len(source.axes) == len(source.shape) >= 2
        assert 1 <= source.channels <= 3
        assert source.name

    def test_default_plane_shows_the_last_two_axes_at_index_0(self, case: SourceCase) -> None:
        address = case.source.plane()
        assert (address.rows, address.columns) == case.source.axes[-2:]
        assert set(address.index.values()) <= {0}
        assert case.source.plane_shape(address) == case.source.shape[-2:]

    def test_planes_that_do_not_exist_are_refused(self, case: SourceCase) -> None:
        source = case.source
        rows, columns = source.axes[-2:]
        for index, displayed in (
            ({"nowhere": 0}, None),
            ({rows: 0}, None),
            (None, (rows, rows)),
            (None, (rows, "nowhere")),
        ):
            with pytest.raises(SourceError):
                source.plane(index, displayed)
        for name, size in zip(source.axes[:-2], source.shape[:-2], strict=True):
            for i in (-1, size):
                with pytest.raises(SourceError, match=name):
                    source.plane({name: i})
        with pytest.raises(SourceError):
            source.plane_shape(PlaneAddress("nowhere", columns))

    def test_any_two_axes_read_as_the_truth(self, case: SourceCase) -> None:
        source, rng = case.source, np.random.default_rng(0)
        for displayed in permutations(source.axes, 2):
            index = {
                name: int(rng.integers(size))
                for name, size in zip(source.axes, source.shape, strict=True)
                if name not in displayed
            }
            address = source.plane(index, displayed)
            for box in _boxes(source.plane_shape(address), rng):
                pixels = source.read(address, box)
                assert pixels.dtype == np.float32
                np.testing.assert_allclose(
                    pixels, case.expected(address, box), rtol=1e-5, atol=1e-6
                )

    def test_reads_outside_the_plane_are_refused(self, case: SourceCase) -> None:
        source, address = case.source, case.source.plane()
        height, width = source.plane_shape(address)
        for box in (Box(-1, 0, 1, 1), Box(0, 0, height + 1, 1), Box(0, width, 1, width + 1)):
            with pytest.raises(SourceError):
                source.read(address, box)
        for level in (-1, source.levels):
            with pytest.raises(SourceError):
                source.read(address, Box(0, 0, 1, 1), level)

    def test_an_empty_box_is_an_empty_image(self, case: SourceCase) -> None:
        assert case.source.read(case.source.plane(), Box(1, 1, 1, 2)).shape == (0, 1, 3)

    def test_levels_shrink_by_their_factors(self, case: SourceCase) -> None:
        source, address = case.source, case.source.plane()
        sides = np.array([source.plane_shape(address, i) for i in range(source.levels)])
        factors = np.array([source.factor(address, i) for i in range(source.levels)])
        assert factors[0].tolist() == [1, 1]
        assert (np.diff(factors, axis=0) >= 0).all()
        assert (np.abs(sides[0] / factors - sides) <= 1).all()
        assert (sides >= 1).all()

    def test_every_level_reads_in_range(self, case: SourceCase) -> None:
        source, address = case.source, case.source.plane()
        for level in range(source.levels):
            height, width = source.plane_shape(address, level)
            box = Box(0, 0, min(height, 64), min(width, 64))
            pixels = source.read(address, box, level)
            assert pixels.shape == (*box.shape, 3)
            assert pixels.dtype == np.float32
            assert pixels.min() >= 0
            assert pixels.max() <= 1

    def test_the_window_is_one_and_stays(self, case: SourceCase) -> None:
        source = case.source
        before = source.window
        assert before.channels == source.channels
        source.read(source.plane(), Box(0, 0, 1, 1))
        assert source.window == before

    def test_another_window_leaves_the_source_alone(self, case: SourceCase) -> None:
        source, address, box = case.source, case.source.plane(), Box(0, 0, 2, 2)
        before = source.read(address, box)
        wide = Window((-1e9,) * source.channels, (1e9,) * source.channels)
        other = source.with_window(wide)
        assert other.window == wide
        wanted = wide.apply(case.plane(address)[box.slices])
        np.testing.assert_array_equal(other.read(address, box)[..., : source.channels], wanted)
        np.testing.assert_array_equal(source.read(address, box), before)

    def test_threads_read_the_same(self, case: SourceCase) -> None:
        source, address, rng = case.source, case.source.plane(), np.random.default_rng(1)
        boxes = [b for _ in range(8) for b in _boxes(source.plane_shape(address), rng)]
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(lambda box: source.read(address, box), boxes))
        for box, image in zip(boxes, images, strict=True):
            np.testing.assert_allclose(image, case.expected(address, box), rtol=1e-5, atol=1e-6)


def _boxes(shape: tuple[int, int], rng: np.random.Generator) -> list[Box]:
    """Return the whole plane, its last pixel and a random box."""
    height, width = shape
    y0, x0 = int(rng.integers(height)), int(rng.integers(width))
    y1, x1 = int(rng.integers(y0, height)) + 1, int(rng.integers(x0, width)) + 1
    return [Box.of_shape(shape), Box(height - 1, width - 1, height, width), Box(y0, x0, y1, x1)]
