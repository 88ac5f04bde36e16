"""A session by mouse and keyboard in a real window, checked and photographed at each step.

    xvfb-run -a -s "-screen 0 1600x1200x24" python docs/recorded_session.py [folder [part ...]]

writes docs/images/session-*.png. The parts are coins (click, refine, accept, undo, more like this,
export) and stack (follow, fix one). Nothing but events reaches the program; what it holds is only
looked at.
``tests/ui/test_recorded_session.py`` runs it with each Qt binding.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fresh import fresh_settings
from numpy.typing import NDArray

if __name__ == "__main__":
    fresh_settings()

import napari  # noqa: TID253
from robot import Hand, settle, wait

from napari_ditto.ui.widgets.dock import DittoDock
from napari_ditto.ui.widgets.examples_dock import ExamplesDock
from napari_ditto.ui.widgets.objects_dock import ObjectsDock

CRACKED = (45, 310)
"""At the left edge of the cracked coin at the upper right; a click there finds its left half."""
ROUND_IT = (12, 302), (75, 368)
COIN = (56, 100)
NUCLEI = [(86, 100), (186, 139), (188, 182), (232, 13)]


@dataclass
class Session:
    """A window, a hand, and what it shows."""

    viewer: napari.Viewer
    folder: Path | None = None
    """Where pictures go; none are taken without."""
    hand: Hand = field(init=False)
    shots: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hand = Hand(self.viewer)

    @property
    def dock(self) -> DittoDock:
        return self.hand.window.findChildren(DittoDock)[0]

    @property
    def examples(self) -> ExamplesDock:
        return self.hand.window.findChildren(ExamplesDock)[0]

    @property
    def objects(self) -> ObjectsDock:
        return self.hand.window.findChildren(ObjectsDock)[0]

    @property
    def state(self):
        """What the program knows; looked at, never changed."""
        return self.dock.controller.session

    def rest(self, seconds: float = 120.0) -> None:
        """Wait until nothing is at work, and no error is shown."""
        for pause in (0.2, 0.1):
            settle(pause)
            wait(lambda: not self.state.working, f"the end of '{self.state.working}'", seconds)
        assert not self.state.error, self.state.error

    def shot(self, name: str) -> None:
        """Take a picture of the window."""
        self.shots.append(name)
        if self.folder is not None:
            settle(0.5)
            path = self.folder / f"session-{name}.png"
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def open_sample(self, title: str) -> None:
        self.hand.menu("File", "Open Sample", "Ditto", title)
        settle(0.5)

    def open_dock(self, title: str = "Ditto") -> None:
        self.hand.menu("Plugins", "Ditto", title)
        settle(0.5)
        self.hand.press_home()
        self.rest()

    def labels(self, name: str) -> NDArray[np.integer]:
        return np.asarray(self.viewer.layers[name].data)

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask on show in its box, and assert that there is one."""
        assert self.state.has_object
        return self.state.proposals.masks[self.state.choice]


def coins(session: Session) -> None:
    """Click, refine, accept, undo, more like this, export."""
    hand, dock_of = session.hand, "Coins"
    session.open_sample("Coins (photograph)")
    session.open_dock()
    assert session.state.model == "ditto"
    session.shot("1-open")

    hand.click(session.dock.buttons["new_points"])
    hand.click_image(*CRACKED)
    wait(lambda: session.state.has_object, "a mask")
    half = session.mask().sum()
    session.shot("2-click")

    hand.key("N")
    settle(0.2)
    whole = session.mask().sum()
    assert whole > 2 * half, "the second proposal is the whole coin"
    hand.click(session.dock.buttons["new_boxes"])
    hand.drag_image(*ROUND_IT)
    session.rest()
    assert 2300 < session.mask().sum() < 2700
    session.shot("3-refine")

    hand.key("Q")
    session.rest()
    target = f"Ditto labels [{dock_of}]"
    assert ids(session.labels(target)) == [1]
    assert session.labels(target)[39, 345] == 1, "the other half of the cracked coin, too"
    assert session.state.prompts.is_empty
    session.shot("4-accept")

    hand.key("Ctrl+Z")
    session.rest()
    assert ids(session.labels(target)) == []
    assert not session.state.prompts.is_empty, "the prompts are back"
    session.shot("5-undo")
    hand.key("Ctrl+Shift+Z")
    session.rest()
    assert ids(session.labels(target)) == [1]

    hand.click(session.dock.buttons["new_points"])
    hand.click_image(*COIN)
    wait(lambda: session.state.has_object, "a mask")
    hand.key("Q")
    session.rest()
    assert ids(session.labels(target)) == [1, 2]
    session.open_dock("Ditto examples")
    hand.click(session.examples.buttons["add_example"])
    session.rest()
    hand.click(session.examples.like.run)
    session.rest()
    found = session.labels(f"Ditto like [{dock_of}]")
    assert 22 <= len(ids(found)) <= 27
    session.shot("6-like")

    hand.click_layer(f"Ditto like [{dock_of}]")
    session.open_dock("Ditto objects")
    written = Path(tempfile.mkdtemp()) / "coins.geojson"
    asked = hand.then_save_as(written)
    hand.click(session.objects.exporting.button)
    asked()
    wait(written.exists, "the exported file")
    session.rest()
    assert len(json.loads(written.read_text())["features"]) == len(ids(found))
    session.shot("7-export")


def stack(session: Session) -> None:
    """Follow nuclei through a stack, and fix the first doubt."""
    hand, target = session.hand, "Ditto labels [Nuclei]"
    session.open_sample("Nuclei, z-stack with truth (generated)")
    session.open_dock()
    hand.click(session.dock.buttons["new_points"])
    middle = session.viewer.dims.current_step[0]
    for number, (y, x) in enumerate(NUCLEI, 1):
        hand.click_image(y * 0.25, x * 0.25)
        wait(lambda: session.state.has_object, "a mask")
        hand.key("Q")
        session.rest()
        assert ids(session.labels(target)) == list(range(1, number + 1))
    session.open_dock("Ditto examples")
    hand.click(session.examples.buttons["add_example"])
    session.rest()
    hand.click_tab(session.examples.tabs, "Follow")
    hand.click(session.examples.follow.run)
    session.rest(600)
    followed = session.labels(target)
    assert ids(followed[middle]) == [1, 2, 3, 4]
    assert all((followed == i).any((1, 2)).sum() >= 3 for i in (1, 2, 3, 4))
    session.shot("8-follow")

    review = session.examples.review
    hand.click_tab(session.examples.tabs, "Review")
    doubts = session.examples.examples.doubts
    hand.click(review.buttons["next_doubt"])
    session.rest()
    doubt, _ = doubts[0]
    here = session.viewer.dims.current_step[0]
    assert here == doubt.address.index["z"]
    session.shot("9-review")

    before = session.labels(target).copy()
    y, x = np.argwhere(before[here] == doubt.label).mean(0)
    hand.click(review.buttons["fix_doubt"])
    session.rest()
    hand.click_image(y * 0.25, x * 0.25)
    wait(lambda: session.state.has_object, "a mask")
    session.shot("10-fix")
    hand.key("Q")
    session.rest()
    after = session.labels(target)
    changed = before != after
    assert set(np.unique(after[changed])) <= {0, doubt.label}, "fixed under its own id"
    assert not np.delete(changed, here, axis=0).any(), "no other plane was touched"
    assert len(session.examples.examples.doubts) < len(doubts)
    session.shot("11-fixed")


def ids(labels: NDArray[np.integer]) -> list[int]:
    """Return the ids in a label image, without the background."""
    return [int(i) for i in np.unique(labels) if i]


PARTS = {"coins": coins, "stack": stack}


def windows(parts: list[str]) -> Iterator[tuple[str, napari.Viewer]]:
    """Open a window for each part, and close it."""
    for part in parts:
        viewer = napari.Viewer(title="napari-ditto")
        viewer.window.resize(1280, 860)
        settle(1.0)
        yield part, viewer
        viewer.close()


def main(folder: Path, parts: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, viewer in windows(parts):
        session = Session(viewer, folder)
        PARTS[part](session)
        done = ", ".join(f"{n} {what}s" for what, n in sorted(session.hand.did.items()))
        print(f"{part}: {done}; {', '.join(session.shots)}")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    main(target, sys.argv[2:] or list(PARTS))
