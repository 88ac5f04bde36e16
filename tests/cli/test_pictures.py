"""Outlines follow the labels exactly, and prompts are drawn where they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_ditto.cli import pictures
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet

GREY = np.full((40, 60, 3), 0.5, dtype=np.float32)


def squares() -> np.ndarray:
    labels = np.zeros((40, 60), dtype=np.uint32)
    labels[10:20, 10:20] = 1
    labels[10:20, 20:30] = 2
    return labels


def test_no_label_leaves_the_image_alone() -> None:
    shown = pictures.overlay(GREY, np.zeros((40, 60), dtype=int))
    assert np.unique(shown).tolist() == [128]


def test_outlines_lie_inside_the_label_also_between_neighbours() -> None:
    edge = pictures.borders(squares())
    assert edge.sum() == 2 * (10 * 4 - 4)
    assert not edge[squares() == 0].any()


def test_neighbouring_ids_have_different_strong_colours() -> None:
    wheel = pictures.colours(np.arange(1, 50))
    assert np.abs(np.diff(wheel, axis=0)).max(axis=1).min() > 0.5
    assert (wheel.max(axis=1) > 0.99).all()


def test_labels_are_tinted() -> None:
    shown = pictures.overlay(GREY, squares())
    assert len({tuple(shown[15, 15]), tuple(shown[15, 25]), tuple(shown[5, 5])}) == 3


def test_prompts_are_drawn_row_first() -> None:
    said = PromptSet(
        (PointPrompt(30, 50), PointPrompt(30, 10, False)), box=BoxPrompt(5, 15, 20, 45)
    )
    shown = pictures.mark(np.zeros((40, 60, 3), dtype=np.uint8), [said])
    assert tuple(shown[30, 50]) == pictures.HERE
    assert tuple(shown[30, 10]) == pictures.NOT_HERE
    assert tuple(shown[5, 30]) == tuple(shown[12, 15]) == pictures.HERE


def test_facts_are_kept_in_the_file(tmp_path: Path) -> None:
    from PIL import Image

    pictures.save(tmp_path / "a.png", np.zeros((4, 4, 3), dtype=np.uint8), '{"model": "classic"}')
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.text["Description"] == '{"model": "classic"}'
