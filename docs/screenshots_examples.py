"""Make docs/images/tutorial-*.png: the steps of tutorials, done in the real program.

Without a display run it under Xvfb:

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_examples.py [folder [part ...]]

The parts are coins, stack, movie, em, village and nuclei.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from screenshots import finish, napari, settle, wait

from napari_ditto.ui import samples
from napari_ditto.ui.widgets.dock import DittoDock
from napari_ditto.ui.widgets.examples_dock import ExamplesDock
from napari_ditto.ui.widgets.objects_dock import ObjectsDock

COIN = (46, 100)
NUCLEI = [(86, 100), (186, 139), (188, 182), (232, 13)]
CELLS = [(47, 34), (134, 209)]


def opened(name: str) -> tuple[napari.Viewer, DittoDock, ExamplesDock]:
    """Open a sample and both docks, one behind the other, as the menu does."""
    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 800)
    for entry in getattr(samples, name)():
        viewer.add_layer(napari.layers.Layer.create(*entry))
    viewer.layers.selection = {viewer.layers[0]}
    docks = DittoDock(viewer), ExamplesDock(viewer)
    for dock, title in zip(docks, ("Ditto", "Ditto examples"), strict=True):
        dock.confirm = lambda question: True  # type: ignore[method-assign]
        viewer.window.add_dock_widget(dock, name=title, area="right", tabify=title != "Ditto")
    settle(1.0)
    viewer.reset_view()
    return viewer, *docks


def click_on(viewer: napari.Viewer, dock: DittoDock, spots: Sequence[tuple[int, ...]]) -> None:
    """Label one object per click, as the first tutorial does."""
    session, act = dock.controller.session, dock.controller.act
    act("new_points")
    name = f"Ditto points [{viewer.layers[0].name}]"
    for spot in spots:
        at = (*viewer.dims.current_step[: viewer.layers[0].ndim - 2], *spot)
        viewer.layers[name].add([at])
        wait(lambda: session.has_object or bool(session.error))
        act("accept")
        wait(lambda: session.hint.startswith("Accepted") or bool(session.error))
        if session.error and "tuned" not in session.error:
            raise RuntimeError(session.error)
    viewer.layers[name].visible = False


def show(viewer: napari.Viewer, dock: ExamplesDock) -> None:
    """Bring a dock to the front of those behind one another."""
    frame = dock
    while frame is not None:
        frame.raise_()
        frame = frame.parentWidget()
    viewer.layers.selection = {viewer.layers[0]}
    settle()


def shoot(viewer: napari.Viewer, path: Path) -> None:
    """Take a picture of the window and close it."""
    settle()
    viewer.reset_view()
    settle()
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()


def coins(folder: Path) -> None:
    """Coins from one coin."""
    viewer, dock, examples = opened("coins")
    click_on(viewer, dock, [COIN])
    show(viewer, examples)
    examples.buttons["add_example"].click()
    finish(examples)
    examples.like.run.click()
    finish(examples)
    print("coins:", examples.like.found.text())
    shoot(viewer, folder / "tutorial-coins.png")


def stack(folder: Path) -> None:
    """Follow a few nuclei through a stack, and look at the first doubt."""
    viewer, dock, examples = opened("stack")
    viewer.dims.set_current_step(0, 12)
    follow(viewer, dock, examples, NUCLEI)
    print("stack:", examples.follow.text.text())
    examples.tabs.setCurrentWidget(examples.review)
    examples.review.buttons["next_doubt"].click()
    finish(examples)
    viewer.dims.set_current_step(0, 14)
    shoot(viewer, folder / "tutorial-stack.png")


def movie(folder: Path) -> None:
    """Find and link the cells of a movie after two cells of its first frame."""
    viewer, dock, examples = opened("movie")
    viewer.dims.set_current_step(0, 0)
    follow(viewer, dock, examples, CELLS)
    print("movie:", examples.follow.text.text())
    viewer.dims.set_current_step(0, 16)
    shoot(viewer, folder / "tutorial-movie.png")


def em(folder: Path) -> None:
    """Follow three mitochondria through an EM stack."""
    viewer, dock, examples = opened("em")
    viewer.dims.set_current_step(0, 10)
    spots = middles(viewer.layers[1].data[10])[:3]
    follow(viewer, dock, examples, spots)
    print("em:", examples.follow.text.text())
    viewer.dims.set_current_step(0, 12)
    shoot(viewer, folder / "tutorial-em.png")


def village(folder: Path) -> None:
    """Find all roofs after three of them."""
    viewer, dock, examples = opened("village")
    click_on(viewer, dock, [middles(viewer.layers[1].data)[i] for i in (9, 13, 14)])
    show(viewer, examples)
    examples.buttons["add_example"].click()
    finish(examples)
    examples.like.run.click()
    finish(examples)
    print("village:", examples.like.found.text())
    shoot(viewer, folder / "tutorial-village.png")


def nuclei(folder: Path) -> None:
    """Label one slice, and list its objects with two classes."""
    viewer, dock, _ = opened("stack")
    dock.controller.act("segment_all")
    finish(dock)
    objects = ObjectsDock(viewer)
    viewer.window.add_dock_widget(objects, name="Ditto objects", area="right", tabify=True)
    settle(1.0)
    show(viewer, objects)
    print("nuclei:", objects.note.text())
    shoot(viewer, folder / "tutorial-nuclei.png")


def middles(labels: np.ndarray) -> list[tuple[int, int]]:
    """Return where one would click on each object."""
    spots = [np.argwhere(labels == i).mean(0).round() for i in np.unique(labels)[1:]]
    return [(int(y), int(x)) for y, x in spots]


def follow(
    viewer: napari.Viewer, dock: DittoDock, examples: ExamplesDock, spots: Sequence[tuple[int, int]]
) -> None:
    click_on(viewer, dock, spots)
    show(viewer, examples)
    examples.buttons["add_example"].click()
    finish(examples)
    examples.tabs.setCurrentWidget(examples.follow)
    examples.follow.run.click()
    finish(examples)


PARTS = {
    "coins": coins,
    "stack": stack,
    "movie": movie,
    "em": em,
    "village": village,
    "nuclei": nuclei,
}

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    target.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[2:] or PARTS:
        PARTS[part](target)
