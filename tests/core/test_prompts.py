"""Prompts as values: frames, extents, masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)

coordinate = st.floats(-1e5, 1e5)
frames = st.builds(
    Frame,
    st.tuples(st.sampled_from([1.0, 2.0, 3.0, 4.0]), st.sampled_from([1.0, 2.0, 4.0])),
    st.tuples(st.integers(-500, 500).map(float), st.integers(-500, 500).map(float)),
)


@given(frames, coordinate, coordinate)
def test_frame_round_trip(frame, y, x):
    there = frame.to_frame(y, x)
    assert frame.to_plane(*there) == pytest.approx((y, x), abs=1e-6)


@given(frames, st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 9), st.integers(1, 9))
def test_a_full_mask_moves_as_its_box_does(frame, y0, x0, height, width):
    mask = MaskPrompt(Box(y0, x0, y0 + height, x0 + width), np.ones((height, width), bool))
    moved = mask.to_frame(frame)
    assert moved.mask.all()
    for y in range(moved.box.y0, moved.box.y1):
        top, bottom = frame.to_plane(y - 0.5, 0)[0], frame.to_plane(y + 0.5, 0)[0]
        assert bottom > y0 - 0.5 - 1e-3
        assert top < y0 + height - 0.5 + 1e-3


def test_mask_shift_keeps_every_pixel():
    pattern = np.arange(20).reshape(4, 5) % 3 == 0
    moved = MaskPrompt(Box(10, 20, 14, 25), pattern).to_frame(Frame(origin=(8, 16)))
    assert moved.box == Box(2, 4, 6, 9)
    assert np.array_equal(moved.mask, pattern)


def test_rasterize_clips_at_the_frame():
    mask = MaskPrompt(Box(-2, -2, 2, 2), np.ones((4, 4), bool))
    assert mask.rasterize((3, 3)).sum() == 4


def test_scribble_samples_are_dense_and_hit_the_vertices():
    stroke = ScribblePrompt(((0, 0), (3, 4), (3, 10)))
    samples = stroke.samples(1.0)
    assert np.linalg.norm(np.diff(samples, axis=0), axis=1).max() <= 1.0
    assert samples[0].tolist() == [0, 0]
    assert samples[-1].tolist() == [3, 10]
    assert len(ScribblePrompt(((2, 2),)).samples()) == 1


def test_extent_spans_everything_positive():
    mask = MaskPrompt(Box(50, 50, 52, 52), np.eye(2, dtype=bool))
    prompts = PromptSet(
        (PointPrompt(1, 2), PointPrompt(900, 900, positive=False)),
        (ScribblePrompt(((5, 60), (6, 7))),),
        BoxPrompt(3, 4, 10, 11),
        mask,
    )
    assert prompts.extent == BoxPrompt(1, 2, 51, 60)
    assert PromptSet((PointPrompt(1, 1, positive=False),)).extent is None
    assert PromptSet().is_empty


def test_digest_changes_with_any_part():
    base = PromptSet((PointPrompt(1, 2),))
    mask = MaskPrompt(Box(0, 0, 1, 1), np.ones((1, 1), bool))
    others = [
        PromptSet((PointPrompt(1, 2, positive=False),)),
        PromptSet((PointPrompt(1, 2),), box=BoxPrompt(0, 0, 1, 1)),
        PromptSet((PointPrompt(1, 2),), mask=mask),
        base.with_points([PointPrompt(3, 4)]),
    ]
    assert len({p.digest() for p in [base, *others]}) == 5
    assert base.digest() == PromptSet((PointPrompt(1, 2),)).digest()


def test_iou_of_boxes() -> None:
    a, b = BoxPrompt(0, 0, 4, 4), BoxPrompt(2, 2, 6, 4)
    assert a.iou(b) == b.iou(a) == pytest.approx(4 / 20)
    assert a.iou(a) == 1
    assert a.iou(BoxPrompt(10, 0, 14, 4)) == 0
