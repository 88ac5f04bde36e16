"""Objects larger than what one tile shows: whole, and under one id."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ditto.core.masks import components
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.engine.annotator import Annotator
from napari_ditto.testing.fakes import PerfectModel
from napari_ditto.testing.scenes import annotate, disc, full, snake, truth_source

both = pytest.mark.parametrize("connected", [False, True], ids=["all pieces", "one piece"])


@both
@pytest.mark.parametrize(
    ("center", "radius", "shape"),
    [
        ((40, 64), 25, (192, 192)),
        ((64, 40), 25, (192, 192)),
        ((64, 64), 29, (192, 192)),
        ((96, 96), 50, (192, 192)),
        ((100, 75), 31, (150, 107)),
        ((120, 90), 30, (151, 107)),
        ((40, 40), 70, (99, 131)),
        ((0, 64), 40, (70, 130)),
    ],
)
def test_one_click_on_an_object_over_tiles_is_exact(center, radius, shape, connected):
    truth = disc(shape, center, radius).astype(np.uint8) * 3
    annotator = annotate(truth, connected=connected)
    proposals = annotator.predict(points=[center], level=0)
    assert np.array_equal(full(proposals, shape), truth == 3)
    assert proposals.complete.all()
    annotator.accept(proposals)
    assert np.array_equal(np.asarray(annotator.labels), truth == 3)


@both
@pytest.mark.parametrize("neighbours", [2, 3, 4])
def test_straddling_objects_with_neighbours_keep_one_id_each(neighbours, connected):
    """The tiles of 64 part at 64: objects lie over two, three and four of them."""
    truth = np.zeros((150, 170), np.uint8)
    objects = {2: (40, 64), 3: (64, 70), 4: (63, 64)}
    y, x = objects[neighbours]
    truth[y - 30 : y + 30, x - 26 : x + 26] = 1
    truth[y - 30 : y + 30, x + 26 : x + 60] = 2
    annotator = annotate(truth, connected=connected)
    for label, point in ((1, (y, x)), (2, (y, x + 40))):
        assert annotator.accept(annotator.predict(points=[point], level=0)) == label
    assert np.array_equal(np.asarray(annotator.labels), truth)


@both
def test_an_object_six_tiles_wide(connected):
    truth = np.zeros((70, 6 * 64 + 20), np.uint8)
    truth[20:45, 5:-5] = 1
    annotator = annotate(truth, connected=connected)
    proposals = annotator.predict(points=[(30, 30)])
    assert np.array_equal(full(proposals, truth.shape), truth == 1)
    assert annotator.accept(proposals) == 1


@both
def test_a_snake_that_leaves_tiles_and_returns(connected):
    truth = snake((180, 200)).astype(np.uint8)
    proposals = annotate(truth, connected=connected).predict(points=[(10, 30)])
    assert np.array_equal(full(proposals, truth.shape), truth == 1)
    assert proposals.complete.all()


@both
def test_a_spiral_that_returns_into_its_first_tile(connected):
    truth = np.zeros((130, 130), np.uint8)
    truth[10:120, 10:120] = 1
    truth[20:110, 20:120] = 0
    truth[30:120, 110:120] = 1
    truth[30:36, 40:120] = 1
    truth[10:30, 110:120] = 0
    proposals = annotate(truth, connected=connected).predict(points=[(15, 15)])
    assert np.array_equal(full(proposals, truth.shape), truth == 1)


@settings(max_examples=40)
@given(st.data())
def test_any_blob_is_exact(data):
    """Unions of discs along a path, on planes that are no multiple of the tile."""
    shape = data.draw(st.tuples(st.integers(20, 150), st.integers(20, 150)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    center = np.array([rng.integers(0, shape[0]), rng.integers(0, shape[1])])
    truth = disc(shape, center, rng.integers(2, 12)).astype(np.uint8)
    at = center.astype(float)
    for _ in range(rng.integers(0, 12)):
        at = np.clip(at + rng.normal(0, 6, 2), 0, np.subtract(shape, 1))
        truth[disc(shape, at, rng.integers(7, 14))] = 1
    numbered, _ = components(truth > 0)
    target = numbered == numbered[tuple(center)]
    annotator = annotate(target.astype(np.uint8), tile=32, connected=True)
    proposals = annotator.predict(points=[center], level=0)
    assert np.array_equal(full(proposals, shape), target)


def test_an_object_inside_one_tile_costs_one_encoder_call():
    truth = disc((200, 200), (96, 96), 28).astype(np.uint8)
    annotator = annotate(truth)
    annotator.predict(points=[(96, 96)])
    assert annotator.model.encoded == 1
    annotator.predict(points=[(96, 96), (80, 90)])
    assert annotator.model.encoded == 1


def test_growth_touches_only_the_tiles_that_the_object_needs():
    truth = np.zeros((400, 400), np.uint8)
    truth[90:100, 40:200] = 1
    annotator = annotate(truth)
    annotator.predict(points=[(95, 100)], level=0)
    assert annotator.model.encoded <= 6


def test_a_negative_far_away_counts_where_growth_reaches_it():
    """Two objects that the model takes for one, until it is told."""
    truth = np.zeros((64, 260), np.uint8)
    truth[20:40, 10:250] = 1
    annotator = annotate(truth)
    proposals = annotator.predict(points=[(30, 30), (5, 200)], positive=[True, False], level=0)
    reached = [p for p in annotator.model.asked if any(not q.positive for q in p.points)]
    assert reached
    assert PointPrompt(5.0, 200.0, positive=False) in proposals.prompts.points


def test_positives_in_several_tiles_are_all_honoured():
    truth = np.zeros((64, 300), np.uint8)
    truth[20:40, 10:50] = truth[20:40, 240:280] = 1
    for pyramid, level in ((False, 0), (True, None)):
        annotator = annotate(truth, connected=True, pyramid=pyramid)
        proposals = annotator.predict(points=[(30, 30), (30, 260)], level=level)
        mask = full(proposals, truth.shape)
        assert mask[30, 30]
        assert mask[30, 260]
        assert (proposals.level == 0) == (level == 0)
        if level == 0:
            assert np.array_equal(mask, truth == 1)
    assert annotator.accept(proposals) == 1


def test_pieces_that_a_negative_lies_on_are_dropped():
    truth = np.zeros((64, 64), np.uint8)
    truth[10:20, 10:20] = truth[40:50, 40:50] = 1
    proposals = annotate(truth).predict(points=[(15, 15), (45, 45)], positive=[True, False])
    assert np.array_equal(np.argwhere(full(proposals, truth.shape)).max(0), [19, 19])


def test_past_the_budget_a_coarser_level_shows_the_whole():
    truth = np.zeros((600, 600), np.uint8)
    truth[40:560, 60:550] = 1
    annotator = annotate(truth, pyramid=True, growth_tiles=10)
    proposals = annotator.predict(points=[(300, 300)])
    assert proposals.level > 0
    assert proposals.complete.all()
    mask = full(proposals, truth.shape)
    assert (mask & (truth > 0)).sum() / (mask | (truth > 0)).sum() > 0.97


def test_past_every_budget_it_says_so(monkeypatch):
    monkeypatch.setattr("napari_ditto.engine.predict.COARSE_TILES", 1)
    truth = np.zeros((70, 1500), np.uint8)
    truth[20:40] = 1
    annotator = annotate(truth, pyramid=True, growth_tiles=2)
    proposals = annotator.predict(points=[(30, 100)])
    assert proposals.complete.tolist() == [False]
    annotator.accept(proposals)
    assert annotator.provenance[0]["complete"] is False


def test_the_first_mask_shows_before_growth_starts():
    annotator = annotate(np.ones((150, 150), np.uint8))
    prompts = PromptSet((PointPrompt(75.0, 75.0),))
    steps = annotator.predict_steps(prompts, annotator.source.plane(), 0)
    shown = next(p.partial for p in steps if p.partial is not None)
    assert annotator.model.encoded == 1
    assert shown.masks.any()
    assert not shown.complete[shown.best]


class TwoIdeas(PerfectModel):
    """Offers a part of the object first and the whole as another candidate."""

    def decode(self, embedding, prompts):
        from dataclasses import replace

        whole = super().decode(embedding, prompts)
        part = whole.logits.copy()
        part[:, :, :, 40:] = -10
        part[:, :, :, :24] = -10
        part[:, :, :24] = -10
        part[:, :, 40:] = -10
        logits = np.concatenate([part, whole.logits], axis=1)
        return replace(whole, logits=logits, scores=np.tile([0.9, 0.8], (len(prompts), 1)))


def test_other_candidates_grow_on_request_and_at_accept():
    truth = np.zeros((64, 200), np.uint8)
    truth[20:40, 10:190] = 1
    annotator = Annotator(truth_source(truth), TwoIdeas(64))
    proposals = annotator.predict(points=[(32, 96)])
    assert proposals.complete.tolist() == [True, False]
    assert not np.array_equal(full(proposals, truth.shape, 1), truth == 1)
    label = annotator.accept(proposals, choice=1)
    assert np.array_equal(np.asarray(annotator.labels) == label, truth == 1)
    part = full(proposals, truth.shape, 0)
    assert part.any()
    assert part.sum() < 20 * 20
