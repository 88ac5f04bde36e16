"""A long series does not fill the memory: what was left behind is let go."""

from __future__ import annotations

import gc
import os

import numpy as np
import psutil
import pytest

from tests.ui.test_project import window  # noqa: F401 - a fixture

pytestmark = pytest.mark.gui

STRESS = bool(os.environ.get("DITTO_STRESS"))
IMAGES, SIDE = (50, 4480) if STRESS else (5, 2240)  # 20 MB, or 5 MB
IMAGE_BYTES = SIDE * SIDE


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def test_resident_memory_stays_bounded(window, tmp_path):  # noqa: F811
    import tifffile

    folder, rng = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    image = rng.integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
    image[100:160, 100:160] = 220
    tifffile.imwrite(folder / "im0.tif", image)
    for number in range(1, IMAGES):
        os.link(folder / "im0.tif", folder / f"im{number}.tif")
    del image
    one = window()
    one.choose("series", [str(folder)])
    sizes = []
    for _ in range(IMAGES - 1):
        one.click((130, 130))
        one.act("next_image")
        assert one.session.error == ""
        sizes.append(resident())
    assert one.part.shown().progress == f"{IMAGES - 1} of {IMAGES} done"
    grown = sizes[-1] - sizes[1]
    print(f"{IMAGES} images of {IMAGE_BYTES / 1e6:.0f} MB: grown by {grown / 1e6:.0f} MB")
    # An image, its labels of four bytes a pixel, and one more image that waits to be collected.
    assert grown < 6 * IMAGE_BYTES + 20e6
