from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PromptSet
from napari_ditto.evaluation import summary
from napari_ditto.evaluation.cases import cases, choose, choose_view, objects
from napari_ditto.evaluation.prompted import CORRECTED, FIRST, Row, clicks_needed
from napari_ditto.evaluation.runs import Settings, load_method, measure_prompts
from napari_ditto.evaluation.sets import EvalSet, folder_set
from napari_ditto.models.protocols import MaskLogits
from napari_ditto.testing.fakes import CountingModel, PerfectModel
from tests.evaluation.folders import PLACES, write


class BlindModel(PerfectModel):
    """Never sees anything."""

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        seen = super().decode(embedding, prompts)
        return replace(seen, logits=np.full_like(seen.logits, -1))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> EvalSet:
    return folder_set(write(tmp_path_factory.mktemp("truth"), truth=True))


def test_a_perfect_model_scores_one(truth: EvalSet) -> None:
    rows = list(measure_prompts(truth, PerfectModel(512), Settings(objects=100)))
    assert {r.iou for r in rows} == {1.0}
    assert len({(r.image, r.number) for r in rows}) == 3 * len(PLACES)
    names = [*FIRST, *(f"clicks_{n}" for n in CORRECTED), "noc_85", "noc_90"]
    assert sorted({r.prompt for r in rows}) == sorted(names)
    assert {(r.clicks, r.reached) for r in rows if r.prompt.startswith("noc")} == {(1, True)}


def test_a_blind_model_scores_zero_and_fails(truth: EvalSet) -> None:
    rows = list(measure_prompts(truth, BlindModel(512), Settings(objects=2, clicks=6)))
    assert {r.iou for r in rows} == {0.0}
    assert {(r.clicks, r.reached) for r in rows if r.prompt.startswith("noc")} == {(6, False)}
    assert summary.failures([r for r in rows if r.prompt == "noc_90"]) == 1.0


def test_a_tile_is_encoded_once(truth: EvalSet) -> None:
    model = CountingModel(PerfectModel(512))
    list(measure_prompts(truth, model, Settings(objects=100)))
    assert model.encoded == 3


def test_objects_and_prompts_are_the_same_for_a_seed_and_for_every_model(truth: EvalSet) -> None:
    def prompts(seed: int) -> list[dict[str, PromptSet]]:
        return [c.prompts for c in cases(truth, choose(truth, 5, seed), seed)]

    choose.cache_clear()
    first = prompts(3)
    choose.cache_clear()
    assert prompts(3) == first
    assert prompts(4) != first


def test_fewer_objects_are_a_part_of_more_and_spread_over_images(truth: EvalSet) -> None:
    few, more = choose(truth, 3), choose(truth, 7)
    assert set(few) < set(more)
    assert len({t.picture.name for t in few}) == 3


def test_components_of_one_id_are_objects_of_their_own() -> None:
    ids = np.zeros((8, 8), int)
    ids[1:3, 1:3] = ids[5:7, 5:7] = 4
    ids[3, 3] = 4  # touches by a corner
    ids[1:3, 3:5] = 9  # touches, but is another one
    plain = folder_set(Path("x"))
    assert objects(plain, ids).max() == 3
    assert objects(replace(plain, target=9), ids).sum() == 4
    assert objects(replace(plain, ignore=4), ids).max() == 1


@pytest.mark.parametrize(
    ("box", "shape", "view", "step"),
    [
        (Box(10, 10, 20, 20), (100, 80), Box(0, 0, 100, 80), 1),
        (Box(900, 10, 920, 20), (1000, 2000), Box(488, 0, 1000, 512), 1),
        (Box(500, 500, 520, 520), (1000, 2000), Box(254, 254, 766, 766), 1),
        (Box(0, 0, 600, 600), (3000, 3000), Box(0, 0, 1536, 1536), 3),
    ],
)
def test_the_view_is_a_tile_round_the_object(
    box: Box, shape: tuple[int, int], view: Box, step: int
) -> None:
    assert choose_view(box, shape) == (view, step)


def test_a_large_object_is_reduced(tmp_path: Path) -> None:
    from PIL import Image

    for kind, value in (("images", 200), ("masks", 1)):
        (tmp_path / kind).mkdir()
        pixels = np.zeros((900, 900), np.uint8)
        pixels[100:700, 100:700] = value
        Image.fromarray(pixels).save(tmp_path / kind / "a.png")
    given = folder_set(tmp_path)
    (case,) = cases(given, choose(given, 5))
    assert case.tile.shape == (300, 300, 3)
    assert case.truth.sum() == pytest.approx(200 * 200, rel=0.01)
    assert case.area == 600 * 600


def row(number: int, iou: float, best: float = 0.0, **other: object) -> Row:
    blank = Row("s", "i", number, 10, "m", "box", iou, 0.5, best, False, 1, True, (iou,), (0.5,))
    return replace(blank, **other)


def test_clicks_needed_by_hand() -> None:
    rows = [row(1, v, clicks=k) for k, v in enumerate((0.5, 0.86, 0.8), 1)]
    reached, failed = clicks_needed(rows, 0.85, 20), clicks_needed(rows, 0.9, 20)
    assert (reached.clicks, reached.reached, reached.prompt) == (2, True, "noc_85")
    assert (failed.clicks, failed.reached, failed.iou) == (20, False, 0.8)


def test_paired_differences_leave_out_what_only_one_has() -> None:
    ours, theirs = [row(1, 0.9), row(2, 0.5), row(3, 1.0)], [row(1, 0.7), row(2, 0.5)]
    found = summary.paired(ours, theirs)
    assert found.value == pytest.approx(0.1)
    assert found.objects == 2


def test_sizes_fall_into_their_bins() -> None:
    rows = [row(k, 0.5, diameter=d) for k, d in enumerate((3, 15.9, 16, 40, 127, 128, 900))]
    assert [len(found) for found in summary.by_size(rows)] == [2, 1, 1, 1, 2]


@pytest.mark.parametrize("name", ["ellipse", "otsu", "watershed", "random_walker", "grabcut"])
def test_baselines_segment_bright_discs(tmp_path: Path, name: str) -> None:
    given = folder_set(write(tmp_path, count=1))
    rows = list(measure_prompts(given, load_method(name), Settings(clicks=3)))
    boxes = [r.iou for r in rows if r.prompt == "box_exact"]
    assert len(boxes) == len(PLACES)
    assert np.mean(boxes) > 0.85
    clicked = np.mean([r.iou for r in rows if r.prompt == "centre"])
    assert clicked > (0.35 if name in {"ellipse", "random_walker", "grabcut"} else 0.8)
