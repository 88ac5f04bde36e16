"""What the section "Whole image" shows, worked out from the sessions by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_ditto.core.run_plan import Kind
from napari_ditto.ui.dockstate import Button, when
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.session import Choice, Session
from napari_ditto.ui.whole.pace import duration, size
from napari_ditto.ui.whole.session import AxisRange, Cost, Counts, Found, WholeSession

PARTS = (
    Choice("whole", "all of it", "Every pixel of each plane"),
    Choice("view", "what is in view", "Only the part that the canvas shows now"),
    Choice("areas", "areas drawn in…", "Objects that touch a shape of a Shapes layer"),
)
PLANES = (
    Choice("all", "all planes", "Every plane of the image"),
    Choice("this", "this plane only", "The plane on show"),
    Choice("range", "a range", "From one plane to another, both included"),
)
JOINS = (
    Choice("none", "each plane by itself", "Objects of different planes have different ids"),
    Choice("z", "joined in z", "What lies over each other in neighbouring slices is one object"),
    Choice("t", "linked in t", "An object keeps its id from time to time as long as it is seen"),
)
PLACES = (
    Choice("here", "this computer", "In the background of this program"),
    Choice("dask", "Dask cluster", "On workers that see the image and the target folder"),
)
NO_IMAGE = "Open an image first"
NO_PLANE = "Show a plane of the image in 2-D first"
NO_EXAMPLE = "Add an example, or choose a tuned prompt, first"
ASKING = "Estimating…"


@dataclass(frozen=True)
class WholeState:
    """Everything the section draws; see :class:`WholeSession` for the meaning of the fields.

    Attributes
    ----------
    kind : {"all", "like"}
        Of the section that draws it.
    what : str
        What will be done, in words.
    note : str
        What it would take, or what is at the target.
    status : str
        Where the run is, or what came of it.
    troubled : bool
        Whether `status` tells of trouble.
    start, pause, retry : str
        Texts of the buttons; ``""`` hides one.
    anew : bool
        Whether to offer a new run beside the one that is there.
    offer : str
        An unfinished run of an earlier session, ``""`` for none.
    failures : tuple of (int, str)
        Tiles that were given up: number, and place with reason.
    buttons : mapping of str to Button
        By action.
    """

    kind: Kind = "all"
    what: str = ""
    part: str = "whole"
    areas: str = ""
    area_choices: tuple[Choice, ...] = ()
    planes: str = "all"
    axes: tuple[AxisRange, ...] = ()
    join: str = "none"
    join_choices: tuple[Choice, ...] = ()
    skip_empty: bool = True
    where: str = "here"
    workers: int = 1
    cluster: str = ""
    why_no_cluster: str = ""
    target: str = ""
    note: str = ""
    running: bool = False
    title: str = ""
    status: str = ""
    troubled: bool = False
    fraction: float | None = None
    start: str = ""
    pause: str = ""
    retry: str = ""
    anew: bool = False
    offer: str = ""
    failures: tuple[tuple[int, str], ...] = ()
    buttons: Mapping[str, Button] = field(default_factory=dict)


def resolve_whole(
    session: Session, examples: ExamplesSession, whole: WholeSession, kind: Kind
) -> WholeState:
    """Return what the section of one dock shows."""
    return WholeState(
        kind=kind,
        what=_what(session, examples, kind),
        part=whole.part,
        areas=whole.areas,
        area_choices=whole.area_choices,
        planes=whole.planes,
        axes=whole.axes,
        join=whole.join,
        join_choices=join_choices(whole, kind, examples.one_kind),
        skip_empty=whole.skip_empty,
        where=whole.where,
        workers=whole.workers,
        cluster=whole.cluster,
        why_no_cluster=whole.why_no_cluster,
        target=whole.target,
        note=_note(whole),
        running=whole.is_running,
        title=whole.title,
        status=_status(whole),
        troubled=not whole.is_running and bool(whole.trouble or whole.error),
        fraction=whole.fraction,
        start=_start(whole),
        pause={"running": "Pause", "paused": "Go on"}.get(whole.phase, ""),
        retry=_retry(whole),
        anew=whole.found is not None and whole.found.plan is not None,
        offer=_offer(whole),
        failures=tuple((f.number, f"{f.place}: {f.reason}") for f in whole.failures),
        buttons=_buttons(session, examples, whole, kind),
    )


def join_choices(whole: WholeSession, kind: Kind, one_kind: bool) -> tuple[Choice, ...]:
    """Return in what ways objects of several planes can become one; none if there is one plane."""
    several = {axis.name for axis in whole.axes if axis.size > 1}
    if whole.planes == "this" or not several or (kind == "like" and not one_kind):
        return ()
    return tuple(choice for choice in JOINS if choice.key == "none" or choice.key in several)


def _what(session: Session, examples: ExamplesSession, kind: Kind) -> str:
    if kind == "all":
        return f"Every object, by {session.model}"
    after = f"the tuned prompt {examples.tuned}" if examples.tuned else _examples(examples)
    return f"More like {after}, by {session.model}"


def _examples(examples: ExamplesSession) -> str:
    count = len(examples.enabled)
    return "the example" if count == 1 else f"the {count} examples" if count else "examples"


def _note(whole: WholeSession) -> str:
    found = whole.found
    if found is not None and found.plan is None:
        return found.what
    if found is not None and found.finished:
        return "A finished run is there"
    if found is not None and whole.differs:
        return f"Resuming keeps the settings it began with; those here differ in {whole.differs}"
    workers = whole.workers if whole.where == "here" else 1
    if found is not None and found.plan is not None:
        return _rest(found, whole.cost, workers)
    return cost_text(whole.cost, workers)


def _rest(found: Found, cost: Cost | None, workers: int) -> str:
    """Return what is left of a run that is resumed."""
    assert found.plan is not None  # noqa: S101 - asked for only if there is one
    tiles = found.plan.count - found.done
    said = "1 tile to go" if tiles == 1 else f"{tiles:,} tiles to go"
    if cost is None or not cost.measured:
        return said
    return f"{said}, about {duration(cost.seconds / cost.tiles * tiles / workers)}"


def cost_text(cost: Cost | None, workers: int = 1) -> str:
    """Return in one line what a run would take."""
    if cost is None:
        return ""
    said = ["1 tile" if cost.tiles == 1 else f"{cost.tiles:,} tiles"]
    if cost.planes > 1:
        said[0] += f" on {cost.planes:,} planes"
    if cost.seconds:
        about = "about" if cost.measured else "roughly"
        said.append(f"{about} {duration(cost.seconds / max(1, workers))}")
    said.append(f"up to {size(cost.disk)} on disk")
    if cost.free and cost.free < cost.disk:
        said.append(f"only {size(cost.free)} free there")
    return ", ".join(said)


def _status(whole: WholeSession) -> str:
    if whole.phase == "starting":
        return whole.step or "Starting…"
    if whole.phase == "stopping":
        return "Stopping: the tiles in work end first…"
    if whole.phase == "idle":
        return whole.trouble or whole.error or whole.report
    said = [whole.step or tiles_text(whole.counts)]
    if whole.phase == "paused":
        said.insert(0, "Paused")
    elif whole.left is not None:
        said.append(f"{duration(whole.left)} left")
    return ", ".join(said)


def tiles_text(counts: Counts) -> str:
    """Return how far the tiles are: ``"tile 37 of 420, 12 empty, 1 failed"``."""
    if not counts.done:
        return f"working on the first of {counts.total:,} tiles" if counts.total else "reading"
    said = [f"tile {counts.done:,} of {counts.total:,}"]
    said += [f"{counts.skipped:,} empty"] if counts.skipped else []
    said += [f"{counts.failed:,} failed"] if counts.failed else []
    return ", ".join(said)


def _start(whole: WholeSession) -> str:
    found = whole.found
    if found is None or found.plan is None:
        return "Run on the whole image" if whole.part == "whole" else "Run"
    if found.finished:
        return "Show the labels"
    return f"Resume ({found.done:,} of {found.plan.count:,} tiles done)"


def _retry(whole: WholeSession) -> str:
    count = len(whole.failures)
    if whole.is_running or not count:
        return ""
    return "Retry the failed tile" if count == 1 else f"Retry {count} failed tiles"


def _offer(whole: WholeSession) -> str:
    if not whole.last or whole.is_running or whole.last == whole.target:
        return ""
    return f"Unfinished: {Path(whole.last).name}"


def _buttons(
    session: Session, examples: ExamplesSession, whole: WholeSession, kind: Kind
) -> dict[str, Button]:
    running = when(whole.phase in ("running", "paused"), "It is starting or stopping")
    return {
        "whole_start": _may_start(session, examples, whole, kind),
        "whole_pause": running,
        "whole_cancel": when(whole.phase != "stopping", "It is stopping already"),
    }


def _may_start(
    session: Session, examples: ExamplesSession, whole: WholeSession, kind: Kind
) -> Button:
    if not session.images:
        return Button(False, NO_IMAGE)
    found = whole.found
    if found is not None and found.plan is not None:
        return Button()
    if session.address is None:
        return Button(False, NO_PLANE)
    if kind == "like" and not (examples.enabled or examples.tuned):
        return Button(False, NO_EXAMPLE)
    if found is not None:
        return Button(False, found.what)
    return when(not whole.trouble, whole.trouble)
