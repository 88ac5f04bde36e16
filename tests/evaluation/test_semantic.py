from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.evaluation.pixel_baselines import (
    CopyModel,
    best_threshold,
    load_context_baseline,
    missing_modules,
    nearest,
)
from napari_ditto.evaluation.semantic import (
    View,
    draws,
    mean_dice,
    measure_semantic,
    read_views,
    with_others_masks,
    without_target,
)
from napari_ditto.evaluation.sets import EvalSet, folder_set
from napari_ditto.evaluation.whole_images import measure_everything, measure_like
from napari_ditto.testing.fakes import PerfectModel
from tests.evaluation.folders import write


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> EvalSet:
    folder = write(tmp_path_factory.mktemp("discs"), count=8, semantic=True)
    return folder_set(folder, semantic=True)


def view(labels: np.ndarray) -> View:
    tile = np.zeros((*labels.shape, 3), np.float32)
    return View("i", "i@0,0", tile, labels.astype(np.int64), np.ones(labels.shape, bool))


def test_draws_never_ask_for_what_was_shown(discs: EvalSet) -> None:
    found = list(draws(discs, read_views(discs), 3))
    assert len(found) == 5
    for draw in found:
        assert not {v.image for v in draw.examples} & {v.image for v in draw.queries}
        assert len(draw.queries) == 3
    again = list(draws(discs, read_views(discs), 3))
    names = [[v.name for v in d.examples] for d in found]
    assert names == [[v.name for v in d.examples] for d in again]
    assert len({tuple(n) for n in names}) > 1


def test_one_image_is_split_by_its_views(discs: EvalSet, tmp_path: Path) -> None:
    alone = replace(folder_set(write(tmp_path, count=1, semantic=True), semantic=True), side=48)
    (*_, last) = draws(alone, read_views(alone), 10)
    shown, asked = ({v.name for v in side} for side in (last.examples, last.queries))
    assert shown
    assert asked
    assert not shown & asked


@pytest.mark.parametrize("name", ["filters_ridge", "filters_forest"])
def test_pixel_baselines_learn_and_controls_collapse(discs: EvalSet, name: str) -> None:
    rows = list(measure_semantic(discs, load_context_baseline(name), 2))
    means = {
        control: np.mean([r.value for r in rows if r.control == control and r.examples == 4])
        for control in ("", "inverted", "no target")
    }
    assert means[""] > 0.9
    assert means["inverted"] < 0.2
    assert means["no target"] < 0.02
    assert {r.examples for r in rows} == {1, 2, 4}  # half of 8 images


def test_the_copied_mask_ignores_the_image(discs: EvalSet) -> None:
    first = read_views(discs)[0]
    model = CopyModel("copy")
    from napari_ditto.evaluation.semantic import Bench

    bench = Bench(model)
    memory = bench.remember([first])
    found = bench.predict(replace(first, name="other", tile=1 - first.tile), memory)
    assert mean_dice(found, first) > 0.95


def test_dice_is_the_mean_over_classes_and_leaves_out_what_is_not_known() -> None:
    one = view(np.array([[1, 1, 2, 2, 0, 7]]))
    known = replace(one, valid=np.array([[True] * 5 + [False]]))
    assert mean_dice(np.array([[1, 1, 2, 2, 0, 0]]), known) == 1.0
    assert mean_dice(np.array([[1, 1, 1, 1, 0, 9]]), known) == pytest.approx((4 / 6 + 0) / 2)


def test_shuffled_examples_wear_the_masks_of_others() -> None:
    a, b = view(np.eye(4)), view(np.ones((6, 6)))
    first, second = with_others_masks([a, b])
    assert first.labels.all()
    assert first.labels.shape == (4, 4)
    assert second.labels.shape == (6, 6)
    assert not second.labels.all()


def test_a_window_without_target() -> None:
    labels = np.zeros((20, 20))
    labels[:6, :6] = 1
    found = without_target(view(labels))
    assert found is not None
    assert found.labels.shape == (10, 10)
    assert not found.labels.any()
    assert without_target(view(np.ones((20, 20)))) is None


def test_best_threshold_by_hand() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.4], np.float32)
    wanted = np.array([True, False, True, False])
    assert best_threshold(scores, wanted) == pytest.approx(0.6)


def test_nearest_resizes_both_ways() -> None:
    small = np.array([[1, 2], [3, 4]])
    large = nearest(small, (4, 6))
    assert large[:2, :3].tolist() == [[1, 1, 1], [1, 1, 1]]
    assert nearest(large, (2, 2)).tolist() == small.tolist()


def test_what_a_baseline_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_ditto.evaluation.pixel_baselines.find_spec", lambda _: None)
    assert "napari-ditto[evaluate]" in missing_modules("filters_forest")
    assert missing_modules("filters_ridge") == ""


def test_everything_by_a_perfect_model(tmp_path: Path) -> None:
    given = folder_set(write(tmp_path, count=2, truth=True))
    rows = list(measure_everything(given, PerfectModel(512)))
    assert [(r.ap50, r.msa, r.objects, r.found) for r in rows] == [(1.0, 1.0, 4, 4)] * 2


def test_more_like_this(tmp_path: Path) -> None:
    given = folder_set(write(tmp_path, count=3))
    rows = list(measure_like(given, load_context_baseline("filters_ridge")))
    assert len(rows) == 3
    assert min(r.ap50 for r in rows) == 1.0
    assert min(r.msa for r in rows) > 0.7
