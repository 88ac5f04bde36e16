"""One object at a time on a single tile: predict, refine, accept, undo, redo."""

import json

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.errors import LabelsError, PromptError
from napari_ditto.testing.fakes import TRUTH_WINDOW, PerfectModel, paint_truth
from napari_ditto.testing.scenes import annotate, full


@pytest.fixture
def truth():
    labels = np.zeros((64, 64), np.uint8)
    labels[10:20, 10:25] = 1
    labels[30:50, 30:40] = 2
    return labels


def test_a_click_finds_the_object_in_one_encoder_call(truth):
    annotator = annotate(truth)
    proposals = annotator.predict(points=[(15, 15)])
    assert proposals.box == Box(10, 10, 20, 25)
    assert np.array_equal(full(proposals, truth.shape), truth == 1)
    assert (annotator.model.encoded, annotator.model.decoded) == (1, 1)
    assert proposals.complete.all()


def test_more_prompts_on_the_tile_need_no_encoder_and_no_read(truth):
    annotator = annotate(truth)
    annotator.predict(points=[(15, 15)])
    annotator.predict(points=[(15, 15), (12, 22), (40, 35)], positive=[True, True, False])
    annotator.predict(box=(28, 28, 52, 42))
    assert annotator.model.encoded == 1
    assert annotator.encoder.counts.read == 1


@pytest.mark.parametrize(
    "prompt",
    [
        {"points": [(40, 35)]},
        {"box": (29, 29, 51, 41)},
        {"box": BoxPrompt(50.0, 40.0, 29.0, 29.0)},
        {"scribbles": [[(35, 32), (45, 38)]]},
        {"points": [(15, 15)], "positive": [False], "box": (29, 29, 51, 41)},
    ],
    ids=["point", "box", "flipped box", "scribble", "negative and box"],
)
def test_every_kind_of_prompt_finds_its_object(truth, prompt):
    proposals = annotate(truth).predict(**prompt)
    assert np.array_equal(full(proposals, truth.shape), truth == 2)


def test_a_mask_prompt_finds_its_object(truth):
    rough = np.zeros(truth.shape, bool)
    rough[33:60, 33:38] = True
    assert np.array_equal(full(annotate(truth).predict(mask=rough), truth.shape), truth == 2)


def test_accept_undo_redo(truth):
    annotator = annotate(truth)
    first = annotator.accept(annotator.predict(points=[(15, 15)]))
    second = annotator.accept(annotator.predict(points=[(40, 35)]))
    assert (first, second) == (1, 2)
    assert np.array_equal(annotator.labels, truth)
    assert annotator.undo()
    assert np.array_equal(annotator.labels, np.where(truth == 1, 1, 0))
    (undone,) = annotator.history.undone
    assert undone.prompts.points[0].y == 40
    assert annotator.redo()
    assert np.array_equal(annotator.labels, truth)
    assert not annotator.redo()
    assert annotator.undo()
    assert annotator.undo()
    assert not annotator.undo()
    assert not np.any(annotator.labels)


def test_accept_keeps_other_labels(truth):
    existing = np.zeros(truth.shape, np.int32)
    existing[10:15] = 7
    annotator = annotate(truth, labels=existing)
    assert annotator.accept(annotator.predict(points=[(16, 15)])) == 8
    assert (existing[10:15] == 7).all()
    assert (existing[15:20, 10:25] == 8).all()
    annotator.undo()
    assert set(np.unique(existing)) == {0, 7}


def test_an_object_that_is_labelled_already_is_refused(truth):
    annotator = annotate(truth)
    proposals = annotator.predict(points=[(15, 15)])
    annotator.accept(proposals)
    with pytest.raises(LabelsError, match="every pixel"):
        annotator.accept(proposals)
    assert len(annotator.history.done) == 1


def test_nothing_is_nothing_to_accept(truth):
    annotator = annotate(truth)
    with pytest.raises(PromptError, match="nothing to accept"):
        annotator.accept(annotator.predict(points=[(0, 0)]))


def test_provenance_is_json_and_follows_undo(truth):
    annotator = annotate(truth)
    annotator.accept(annotator.predict(points=[(15, 15)]), label=5)
    (record,) = json.loads(json.dumps(annotator.provenance))
    assert record["label"] == 5
    assert record["model"] == "perfect"
    assert record["licence"] == "BSD-3-Clause"
    assert len(record["prompts"]) == 64
    annotator.undo()
    assert annotator.provenance == []


def test_refresh_notices_an_edit(truth):
    pixels = paint_truth(truth)
    source = open_source(pixels, axes="yxc", window=TRUTH_WINDOW)
    annotator = Annotator(source, PerfectModel(64))
    annotator.predict(points=[(15, 15)])
    pixels[10:20, 25:30] = paint_truth(np.ones((10, 5), np.uint8))
    annotator.refresh()
    assert annotator.predict(points=[(15, 15)]).box == Box(10, 10, 20, 30)


def test_a_negative_within_a_box_does_not_take_the_object_away(truth):
    proposals = annotate(truth).predict(points=[(40, 35)], positive=[False], box=(29, 29, 51, 41))
    assert np.array_equal(full(proposals, truth.shape), truth == 2)
