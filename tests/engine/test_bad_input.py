"""Bad input: one clear line, nothing lost, and the next click works."""

import numpy as np
import pytest

from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.errors import DittoError, ModelError, PromptError, SourceError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.testing.fakes import TRUTH_WINDOW, FailingModel, PerfectModel, paint_truth
from napari_ditto.testing.scenes import annotate, full, snake, truth_source

TRUTH = snake((150, 140)).astype(np.uint8)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({}, "say where the object is first"),
        ({"points": [(5, 5)], "positive": [False]}, "say where the object is first"),
        ({"points": [(10, 10), (5, 900)]}, r"point 2 at \(5, 900\) lies outside the 150 x 140"),
        ({"points": [(np.nan, 5)]}, "not a finite"),
        ({"points": [5, 6, 7]}, "pairs"),
        ({"points": [(1, 2, 3)]}, "pairs"),
        ({"points": ["here"]}, "numbers"),
        ({"points": [(5, 5)], "positive": [True, False]}, "2 signs for 1 points"),
        ({"box": (5, 5, 5, 20)}, "thinner than one pixel"),
        ({"box": (5, 5, 20)}, "y0, x0, y1, x1"),
        ({"mask": np.zeros((150, 140))}, "empty"),
        ({"mask": np.zeros(150)}, "one plane"),
        ({"scribbles": [[5, 6]]}, "row, column"),
        ({"points": [(10, 10)], "level": 99}, "no level 99"),
    ],
)
def test_prompts_that_make_no_sense(prompt, message):
    annotator = annotate(TRUTH)
    with pytest.raises(PromptError, match=message) as caught:
        annotator.predict(**prompt)
    assert "\n" not in str(caught.value)
    assert annotator.model.encoded == 0
    assert not annotator.predict(points=[(10, 10)], level=0).is_empty


@pytest.mark.parametrize("corner", [(-0.5, -0.5), (149.5, 139.5), (-0.5, 139.5)])
def test_the_very_corner_can_be_clicked(corner):
    whole = np.ones((150, 140), np.uint8)
    proposals = annotate(whole).predict(points=[corner], level=0)
    assert full(proposals, whole.shape).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (64, 65)])
def test_thin_and_tiny_images(shape):
    truth = np.ones(shape, np.uint8)
    annotator = annotate(truth)
    proposals = annotator.predict(points=[(0, shape[1] - 1)], level=0)
    assert full(proposals, shape).all()
    assert annotator.accept(proposals) == 1


class Endless:
    """2**40 pixels a side, one object round the middle; refuses to be read in bulk."""

    shape, dtype, ndim = (2**40, 2**40, 3), np.dtype(np.uint8), 3

    def __getitem__(self, index):
        rows, columns, channels = (np.arange(s.start, s.stop) for s in index)
        assert len(rows) * len(columns) <= 64 * 64
        away = np.hypot(rows[:, None] - 2**39, columns[None] - 2**39)
        return paint_truth((away < 40).astype(np.uint8))[..., channels]


def test_an_endless_plane_costs_nothing():
    source = open_source(Endless(), axes="yxc", window=TRUTH_WINDOW)
    proposals = Annotator(source, PerfectModel(64)).predict(points=[(2**39 + 3, 2**39)])
    rows, columns = np.ogrid[-39:40, -39:40]
    assert proposals.box.shape == (79, 79)
    assert np.array_equal(proposals.masks[0], np.hypot(rows, columns) < 40)


def test_a_box_round_an_endless_plane_is_refused_in_one_line():
    source = open_source(Endless(), axes="yxc", window=TRUTH_WINDOW)
    with pytest.raises(DittoError) as caught:
        Annotator(source, PerfectModel(64)).predict(box=(0, 0, 2**40, 2**40))
    print(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0, np.nan])
def test_constant_and_nan_planes_do_not_break_classic(value):
    image = np.full((80, 90), value, np.float32)
    annotator = Annotator(open_source(image, window=(0, 1)), ClassicModel())
    assert annotator.predict(points=[(40, 40)]).masks.shape[0] == 3


def test_an_error_in_mid_growth_loses_nothing():
    model = FailingModel(at=2, model=PerfectModel(64))
    annotator = Annotator(truth_source(TRUTH), model)
    with pytest.raises(ModelError, match="broke"):
        annotator.predict(points=[(10, 10)], level=0)
    assert np.array_equal(full(annotator.predict(points=[(10, 10)], level=0), TRUTH.shape), TRUTH)


def test_a_store_that_turns_unreadable_says_so_and_comes_back():
    pixels = paint_truth(TRUTH)

    class Flaky:
        shape, dtype, ndim = pixels.shape, pixels.dtype, 3
        reads = 0

        def __getitem__(self, index):
            Flaky.reads += 1
            if Flaky.reads == 3:
                raise OSError("the drive is gone")
            return pixels[index]

    annotator = Annotator(open_source(Flaky(), axes="yxc", window=TRUTH_WINDOW), PerfectModel(64))
    with pytest.raises(SourceError, match="drive is gone"):
        annotator.predict(points=[(10, 10)], level=0)
    assert np.array_equal(full(annotator.predict(points=[(10, 10)], level=0), TRUTH.shape), TRUTH)
