"""What the section "Whole image" knows: one evented state, free of Qt and napari."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_ditto.core.run_plan import Join, Kind
from napari_ditto.ui.session import Choice

if TYPE_CHECKING:
    from napari_ditto.core.run_plan import Plan
    from napari_ditto.engine.whole.work import Failure

Part = Literal["whole", "view", "areas"]
Planes = Literal["all", "this", "range"]
Where = Literal["here", "dask"]
Phase = Literal["idle", "starting", "running", "paused", "stopping"]


@dataclass(frozen=True, slots=True)
class AxisRange:
    """Which planes of an axis are done.

    Attributes
    ----------
    name : str
        The axis.
    size : int
        How many planes the image has.
    first, last : int
        Both included.
    """

    name: str
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Found:
    """A run that is at the target already.

    Attributes
    ----------
    plan : Plan or None
        What it does; None if there is something else at the target.
    done : int
        How many of its tiles are there.
    finished : bool
        Whether nothing is left to do.
    what : str
        Why it cannot be used, ``""`` if it can.
    """

    plan: Plan | None
    done: int = 0
    finished: bool = False
    what: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run would take.

    Attributes
    ----------
    tiles, planes : int
        How many.
    seconds : float
        With one tile at a time.
    disk, free : int
        Bytes that the labels take at most, and that are there; 0 where not known.
    measured : bool
        Whether `seconds` comes from tiles that this program has done before.
    """

    tiles: int
    planes: int
    seconds: float
    disk: int
    free: int
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """Tiles of the run on show: all, done by now or before, empty ones, given up."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass
class WholeSession:
    """Everything that the section shows beside the session that both docks share.

    Attributes
    ----------
    is_open : bool
        Whether a section is on show; nothing is estimated for nobody.
    kind : {"all", "like"}
        Of the section that was looked at last.
    part, areas
        Which part of each plane: all, what the canvas shows, or the shapes of a layer, which goes
        by its unique id.
    area_choices : tuple of Choice
        Layers with shapes.
    planes, axes
        Which planes, and the range on each axis that is not shown.
    join : {"none", "z", "t"}
        Along which axis the objects of single planes become one.
    skip_empty : bool
        Whether tiles without any contrast are left out.
    where, workers, cluster
        Who works: so many threads of this process, or a Dask cluster by its address, scheduler
        file, or ``"local:2"``.
    why_no_cluster : str
        Why no other process can read the image; ``""`` if it can.
    target, target_given
        Folder of the result, and whether the user has named it.
    found : Found or None
        What is there already.
    differs : str
        In what the run found there differs from what is chosen here.
    cost : Cost or None
        What the run would take; None while it is not known.
    phase : {"idle", "starting", "running", "paused", "stopping"}
        Of the run.
    title : str
        What runs, or has run last.
    counts : Counts
        Its tiles.
    step : str
        What it does after the tiles, ``""`` before.
    fraction : float or None
        How much of that is done.
    left : float or None
        Seconds that it will still take.
    failures : tuple of Failure
        The tiles of the last run that were given up.
    report, error : str
        What came of it; what went wrong.
    trouble : str
        Why what is chosen cannot be run.
    layer : str
        Unique id of the Labels layer that shows it.
    last : str
        Target of the last run that did not come to its end, in whatever session.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    is_open: bool = False
    kind: Kind = "all"
    part: Part = "whole"
    areas: str = ""
    area_choices: tuple[Choice, ...] = ()
    planes: Planes = "all"
    axes: tuple[AxisRange, ...] = ()
    join: Join = "none"
    skip_empty: bool = True
    where: Where = "here"
    workers: int = 1
    cluster: str = "local:2"
    why_no_cluster: str = ""
    target: str = ""
    target_given: bool = False
    found: Found | None = None
    differs: str = ""
    cost: Cost | None = None
    phase: Phase = "idle"
    title: str = ""
    counts: Counts = Counts()
    step: str = ""
    fraction: float | None = None
    left: float | None = None
    failures: tuple[Failure, ...] = ()
    report: str = ""
    error: str = ""
    trouble: str = ""
    layer: str = ""
    last: str = ""

    @property
    def is_running(self) -> bool:
        """Whether a run is under way, be it paused."""
        return self.phase != "idle"

    @property
    def folder(self) -> Path:
        """The target as a path."""
        return Path(self.target).expanduser()
