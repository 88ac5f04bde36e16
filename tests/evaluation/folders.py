"""Folders of synthetic images with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_ditto.testing.fakes import paint_truth

PLACES = ((20, 24, 9), (60, 30, 12), (40, 75, 14), (75, 80, 8))


def labels(number: int = 0, shape: tuple[int, int] = (96, 104)) -> np.ndarray:
    """Return four discs that keep apart, moved a little by `number`."""
    y, x = np.indices(shape)
    out = np.zeros(shape, np.uint8)
    for k, (cy, cx, r) in enumerate(PLACES, 1):
        out[np.hypot(y - cy - number, x - cx) <= r] = k
    return out


def bright(ids: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return objects brighter than the background, with some noise."""
    noise = np.random.default_rng(seed).normal(0, 6, ids.shape)
    return np.clip(np.where(ids > 0, 170, 60) + noise, 0, 255).astype(np.uint8)


def write(folder: Path, count: int = 3, truth: bool = False, semantic: bool = False) -> Path:
    """Write images/ and masks/; with `truth` the image itself tells a fake model the answer."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for k in range(count):
        ids = labels(k)
        image = paint_truth(ids) if truth else bright(ids, k)
        mask = (ids > 0).astype(np.uint8) if semantic else ids
        Image.fromarray(image).save(folder / "images" / f"field{k}.png")
        Image.fromarray(mask).save(folder / "masks" / f"field{k}.png")
    return folder
