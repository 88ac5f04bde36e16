from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_ditto.core.prompts import PointPrompt
from napari_ditto.evaluation import clicks

SEEDS = st.integers(0, 2**31)
MASKS = arrays(bool, (9, 11))


def at(mask: np.ndarray, click: PointPrompt) -> bool:
    return bool(mask[int(click.y), int(click.x)])


def disc(radius: float, side: int = 41) -> np.ndarray:
    y, x = np.indices((side, side)) - side // 2
    return np.hypot(y, x) <= radius


def test_the_centre_of_a_disc() -> None:
    assert clicks.centre_click(disc(9)) == PointPrompt(20, 20)


@given(MASKS, SEEDS)
def test_first_clicks_lie_on_the_object(mask: np.ndarray, seed: int) -> None:
    assume(mask.any())
    assert at(mask, clicks.centre_click(mask))
    assert at(mask, clicks.random_click(mask, np.random.default_rng(seed)))


@given(SEEDS)
def test_a_random_click_keeps_off_the_edge(seed: int) -> None:
    mask = disc(7)
    click = clicks.random_click(mask, np.random.default_rng(seed))
    assert clicks.depth(mask)[int(click.y), int(click.x)] >= 2


def test_random_clicks_reach_the_whole_object() -> None:
    mask, rng = disc(5), np.random.default_rng(0)
    found = {(c.y, c.x) for c in (clicks.random_click(mask, rng) for _ in range(2000))}
    assert len(found) == np.count_nonzero(clicks.depth(mask) >= 2)


@given(MASKS, MASKS)
def test_the_next_click_lies_in_the_largest_error(mask: np.ndarray, truth: np.ndarray) -> None:
    click = clicks.next_click(mask, truth, ())
    if click is None:
        assert (mask == truth).all()
        return
    missed = clicks.largest_component(truth & ~mask)
    false = clicks.largest_component(mask & ~truth)
    larger, positive = (missed, True) if missed.sum() >= false.sum() else (false, False)
    assert at(larger, click)
    assert click.positive == positive


@given(MASKS, MASKS)
def test_clicks_never_repeat_and_end(mask: np.ndarray, truth: np.ndarray) -> None:
    said: list[PointPrompt] = []
    while (click := clicks.next_click(mask, truth, said)) is not None:
        assert click not in said
        said.append(click)
    assert len(said) == np.count_nonzero(mask != truth)


def test_the_next_click_by_hand() -> None:
    truth, mask = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[2:5, 2:5] = True  # 9 pixels missed
    mask[10:15, 10:15] = True  # 25 pixels too much
    assert clicks.next_click(mask, truth, ()) == PointPrompt(12, 12, positive=False)
    mask[10:15, 10:15] = False
    assert clicks.next_click(mask, truth, ()) == PointPrompt(3, 3)


def test_the_exact_box_has_its_edges_between_pixels() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:7] = True
    box = clicks.exact_box(mask)
    assert (box.y0, box.x0, box.y1, box.x1) == (1.5, 2.5, 4.5, 6.5)


@given(MASKS, st.floats(0, 3), SEEDS)
def test_noisy_boxes_stay_in_the_image_and_are_a_pixel_wide(
    mask: np.ndarray, noise: float, seed: int
) -> None:
    assume(mask.any())
    box = clicks.noisy_box(mask, noise, np.random.default_rng(seed))
    assert -0.5 <= box.y0 <= box.y1 - 1 + 1e-9 <= mask.shape[0] - 1.5 + 1e-9
    assert -0.5 <= box.x0 <= box.x1 - 1 + 1e-9 <= mask.shape[1] - 1.5 + 1e-9


@given(SEEDS)
def test_noise_is_a_part_of_the_side(seed: int) -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:30, 20:40] = True
    exact = clicks.exact_box(mask)
    box = clicks.noisy_box(mask, 0.1, np.random.default_rng(seed))
    assert max(abs(box.y0 - exact.y0), abs(box.y1 - exact.y1)) <= 1
    assert max(abs(box.x0 - exact.x0), abs(box.x1 - exact.x1)) <= 2
