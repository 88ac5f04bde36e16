"""Many objects at once: the same masks as one by one, one decoder call a tile, no pixel twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.engine.batch import LEAST_LEFT, resolve, separate
from napari_ditto.errors import PromptError
from napari_ditto.testing.scenes import annotate, full

CENTERS = [(y, x) for y in range(8, 58, 12) for x in range(8, 58, 15)]  # 20 of them


@pytest.fixture
def truth():
    labels = np.zeros((64, 64), np.uint8)
    for label, (y, x) in enumerate(CENTERS, 1):
        labels[y - 3 : y + 4, x - 3 : x + 4] = label
    return labels


def test_twenty_objects_of_one_tile_are_one_call(truth, monkeypatch):
    annotator, sizes = annotate(truth), []
    decode = annotator.model.decode

    def counted(embedding, prompts):
        sizes.append(len(prompts))
        return decode(embedding, prompts)

    monkeypatch.setattr(annotator.model, "decode", counted)
    batch = annotator.predict_batch(points=CENTERS)
    assert annotator.model.encoded == 1
    assert sizes == [20]
    assert batch.found == tuple(range(20))
    for label, mask in enumerate(batch.masks, 1):
        plane = np.zeros(truth.shape, bool)
        plane[mask.box.slices] = mask.mask
        assert np.array_equal(plane, truth == label)
    assert annotator.accept_batch(batch) == list(range(1, 21))
    assert np.array_equal(annotator.labels, truth)


def test_every_object_gets_what_it_would_get_alone():
    truth = np.zeros((300, 300), np.uint8)
    truth[20:60, 10:200] = 1  # leads out of its tile
    truth[80:90, 80:90] = 2
    truth[200:290, 30:60] = 3
    spots = [(40, 30), (85, 85), (250, 40)]
    alone = [annotate(truth).predict(points=[spot]) for spot in spots]
    annotator = annotate(truth)
    batch = annotator.predict_batch(points=spots)
    for one, proposals in zip(alone, batch.proposals, strict=True):
        assert np.array_equal(full(one, truth.shape), full(proposals, truth.shape))
        assert one.scores[one.best] == proposals.scores[proposals.best]
    assert annotator.accept_batch(batch) == [1, 2, 3]
    assert np.array_equal(annotator.labels, truth)


def test_what_is_known_is_not_asked_again(truth):
    annotator = annotate(truth)
    sets = separate(PointPrompt(y, x) for y, x in CENTERS)
    address = annotator.source.plane()
    batch = drain(annotator.batch_steps(sets[:19], address))
    annotator.model.decoded = 0
    more = drain(annotator.batch_steps(sets, address, known=batch.known))
    assert annotator.model.decoded == 1
    assert more.found == tuple(range(20))
    same = drain(annotator.batch_steps(sets[:2], address, known=more.known))
    assert annotator.model.decoded == 1
    assert same.found == (0, 1)


def test_two_clicks_on_one_object_are_one_object(truth):
    annotator = annotate(truth)
    batch = annotator.predict_batch(points=[CENTERS[0], (6, 7), CENTERS[1]])
    assert batch.found == (0, 2)
    assert annotator.accept_batch(batch) == [1, 2]


def test_boxes_and_exclusions(truth):
    y, x = CENTERS[5]
    annotator = annotate(truth)
    batch = annotator.predict_batch(
        points=[CENTERS[0], (12, 10)], positive=[True, False], boxes=[(y - 5, x - 5, y + 6, x + 6)]
    )
    assert batch.found == (0, 1)
    assert [len(p.prompts.points) for p in batch.proposals] == [2, 0]


def test_a_prompt_that_makes_no_sense_names_its_object(truth):
    with pytest.raises(PromptError, match=r"object 2: point 1 at \(99, 5\) lies outside"):
        annotate(truth).predict_batch(points=[(15, 15), (99, 5)])
    with pytest.raises(PromptError, match="say where"):
        annotate(truth).predict_batch(points=[(15, 15)], positive=[False])


def test_objects_that_have_a_label_already_are_left_out(truth):
    annotator = annotate(truth, labels=np.where(truth == 1, 7, 0).astype(np.uint16))
    assert annotator.accept_batch(annotator.predict_batch(points=CENTERS[:2])) == [8]


# --- whose pixel, whose exclusion ---------------------------------------------------------------


def square(y, x, size, score):
    return PlacedMask(Box(y, x, y + size, x + size), np.ones((size, size), bool), score)


def test_the_higher_score_has_the_pixel_of_equal_ones_the_earlier():
    low, high = resolve([square(0, 0, 10, 0.5), square(0, 8, 10, 0.9)])
    assert (low.area, high.area) == (80, 100)
    first, second = resolve([square(0, 0, 10, 0.5), square(0, 8, 10, 0.5)])
    assert (first.area, second.area) == (100, 80)


def test_a_rim_is_no_object():
    _, rim = resolve([square(0, 0, 10, 0.9), square(0, 1, 10, 0.5)])
    assert rim.area == 0


corner = st.integers(0, 30)


@given(
    st.lists(
        st.builds(square, corner, corner, st.integers(1, 12), st.sampled_from([0.2, 0.5, 0.9])),
        max_size=12,
    )
)
def test_no_pixel_is_in_two_masks_and_none_is_new(masks):
    resolved = resolve(masks)
    count = np.zeros((50, 50), int)
    for before, after in zip(masks, resolved, strict=True):
        assert not (after.in_box(Box(0, 0, 50, 50)) & ~before.in_box(Box(0, 0, 50, 50))).any()
        assert after.area == 0 or after.area >= LEAST_LEFT * before.area
        count += after.in_box(Box(0, 0, 50, 50))
    assert count.max(initial=0) <= 1


def test_what_is_negative_belongs_to_the_nearest_and_the_smallest():
    large, small = (PromptSet(box=BoxPrompt(*c)) for c in ((0, 0, 60, 60), (20, 20, 30, 30)))
    sets = separate(
        [PointPrompt(80, 80), PointPrompt(25, 25, False), PointPrompt(78, 70, False)],
        [large, small],
        [ScribblePrompt(((5.0, 5.0), (5.0, 9.0)), False), ScribblePrompt(((90.0, 5.0),))],
        diameter=7.0,
    )
    assert [len(s.points) for s in sets] == [2, 0, 1, 0]
    assert [len(s.scribbles) for s in sets] == [0, 1, 0, 1]
    assert all(s.diameter == 7.0 for s in sets)
    assert separate([PointPrompt(1, 1, False)]) == ()
