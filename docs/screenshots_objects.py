"""Make docs/images/objects-*.png: the table of objects with classes, in the real program.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_objects.py [folder]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from screenshots import settle, wait
from screenshots_examples import opened

from napari_ditto.ui.objects_table.state import ObjectsState
from napari_ditto.ui.widgets.objects_dock import ObjectsDock


def coins(folder: Path) -> None:
    """Everything on the coins, told apart by size."""
    viewer, dock, _ = opened("coins")
    viewer.window.resize(1280, 900)
    objects = ObjectsDock(viewer)
    viewer.window.add_dock_widget(objects, name="Ditto objects", area="right", tabify=True)
    settle()
    choose = objects.controller.choose
    for _ in range(2):
        objects.classes.add.click()
        settle(0.3)
    small, large = state(objects).classes
    choose(
        "objects.classes", (replace(small, name="small coin"), replace(large, name="large coin"))
    )
    choose("objects.current", small.id)
    dock.controller.act("segment_all")
    wait(lambda: len(state(objects).rows) > 20 and bool(state(objects).rows.places.sizes[0] > 0))
    places = state(objects).rows.places
    above = places.ids[places.sizes > np.median(places.sizes)]
    choose("objects.class_of", (tuple(above.tolist()), large.id))
    choose("objects.by_class", True)
    choose("objects.sort", ("area", True))
    objects.class_fold.expand()
    settle(2.0)
    viewer.layers.selection = {viewer.layers[0]}
    choose("objects.jump", (int(state(objects).rows.shown[2]), False))
    settle(1.0)
    raise_dock(objects)
    objects.grab().save(str(folder / "objects-dock.png"))
    viewer.reset_view()
    settle()
    viewer.screenshot(str(folder / "objects-window.png"), canvas_only=False, flash=False)
    viewer.close()


def state(objects: ObjectsDock) -> ObjectsState:
    """Return what the dock shows."""
    found = objects.parts["objects"]
    assert isinstance(found, ObjectsState)
    return found


def raise_dock(dock: ObjectsDock) -> None:
    """Bring a dock to the front of those behind one another."""
    frame = dock.parentWidget()
    while frame is not None:
        frame.raise_()
        frame = frame.parentWidget()
    settle()


if __name__ == "__main__":
    images = Path(__file__).parent / "images"
    coins(Path(sys.argv[1]) if len(sys.argv) > 1 else images)
