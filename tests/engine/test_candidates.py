"""What is asked of a tile, and how the answers become candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.synthetic import blobs
from napari_ditto.core.tiling import Grid
from napari_ditto.engine.candidates import (
    SEEN_TWICE,
    Settings,
    choose,
    decode_all,
    find_candidates,
)
from napari_ditto.engine.everything import segment_all
from napari_ditto.models.protocols import AutoPromptModel, Crop, CroppingModel, SiftingModel
from napari_ditto.testing.fakes import CountingModel, PerfectModel, paint_truth
from napari_ditto.testing.scenes import truth_source

SIZE = 128
TRUTH = blobs((300, 300), 60, radius=8, seed=3)
TRUTH[60:76] = 0
TRUTH[64:72, 20:280] = TRUTH.max() + 1  # over three tiles


class Suggesting(CountingModel):
    """Counts, and passes suggestions on."""

    def suggest(self, embedding):
        return self.model.suggest(embedding)


class Cropping(Suggesting):
    """Answers in boxes that are a little too large, or not at all by whole tiles."""

    def decode(self, embedding, prompts):
        raise AssertionError("whole tiles were asked for")

    def decode_crops(self, embedding, prompts):
        found = self.model.decode(embedding, prompts)
        return [self._crop(logits[0]) for logits in found.logits]

    def _crop(self, logits):
        rows, columns = (np.flatnonzero((logits > 0).any(axis)) for axis in (1, 0))
        box = Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1).grow(3)
        box = box.intersect(Box.of_shape(logits.shape))
        return Crop(box, logits[box.slices], 1.0, 0)


class Sifting(CountingModel):
    """Knows nothing of itself but what it is asked, and answers only what is sure."""

    def decode(self, embedding, prompts):
        raise AssertionError("whole tiles were asked for")

    def decode_sure(self, embedding, prompts, score, level):
        found = self.model.decode(embedding, prompts)
        return [
            [
                Crop(Box.of_shape(one.shape), one, float(scores[k]), k)
                for k, one in enumerate(logits)
                if scores[k] >= score and (one > level).any()
            ]
            for logits, scores in zip(found.logits, found.scores, strict=True)
        ]


def tiles():
    grid = Grid(TRUTH.shape, SIZE, SIZE // 4)
    return grid, list(grid.covering(Box.of_shape(TRUTH.shape)))


def look(model, tile):
    return model.encode(paint_truth(TRUTH[tile.box.slices])[None].astype(np.float32) / 255)[0]


def test_only_what_lies_round_the_core_is_asked():
    model = Suggesting(PerfectModel(SIZE))
    assert isinstance(model, AutoPromptModel)
    grid, every = tiles()
    for tile in every:
        model.asked.clear()
        find_candidates(model, look(model, tile), tile, grid, Settings())
        around = grid.core(tile).grow(SEEN_TWICE)
        for asked in model.asked:
            (point,) = asked.points
            assert around.contains(point.y + tile.box.y0, point.x + tile.box.x0)
    suggested = sum(len(model.suggest(look(model, tile))) for tile in every)
    assert model.decoded < 0.75 * suggested


def test_nothing_is_missed_by_it():
    found = segment_all(truth_source(TRUTH), PerfectModel(SIZE), min_area=1)
    assert np.array_equal(found > 0, TRUTH > 0)


def test_a_middle_that_moves_between_tiles_is_not_lost():
    """Each tile sees the only object a little nearer to the other one's middle."""

    class Shaky(PerfectModel):
        def suggest(self, embedding):
            (found,) = super().suggest(embedding)
            (point,) = found.points
            away = 5 if point.x > SIZE / 2 else -5
            return [PromptSet((PointPrompt(point.y, point.x + away),))]

    truth = np.zeros((SIZE, 224), np.uint8)
    truth[40:61, 102:123] = 1  # its middle lies on the border of the two cores
    assert np.array_equal(segment_all(truth_source(truth), Shaky(SIZE)), truth)


def test_crops_are_the_same_candidates():
    (grid, every), plain = tiles(), PerfectModel(SIZE)
    crops = Cropping(plain)
    assert isinstance(crops, CroppingModel)
    assert not isinstance(plain, CroppingModel)
    found = [
        [c for tile in every for c in find_candidates(m, look(m, tile), tile, grid, Settings())]
        for m in (plain, crops)
    ]
    for a, b in zip(*found, strict=True):
        assert (a.placed.box, a.choice, a.complete) == (b.placed.box, b.choice, b.complete)
        assert np.array_equal(a.placed.mask, b.placed.mask)
    assert {c.complete for c in found[0]} == {True, False}


def test_a_grid_of_points_needs_only_what_is_sure():
    (grid, (tile, *_)), plain = tiles(), CountingModel(PerfectModel(SIZE))
    sifting = Sifting(PerfectModel(SIZE))
    assert isinstance(sifting, SiftingModel)
    assert not isinstance(plain, SiftingModel | AutoPromptModel)
    settings = replace(Settings(), points_per_side=8)
    expected, found = (
        find_candidates(m, look(m, tile), tile, grid, settings) for m in (plain, sifting)
    )
    assert [(c.placed.box, c.choice) for c in found] == [(c.placed.box, c.choice) for c in expected]
    assert len(found) > 1


def test_an_empty_answer_is_no_candidate():
    grid, (tile, *_) = tiles()
    model = PerfectModel(SIZE)
    embedding = look(model, tile)
    nothing = np.argwhere(TRUTH[:SIZE, :SIZE] == 0)[0]
    asked = [PromptSet((PointPrompt(*map(float, nothing)),))]
    answers = decode_all(model, embedding, asked, every=False)
    assert not list(choose(answers, tile, grid, replace(Settings(), min_area=0)))
