"""What the dock "Ditto examples" knows: one evented state, free of Qt and napari."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalGroupDescriptor

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.propagation import Doubt
from napari_ditto.ui.session import Choice

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

Where = Literal["view", "plane", "images"]
Kind = Literal["objects", "cells"]
Target = Literal["same", "new"]
Changed = Literal["", "edited", "gone"]
Position = tuple[int, ...]
"""The index along each axis that is followed."""

NO_AXIS = ""


@dataclass(frozen=True, eq=False)
class Row:
    """One example in the list: a snapshot that nothing in the viewer can change.

    Attributes
    ----------
    key : str
        Unique in the list.
    example : PlaneExample
        Pixels and labels, and whether it counts.
    layer, image : str
        Unique ids of the layers it was taken from, ``""`` for a file.
    address : PlaneAddress
        The plane it was taken from.
    objects : int
        How many it shows.
    ids : tuple of int or None
        The labels that were asked for; None for all.
    picture : ndarray of uint8, shape (h, w, 3), or None
        Thumbnail; None until it has been drawn.
    similarity : float or None
        To the target of the last run.
    changed : {"", "edited", "gone"}
        What became of the layer's labels since.
    """

    key: str
    example: PlaneExample
    layer: str
    image: str
    address: PlaneAddress
    objects: int
    ids: tuple[int, ...] | None = None
    picture: NDArray[np.uint8] | None = None
    similarity: float | None = None
    changed: Changed = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One plane of the confidence curve.

    Attributes
    ----------
    position : tuple of int
        Where it is along the axes followed.
    confidence : float or None
        The least of its objects; None if it shows none.
    anchor : bool
        Whether the user labelled it.
    doubtful : bool
        Whether it has an entry in the review list.
    """

    position: Position
    confidence: float | None
    anchor: bool = False
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Sharpened:
    """A drawn example as the model outlines it, waiting for the user's word."""

    example: PlaneExample
    image: str
    objects: int


@dataclass
class ExamplesSession:
    """Everything that the dock of examples shows beside the session that both docks share.

    Attributes
    ----------
    rows : tuple of Row
        The list of examples.
    sharpened : Sharpened or None
        A drawn example that waits to be used or discarded.
    only_selected : bool
        Whether an example takes the selected label only; otherwise all on the plane.
    one_kind : bool
        All labels are objects of one kind; otherwise each label is a class.
    where : {"view", "plane", "images"}
        Where "more like this" looks.
    other_images : tuple of str
        Unique ids of the images that `where` = "images" means.
    threshold : float
        Least confidence of what is shown.
    has_result : bool
        Whether `threshold` has something to act on.
    found : str
        What "more like this" has found, one line.
    tuned_choices, tuned
        Tuned prompts for the model in use, and the chosen one; ``""`` for none.
    tuning : str
        What tuning brought, one line.
    axis_choices, axis
        Axes that can be followed, several as ``"t,z"``; ``""`` if there is none.
    planes : int
        Length of the (first) axis.
    first, last : int
        Bounds of the range to follow, both included.
    kind : {"objects", "cells"}
        Same objects plane after plane, or cells that move and divide.
    into : {"same", "new"}
        Whether following writes to the examples' Labels layer or to a new one.
    followed : str
        What following has done, one line.
    can_export : bool
        Whether there are tracks to export.
    doubts : tuple of Doubt
        The review list, worst first.
    doubt : int
        Which of them is looked at; -1 for none.
    marks : tuple of Mark
        The confidence curve, by position.
    shown : tuple of int or None
        The position on show, None if it is not on the curve.
    keep_fixed : bool
        Whether a fixed plane becomes an example.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    rows: tuple[Row, ...] = ()
    sharpened: Sharpened | None = None
    only_selected: bool = False
    one_kind: bool = True
    where: Where = "plane"
    other_images: tuple[str, ...] = ()
    threshold: float = 0.0
    has_result: bool = False
    found: str = ""
    tuned_choices: tuple[Choice, ...] = ()
    tuned: str = ""
    tuning: str = ""
    axis_choices: tuple[Choice, ...] = ()
    axis: str = NO_AXIS
    planes: int = 0
    first: int = 0
    last: int = 0
    kind: Kind = "objects"
    into: Target = "same"
    followed: str = ""
    can_export: bool = False
    doubts: tuple[Doubt, ...] = ()
    doubt: int = -1
    marks: tuple[Mark, ...] = ()
    shown: Position | None = None
    keep_fixed: bool = False

    @property
    def enabled(self) -> tuple[PlaneExample, ...]:
        """The examples that count."""
        return tuple(row.example for row in self.rows if row.example.enabled)

    @property
    def classes(self) -> frozenset[int]:
        """All labels of the examples that count."""
        found = {int(n) for example in self.enabled for n in np.unique(example.labels)}
        return frozenset(n for n in found if n > 0)

    @property
    def current(self) -> Doubt | None:
        """The doubt that is looked at."""
        return self.doubts[self.doubt] if 0 <= self.doubt < len(self.doubts) else None
