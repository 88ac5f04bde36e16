from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ditto.cli import main
from napari_ditto.data.source import open_source
from napari_ditto.evaluation import following_report as report
from napari_ditto.evaluation.following import (
    Followed,
    FollowRow,
    copied,
    followed,
    measure_follow,
    score,
)
from napari_ditto.evaluation.following_sets import (
    FollowCase,
    FollowSet,
    follow_cases,
    follow_sets,
    longest_run,
    stacks,
)
from napari_ditto.evaluation.metrics import boundary_f, contour
from napari_ditto.testing.fakes import TRUTH_WINDOW, paint_truth
from napari_ditto.testing.steppers import PerfectStepper

DATA = Path(__file__).parents[2] / "../shared/data"
SIDE, PLANES = 12, 7


def square(y: int, x: int, side: int = SIDE, shape: tuple[int, int] = (40, 80)) -> np.ndarray:
    out = np.zeros(shape, bool)
    out[y : y + side, x : x + side] = True
    return out


def moving(planes: int = PLANES) -> np.ndarray:
    """Return object 5 that goes right by 3 px a plane, and object 9 that ends after plane 3."""
    out = np.zeros((planes, 40, 80), np.int64)
    for z in range(planes):
        out[z][square(4, 5 + 3 * z)] = 5
        if z <= 3:
            out[z][square(24, 60)] = 9
    return out


@pytest.fixture
def given(tmp_path: Path) -> FollowSet:
    for kind, pixels in (("images", 40 + 25 * moving()), ("masks", moving())):
        (tmp_path / kind).mkdir()
        frames = [Image.fromarray(p.astype(np.uint8)) for p in pixels]
        frames[0].save(tmp_path / kind / "s.tif", save_all=True, append_images=frames[1:])
    return FollowSet("s", tmp_path / "images", tmp_path / "masks", given=((1,),))


def only(given: FollowSet) -> FollowCase:
    (case,) = follow_cases(given, 60, 10)
    return case


def rows(case: FollowCase, labels: np.ndarray, model: str = "m") -> list[FollowRow]:
    return list(score(case, Followed(labels, {}), model))


def test_a_case_tells_what_is_given_and_what_is_asked(given: FollowSet) -> None:
    case = only(given)
    assert case.ids == (5, 9)
    assert list(case.examples) == [1]
    assert np.array_equal(case.examples[1], moving()[1])
    assert case.asked == (0, 2, 3, 4, 5, 6)
    assert case.source.shape == (PLANES, 40, 80)
    ahead = only(replace(given, ahead=2, behind=0))
    assert (ahead.within, ahead.asked) == ((1, 4), (2, 3))
    assert only(replace(given, given=())).planes == (PLANES // 2,)


def test_objects_are_chosen_by_size_and_by_lasting_and_by_a_seed(given: FollowSet) -> None:
    assert only(replace(given, lasting=True)).ids == (5,)
    assert only(replace(given, lasting=True, ahead=2)).ids == (5, 9)
    assert not list(follow_cases(replace(given, least=SIDE**2 + 1), 60, 10))
    chosen = {next(follow_cases(replace(given, objects=1), 60, 10, s)).ids for s in range(9)}
    assert chosen == {(5,), (9,)}
    assert only(replace(given, objects=1)).ids == only(replace(given, objects=1)).ids


def test_the_truth_scores_one_and_an_ended_object_has_no_score(given: FollowSet) -> None:
    found = rows(only(given), moving())
    assert len(found) == 2 * 6
    assert all(r.iou == r.dice == 1 for r in found if r.present)
    gone = [r for r in found if not r.present]
    assert [(r.label, r.plane) for r in gone] == [(9, 4), (9, 5), (9, 6)]
    assert all(np.isnan(r.iou) and not r.found_area for r in gone)
    assert report.mean_of(found).value == 1


def test_a_copy_of_a_moving_square_has_the_iou_of_the_shift(given: FollowSet) -> None:
    found = list(measure_follow(given, None))
    assert {r.model for r in found} == {"copy"}
    by_plane = {r.plane: r for r in found if r.label == 5}
    for plane, row in by_plane.items():
        shift = 3 * abs(plane - 1)
        shared = max(0, SIDE - shift)
        assert row.distance == abs(plane - 1)
        assert row.iou == pytest.approx(shared / (2 * SIDE - shared))
        assert row.dice == pytest.approx(shared / SIDE)
    ghosts = [r.found_area for r in found if not r.present]
    assert ghosts == [SIDE**2] * 3


def test_a_copy_is_of_the_nearest_plane_the_first_of_equals(given: FollowSet) -> None:
    case = only(replace(given, given=((0, 4),)))
    labels = copied(case).labels
    sources = [0, 0, 0, 4, 4, 4, 4]
    assert all(np.array_equal(labels[k], case.examples[s]) for k, s in enumerate(sources))
    assert {r.plane: r.distance for r in rows(case, labels) if r.label == 9} == {
        1: 1, 2: 2, 3: 3, 5: 5, 6: 6
    }  # fmt: skip


def test_a_perfect_stepper_scores_one_and_its_confidence_is_told(given: FollowSet) -> None:
    case = only(replace(given, given=((0,),)))
    truth = open_source(paint_truth(moving()), axes="zyxc", window=TRUTH_WINDOW)
    found = list(score(case, followed(case, None, stepper=PerfectStepper(truth, 128)), "m"))
    assert {r.iou for r in found if r.label == 5} == {1}
    assert {r.iou for r in found if r.label == 9 and r.present} == {1}
    assert not any(r.found_area for r in found if not r.present)
    assert all(r.confidence > 0.5 for r in found if r.label == 5)


def test_confidence_is_kept_where_there_is_one(given: FollowSet) -> None:
    found = list(score(only(given), Followed(moving(), {(5, 2): 0.25}), "m"))
    said = {(r.label, r.plane): r.confidence for r in found if not np.isnan(r.confidence)}
    assert said == {(5, 2): 0.25}


def test_labels_of_other_objects_count_for_nothing(given: FollowSet) -> None:
    case = only(given)
    strange = np.where(moving() == 9, 4_000_000, moving())
    assert {r.iou for r in rows(case, strange) if r.label == 9 and r.present} == {0}
    assert {r.iou for r in rows(case, strange) if r.label == 5} == {1}


def test_slices_of_a_patient_are_ordered_by_place_and_split_by_phase(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for phase in (6, 17):
        for place in (0, 1, 2, 3, 5):
            name = f"P-1-IM-0001-{20 * place + phase + 1:04d}.dcm.png"
            pixels = np.full((9, 8), 10 * place + phase, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name)
            Image.fromarray((pixels > 0).astype(np.uint8)).save(tmp_path / "masks" / name)
    heart = FollowSet("h", tmp_path / "images", tmp_path / "masks", layout="patients")
    found = list(stacks(heart, 10))
    assert [(s.image, s.part) for s in found] == [("P-1", "phase 6"), ("P-1", "phase 17")]
    assert found[1].pixels[:, 0, 0].tolist() == [17, 27, 37, 47]


def test_the_longest_run() -> None:
    assert longest_run([3]) == [3]
    assert longest_run([0, 2, 3, 4, 9, 10, 11]) == [2, 3, 4]


def test_frames_of_a_sequence(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind / "swan").mkdir(parents=True)
    for t in range(3):
        mask = square(4, 5 + t).astype(np.uint8)
        colour = np.stack([mask * 200] * 3, axis=-1)
        Image.fromarray(colour).save(tmp_path / f"images/swan/{t:05d}.jpg")
        Image.fromarray(mask).save(tmp_path / f"masks/swan/{t:05d}.png")
    movie = FollowSet(
        "v", tmp_path / "images", tmp_path / "masks", layout="frames", axis="t", contours=True
    )
    case = only(movie)
    assert case.source.axes == ("t", "y", "x")
    assert case.source.channels == 3
    found = rows(case, case.stack.truth)
    assert {(r.iou, r.contour) for r in found} == {(1, 1)}


def test_contour_measure() -> None:
    a = square(10, 20, 15)
    assert boundary_f(a, a) == 1
    assert boundary_f(a, np.zeros_like(a)) == 0
    assert boundary_f(np.zeros_like(a), a) == 0
    assert boundary_f(np.zeros_like(a), np.zeros_like(a)) == 1
    # The diagonal is 89, so a contour may be off by one pixel.
    assert boundary_f(square(10, 21, 15), a) == 1
    assert boundary_f(square(10, 24, 15), a) < 0.7
    assert boundary_f(square(10, 50, 15), a) == 0
    assert boundary_f(square(10, 24, 15), a, tolerance=0.04) == 1


def test_a_contour_is_one_pixel_wide_on_the_upper_left_side() -> None:
    mask = square(1, 1, 2, (4, 4))
    assert contour(mask).astype(int).tolist() == [
        [1, 1, 1, 0],
        [1, 0, 1, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 0],
    ]


def test_tables(given: FollowSet) -> None:
    case = only(given)
    sure = {(r.label, r.plane): 0.9 for r in rows(case, moving())}
    perfect = list(score(case, Followed(moving(), sure), "m"))
    text = "\n\n".join(report.paragraphs([*perfect, *measure_follow(given, None)]))
    assert "| s | m | 2 | 1.000 [1.000, 1.000]" in text
    assert "| s | copy | 2 |" in text
    paired = report.paired([*perfect, *measure_follow(given, None)], "s", "m", "copy")
    assert paired.value == pytest.approx(0.360, abs=0.001)
    assert report.brief(perfect).startswith("mean 1.00 (1: 1.00")


def test_goals_say_what_is_missed(given: FollowSet) -> None:
    case = only(replace(given, name="ovule_cells"))
    good = rows(case, moving())
    bad = rows(case, np.zeros_like(moving()), "other")
    text = report.goals([*good, *bad], ["ovule_cells"], ["m", "other"])
    assert "| ovule_cells | all | 0.70 | 1.00 | 0.00 missed |" in text


def test_units_are_patients_sequences_or_objects(given: FollowSet) -> None:
    row = rows(only(given), moving())[0]
    assert report.unit(row) == "s/5"
    assert report.unit(replace(row, group="sunnybrook_cmr")) == "s"
    assert report.unit(replace(row, contour=0.5)) == "s"
    assert report.measure(replace(row, iou=0.5, dice=0.7)) == 0.5
    assert report.measure(replace(row, group="sunnybrook_cmr", iou=0.5, dice=0.7)) == 0.7


def test_a_folder_of_stacks_is_followed_from_the_middle(given: FollowSet, tmp_path: Path) -> None:
    some = ("--only", "follow", "--model", "classic", "--out", str(tmp_path / "out"))
    assert main(["evaluate", str(given.images.parent), *some]) == 0
    lines = (tmp_path / "out/follow.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * (PLANES - 1)
    assert "## Following" in (tmp_path / "out/report.md").read_text()


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="there are no real images here")
def test_copying_the_real_label_gives_the_known_figures() -> None:
    known = {"sstem_mito": 0.69, "fib25_neuroproof": 0.85, "sunnybrook_cmr": 0.94}
    for name, value in known.items():
        found = measure_follow(follow_sets(DATA / "eval")[name], None)
        assert report.mean_of(report.near(found, 1, 1)).value == pytest.approx(value, abs=0.01)
