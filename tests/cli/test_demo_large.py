"""The large demo: a slide that is what it says, figures that see faults, a kill that is one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ditto.cli import main
from napari_ditto.cli.demo_large_figures import meetings, quality, seams, straight
from napari_ditto.cli.demo_large_mosaic import Mosaic, Recipe
from napari_ditto.cli.demo_large_pictures import overview, seam_crops
from napari_ditto.core.run_plan import Plan
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.source import open_source
from napari_ditto.engine.whole.planning import make_plan
from napari_ditto.engine.whole.segmenter import all_task
from napari_ditto.errors import SourceError
from napari_ditto.testing.bounded import BoundedModel

SIDE = 700


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for n in range(3):
        truth = blobs((100, 120), 14, radius=9, seed=n)
        tifffile.imwrite(folder / f"images/{n}.tif", render(truth, seed=n) // (n + 1))
        tifffile.imwrite(folder / f"masks/{n}.tif", truth.astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def mosaic(images: Path) -> Mosaic:
    return Mosaic(Recipe(SIDE, 0.6, str(images)))


@pytest.fixture(scope="module")
def truth(mosaic: Mosaic) -> np.ndarray:
    return mosaic.truth[:SIDE, :SIDE]


@pytest.fixture(scope="module")
def plan(mosaic: Mosaic, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    source = open_source(mosaic.image, axes="yx", window=mosaic.window)
    target = tmp_path_factory.mktemp("plan") / "a.zarr"
    return make_plan(source, BoundedModel(), all_task(), target, window=300, halo=40)


# --- the slide ---------------------------------------------------------------------------------


def test_a_part_is_what_the_whole_shows_there(mosaic: Mosaic, truth: np.ndarray) -> None:
    image, rng = mosaic.image[:SIDE, :SIDE], np.random.default_rng(0)
    for _ in range(20):
        (y0, y1), (x0, x1) = (np.sort(rng.integers(0, SIDE, 2)) for _ in range(2))
        np.testing.assert_array_equal(mosaic.image[y0:y1, x0:x1], image[y0:y1, x0:x1])
        np.testing.assert_array_equal(mosaic.truth[y0:y1, x0:x1], truth[y0:y1, x0:x1])


def test_objects_are_whole_and_have_ids_of_their_own(mosaic: Mosaic, truth: np.ndarray) -> None:
    from scipy.ndimage import find_objects

    masks = mosaic.pictures.masks
    assert masks is not None
    assert not masks[:, 0].any()
    assert not masks[:, :, -1].any()
    shown = mosaic.shown[mosaic.shown >= 0]
    assert len(np.unique(truth)) - 1 == sum(int(masks[n].max()) for n in shown) > 30
    for number, where in enumerate(find_objects(truth), 1):
        if where is not None:
            rows, columns = (
                (s.start // n, (s.stop - 1) // n) for s, n in zip(where, (100, 120), strict=True)
            )
            assert rows[0] == rows[1], number
            assert columns[0] == columns[1], number


def test_pictures_are_made_alike(mosaic: Mosaic) -> None:
    masks = mosaic.pictures.masks
    assert masks is not None
    for pixels, mask in zip(mosaic.pictures.pixels, masks, strict=True):
        assert abs(np.median(pixels[mask == 0]) - 20) < 4
        assert abs(np.percentile(pixels[mask > 0], 95) - 160) < 4


def test_one_picture_goes_on_without_a_seam() -> None:
    mosaic = Mosaic(Recipe(SIDE, 1.0))
    height, width = mosaic.pictures.shape
    image = mosaic.image[:SIDE, :SIDE]
    np.testing.assert_array_equal(image[height - 1, :width], image[height, :width])
    assert mosaic.pictures.masks is None
    assert not mosaic.truth[:SIDE, :SIDE].any()


def test_most_of_it_is_empty_glass(images: Path) -> None:
    mosaic = Mosaic(Recipe(SIDE, 0.1, str(images)))
    assert 0.05 < (mosaic.shown >= 0).sum() * 12_000 / SIDE**2 < 0.15
    image = mosaic.image[:SIDE, :SIDE]
    assert np.percentile(image, 80) < 25


def test_a_folder_without_pictures_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no grey pictures with masks"):
        Mosaic(Recipe(SIDE, 0.1, str(tmp_path)))


# --- the figures -------------------------------------------------------------------------------


def test_perfect_labels_are_perfect(mosaic: Mosaic, truth: np.ndarray, plan: Plan) -> None:
    found = quality(meetings(truth, mosaic, plan), plan)
    assert found.f1 == 1
    for group in (found.every, found.crossed, found.beside):
        assert group.found == group.objects > 0
        assert (group.pieces, group.merged) == (0, 0)
    assert found.every.objects == len(np.unique(truth)) - 1
    tiles = np.zeros(truth.shape, int)
    for number in plan.numbers():
        tiles[plan.tile(number).core.slices] = number
    several = [k for k in np.unique(truth)[1:] if len(np.unique(tiles[truth == k])) > 1]
    assert found.crossed.objects == len(several)


def test_every_object_cut_at_every_seam_is_seen(
    mosaic: Mosaic, truth: np.ndarray, plan: Plan
) -> None:
    cut = np.zeros_like(truth)
    for number in plan.numbers():
        core = plan.tile(number).core.slices
        cut[core] = np.where(truth[core] > 0, truth[core] + number * 10_000, 0)
    found = quality(meetings(cut, mosaic, plan), plan)
    assert found.f1 < 1
    assert found.beside.found == found.beside.objects
    assert found.every.pieces == found.crossed.pieces > found.crossed.objects / 4
    knife = tuple(lines for lines in seams(plan))
    assert straight(cut, knife) > 3
    assert straight(truth, knife) == 0


def test_objects_that_became_one_are_seen(mosaic: Mosaic, truth: np.ndarray, plan: Plan) -> None:
    first, second = np.unique(truth)[1:3]
    found = quality(meetings(np.where(truth == second, first, truth), mosaic, plan), plan)
    assert found.every.merged == 2


def test_pictures_show_the_seams(mosaic: Mosaic, truth: np.ndarray, plan: Plan) -> None:
    picture = overview([truth], mosaic, plan)
    assert picture.shape == (SIDE, SIDE, 3)
    crops = seam_crops(truth, mosaic, plan, meetings(truth, mosaic, plan))
    assert crops
    dashed = (crops[0] == (0, 255, 255)).all(axis=2)
    assert dashed.sum(axis=1).max() > 100 or dashed.sum(axis=0).max() > 100


# --- the whole of it ---------------------------------------------------------------------------


def test_killed_and_gone_on_with(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "output"
    words = [
        "demo-large",
        "--images",
        str(images),
        "--side",
        "700",
        "--cover",
        "0.1",
        "--tile",
        "300",
    ]
    assert main([*words, "--model", "classic", "--output", str(output), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    killed, end = told["ends"]
    assert killed["event"] == "tile"
    assert (end["state"], end["tiles"], end["failed"]) == ("finished", 16, 0)
    assert end["reused"] >= 5
    assert end["reused"] + end["done"] == end["tiles"]
    assert told["quality"]["every"]["objects"] > 0
    for name in ("overview.png", "README.md", "figures.json", "mosaic.zarr"):
        assert (output / name).exists()
    assert "killed, and gone on with" in (output / "README.md").read_text()


def test_another_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "README.md").write_text("made by `napari-ditto demo`, not by the large one")
    assert main(["demo-large", "--side", "700", "--output", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
