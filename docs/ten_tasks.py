"""Do ten tasks in a real window, count every click, key and drag, and write docs/explain/steps.md.

    xvfb-run -a -s "-screen 0 1600x1200x24" python docs/ten_tasks.py [page [number ...]]

Our steps are counted while they are done (:mod:`robot`), and each task ends with a look at what
came of it. micro-sam's steps are those of its documentation, written down below one by one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fresh import fresh_settings

if __name__ == "__main__":
    fresh_settings()

import napari  # noqa: TID253
from recorded_session import CRACKED, NUCLEI, ROUND_IT, Session, ids
from robot import settle, wait

PAGE = Path(__file__).parent / "explain/steps.md"
COINS = [(52, 44), (56, 100), (50, 155), (51, 215), (52, 276)]
TEN_COINS = [*COINS, (124, 44), (125, 102), (127, 153), (123, 205), (118, 270)]
TOOLS = "[annotation tools](https://computational-cell-analytics.github.io/micro-sam/micro_sam.html#annotation-tools)"
FAQ = (
    "[FAQ](https://computational-cell-analytics.github.io/micro-sam/micro_sam.html#usage-questions)"
)
EMBED = "Compute Embeddings"


@dataclass(frozen=True)
class Task:
    """One task: what we do, and what the other documentation says to do."""

    title: str
    sample: str
    do: Callable[[Session], None]
    ours: str
    theirs: tuple[str, ...]
    source: str
    before: Callable[[Session], None] = lambda session: None
    """What has to be there already; not counted."""


def click_objects(session: Session, spots: list[tuple[float, float]], size: float = 1.0) -> None:
    """Click on each object and accept it."""
    for y, x in spots:
        session.hand.click_image(y * size, x * size)
        wait(lambda: session.state.has_object, "a mask")
        session.hand.key("Q")
        session.rest()


def one_click(session: Session) -> None:
    session.hand.click(session.dock.buttons["new_points"])
    click_objects(session, COINS[:1])
    assert ids(session.labels("Ditto labels [Coins]")) == [1]


def one_box(session: Session) -> None:
    session.hand.click(session.dock.buttons["new_boxes"])
    session.hand.drag_image(*ROUND_IT)
    session.rest()
    session.hand.key("Q")
    session.rest()
    assert 2300 < (session.labels("Ditto labels [Coins]") == 1).sum() < 2700


def exclude(session: Session) -> None:
    hand = session.hand
    hand.click(session.dock.buttons["new_points"])
    hand.click_image(*CRACKED)
    wait(lambda: session.state.has_object, "a mask")
    hand.key("W")
    hand.click_image(60, 310)
    session.rest()
    hand.key("Q")
    session.rest()
    labels = session.labels("Ditto labels [Coins]")
    assert ids(labels) == [1]
    assert labels[60, 310] == 0


def ten_objects(session: Session) -> None:
    session.hand.click(session.dock.buttons["new_points"])
    session.hand.key("Shift+B")
    for spot in TEN_COINS:
        session.hand.click_image(*spot)
    session.rest()
    session.hand.key("Q")
    session.rest()
    labels = session.labels("Ditto labels [Coins]")
    assert len({int(labels[y, x]) for y, x in TEN_COINS} - {0}) == 10


def everything(session: Session) -> None:
    session.hand.key("G")
    session.rest()
    assert len(ids(session.labels("Ditto labels [Coins]"))) >= 20


def on_a_large_image(session: Session) -> None:
    session.hand.click(session.dock.buttons["new_points"])
    (y, x), scale = a_cell(session), session.viewer.layers[0].scale
    click_objects(session, [(y * scale[-2], x * scale[-1])])
    assert session.state.undo_text


def a_cell(session: Session) -> tuple[int, int]:
    """Return a bright place near the middle, and zoom in on it, which both programs need."""
    data, scale = session.viewer.layers[0].data[0], session.viewer.layers[0].scale
    middle = 30_000
    part = np.asarray(data[middle : middle + 300, middle : middle + 300])
    y, x = np.unravel_index(part[100:200, 100:200].argmax(), (100, 100))
    at = middle + 100 + int(y), middle + 100 + int(x)
    camera = session.viewer.scene.camera
    camera.center, camera.zoom = tuple(np.multiply(at, scale[-2:])), 2.0 / scale[-1]
    settle(1.0)
    return at


def take_back(session: Session) -> None:
    session.hand.key("Ctrl+Z")
    session.rest()
    assert ids(session.labels("Ditto labels [Coins]")) == []
    assert not session.state.prompts.is_empty, "the click is back, too"


def correct_accepted(session: Session) -> None:
    hand, target = session.hand, "Ditto labels [Coins]"
    before = session.labels(target).copy()
    hand.point_at(*COINS[0])
    hand.key("Shift+O")
    session.rest()
    hand.click_image(COINS[0][0] + 6, COINS[0][1] + 6)
    wait(lambda: session.state.has_object, "a mask")
    hand.key("Q")
    session.rest()
    after = session.labels(target)
    assert ids(after) == ids(before)
    assert np.array_equal(after == 2, before == 2), "the other object is as it was"


def through_a_stack(session: Session) -> None:
    session.hand.click(session.dock.buttons["new_points"])
    click_objects(session, FIVE_NUCLEI, 0.25)
    session.hand.key("Shift+F")
    session.rest(600)
    labels = session.labels("Ditto labels [Nuclei]")
    assert all((labels == i).any((1, 2)).sum() >= 3 for i in range(1, 6))


FIVE_NUCLEI = [*NUCLEI, (39, 116)]


def a_movie(session: Session) -> None:
    session.hand.key("G")
    session.rest()
    session.hand.key("Shift+F")
    session.rest(600)
    tracks = [layer for layer in session.viewer.layers if hasattr(layer, "graph")]
    assert tracks
    assert len(tracks[0].graph) >= 10, "daughters"


def with_points(session: Session) -> None:
    """Have the tool in the hand and some objects accepted."""
    session.hand.click(session.dock.buttons["new_points"])
    click_objects(session, COINS[:1])


def with_two(session: Session) -> None:
    with_points(session)
    click_objects(session, COINS[1:2])


STACK = "Nuclei, z-stack with truth (generated)"
MOVIE = "Dividing cells, movie with truth (generated)"
COIN_SAMPLE, HUGE = "Coins (photograph)", "60,000 x 60,000 pixels, lazy (generated)"

TASKS = (
    Task(
        "One object, by a click",
        COIN_SAMPLE,
        one_click,
        "*Points*, click, Q",
        (EMBED, "click", "S", "C"),
        f"{TOOLS}, Annotator 2D, 2, 4, 6",
    ),
    Task(
        "One object, by a box",
        COIN_SAMPLE,
        one_box,
        "*Boxes*, drag, Q",
        (EMBED, "drag", "S", "C"),
        f"{TOOLS}, Annotator 2D, 2, 4, 6",
    ),
    Task(
        "A mask with too much, corrected by a click beside the object",
        COIN_SAMPLE,
        exclude,
        "*Points*, click, W, click, Q",
        (EMBED, "click", "S", "T", "click", "S", "C"),
        f"{TOOLS}, Annotator 2D, 2 to 4, 6",
    ),
    Task(
        "Ten objects, a click each",
        COIN_SAMPLE,
        ten_objects,
        "*Points*, Shift+B, ten clicks, Q",
        (EMBED, "batched", *10 * ["click"], "S", "C"),
        f"{TOOLS}, Annotator 2D, 2, 4, 6",
    ),
    Task(
        "Everything on an image",
        COIN_SAMPLE,
        everything,
        "G",
        (EMBED, "Automatic Segmentation", "open the list of layers", "auto_segmentation", "C"),
        f"{TOOLS}, Annotator 2D, 2, 5, 6",
    ),
    Task(
        "One object on an image with tens of thousands of pixels a side",
        HUGE,
        on_a_large_image,
        "*Points*, click, Q",
        ("Embedding Settings", "tile_x", "tile_y", "halo_x", "halo_y", EMBED, "click", "S", "C"),
        f"{FAQ}, usage 3",
    ),
    Task(
        "Take back an object that was accepted a moment ago",
        COIN_SAMPLE,
        take_back,
        "Ctrl+Z; the click comes back, too",
        ("committed_objects", "fill tool", "label 0", "click"),
        "not in the documentation; with napari's own tools, and the prompts stay lost",
        with_points,
    ),
    Task(
        "Correct an object that was accepted earlier",
        COIN_SAMPLE,
        correct_accepted,
        "Shift+O over it, click, Q",
        ("committed_objects", "picker", "click", "brush", "a stroke"),
        f"{FAQ}, usage 6; with napari's own tools and at least one stroke",
        with_two,
    ),
    Task(
        "Five objects through a stack",
        STACK,
        through_a_stack,
        "*Points*, five times click and Q, Shift+F",
        (EMBED, *5 * ["click", "S", "Shift+S", "C"]),
        f"{TOOLS}, Annotator 3D, 2, 4, 5, 7: one object at a time",
    ),
    Task(
        "All cells of a movie, with their divisions",
        MOVIE,
        a_movie,
        "G, Shift+F",
        (EMBED, "Automatic Tracking", "C"),
        "its source at 1.8.10, with Trackastra; the documented way, by hand, takes more",
    ),
)


def count(task: Task) -> int:
    """Do a task in a window of its own; return the number of steps."""
    viewer = napari.Viewer(title="napari-ditto")
    viewer.window.resize(1280, 860)
    settle(0.5)
    session = Session(viewer)
    session.open_sample(task.sample)
    session.open_dock()
    session.dock.confirm = lambda question: True  # type: ignore[method-assign]
    # Samples bring their truth as a layer on top; with an image of one's own nothing lies there.
    viewer.layers.selection.active = viewer.layers[0]
    task.before(session)
    session.hand.did.clear()
    task.do(session)
    steps = session.hand.did.total()
    viewer.close()
    settle(0.3)
    return steps


HEAD = """\
# Clicks and keys, counted

Written by `docs/ten_tasks.py`. It does ten tasks in a real window, by real events of mouse and
keyboard, checks what came of each, and counts what it pressed: a click, a drag, a key or chord, or
a field filled in is one step. The steps of [micro-sam](../compare.md#micro-sam) (1.8) are those
that its documentation tells, one by one in the last column; they were counted, not done.
Steps are not seconds, and fewer steps are not better masks.

Both start with the image open, the plugin's window open and the default model. To choose a layer
or a tool before a prompt is counted for us (*Points*) and not for micro-sam, since its
documentation does not mention it.

| | task | napari-ditto | micro-sam | ours | theirs |
|---|---|---|---|---|---|
"""


def row(number: int, task: Task, ours: int) -> str:
    """Return a line of the table."""
    theirs = ", ".join(shortened(task.theirs))
    numbers = f"**{ours}**" if ours < len(task.theirs) else f"{ours}"
    return (
        f"| {number} | {task.title} | {numbers} | {len(task.theirs)} | {task.ours} "
        f"| {theirs} ({task.source}) |"
    )


def shortened(steps: tuple[str, ...]) -> list[str]:
    """Return steps with repetitions counted, so that twenty fit on a line."""
    for length in (1, 4):
        for start in range(len(steps)):
            part = steps[start : start + length]
            times = 1
            while steps[start + times * length : start + (times + 1) * length] == part:
                times += 1
            if times > 2:
                inside = f"{times} × ({', '.join(part)})"
                return [*steps[:start], inside, *steps[start + times * length :]]
    return list(steps)


def main(page: Path, numbers: list[int]) -> None:
    """Do the tasks; write the page if all were done."""
    rows = []
    for number in numbers or range(1, len(TASKS) + 1):
        task = TASKS[number - 1]
        ours = count(task)
        rows.append(row(number, task, ours))
        print(f"{number:2d}  {ours:3d} : {len(task.theirs):<3d} {task.title}", flush=True)
    if len(rows) == len(TASKS):
        page.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE, [int(n) for n in sys.argv[2:]])
