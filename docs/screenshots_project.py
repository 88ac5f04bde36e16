"""Make docs/images/project-series.png: the third image of a series, two of which are done.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_project.py [folder]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from fresh import fresh_settings

fresh_settings()

import imageio.v3 as iio  # noqa: E402
import napari  # noqa: E402, TID253
import numpy as np  # noqa: E402
from screenshots import settle, wait  # noqa: E402
from skimage import data  # noqa: E402, TID253
from skimage.filters import gaussian  # noqa: E402, TID253
from skimage.measure import label, regionprops  # noqa: E402, TID253

from napari_ditto.ui.widgets.dock import DittoDock  # noqa: E402

PARTS = [np.s_[:150, :190], np.s_[:150, 190:380], np.s_[150:300, :190], np.s_[150:300, 190:380]]
PER_IMAGE = 3


def coins_in(image: np.ndarray) -> list[tuple[float, float]]:
    """Return where the largest coins are."""
    bright = label(gaussian(image, 2) > 0.45)
    found = sorted(regionprops(bright), key=lambda region: -region.area)[:PER_IMAGE]
    return [region.centroid for region in found]


def series(folder: Path) -> Path:
    """Write the coins in four pieces."""
    for number, part in enumerate(PARTS, 1):
        iio.imwrite(folder / f"coins_{number}.png", data.coins()[part])
    return folder


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        images = series(Path(scratch))
        viewer = napari.Viewer(show=True, title="napari-ditto")
        viewer.window.resize(1280, 860)
        dock = DittoDock(viewer)
        viewer.window.add_dock_widget(dock, name="Ditto", area="right")
        dock.project_fold.expand()
        act, choose, session = dock.controller.act, dock.controller.choose, dock.controller.session

        def idle() -> None:
            settle(0.5)
            wait(lambda: not (session.asked or session.working))
            settle(0.3)

        choose("project.series", [str(images)])
        idle()
        act("new_points")
        choose("project.save", str(images / "coins.ditto-session"))
        for number, part in enumerate(PARTS[:3]):
            for spot in coins_in(data.coins()[part]):
                points = next(x for x in viewer.layers if x.name.startswith("Ditto points"))
                points.add(spot)
                idle()
                act("accept")
                idle()
            if number < 2:
                act("next_image")
                idle()
        settle(1.0)
        viewer.screenshot(str(folder / "project-series.png"), canvas_only=False, flash=False)
        viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("images"))
