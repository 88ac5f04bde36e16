"""Labels carried from plane to plane: what a step finds, how sure it is, what wants a look.

A *step* carries all objects from finished planes to a neighbouring one. Each object found is
measured (:class:`Quality`) and judged by a :class:`Gate`; what fails stays out of the memory of
later steps and becomes a :class:`Doubt`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.masks import PlacedMask, iou


@dataclass(frozen=True, eq=False)
class Seen:
    """A labelled plane that a step may read.

    Attributes
    ----------
    address : PlaneAddress
        Which plane.
    labels : ndarray of uint32, shape (height, width)
        Objects under their ids; doubtful ones are left out of planes that are not anchors.
    is_anchor : bool
        Whether the user labelled it: it is true, and so is what it shows as background.
    distance : int
        Steps between it and the plane that is asked about.
    carry : mapping of str to ndarray
        What the step that made it wants to hand on; empty for anchors.
    """

    address: PlaneAddress
    labels: NDArray[np.uint32]
    is_anchor: bool
    distance: int
    carry: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """What tells this plane and its labels from any other."""
        content = hashlib.sha256(np.ascontiguousarray(self.labels).data)
        return f"{self.address} {content.hexdigest()}"


@dataclass(frozen=True, eq=False)
class Carried:
    """One object as a step has found it in the next plane.

    Attributes
    ----------
    label : int
        The object's id, as in the planes before.
    mask : PlacedMask
        Where it is now; its score is the model's estimate of the IoU. Empty if it has ended.
    expected : PlacedMask
        Where the planes before lead to expect it: their mask, moved along with the image.
    similarity : float
        How much its pixels look like those of the object in the anchors, in [0, 1].
    """

    label: int
    mask: PlacedMask
    expected: PlacedMask
    similarity: float = 1.0

    @property
    def quality(self) -> Quality:
        """What a gate judges."""
        ratio = self.mask.area / max(1, self.expected.area)
        overlap = iou(self.mask, self.expected)
        return Quality(self.mask.score, overlap, ratio, self.similarity)


@dataclass(frozen=True, eq=False)
class Step:
    """What a step has found in one plane.

    Attributes
    ----------
    objects : tuple of Carried
        One for each object of the planes before, overlapping ones allowed.
    carry : mapping of str to ndarray
        For later steps; kept with the plane, so a run can be resumed.
    """

    objects: tuple[Carried, ...]
    carry: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """How good one object of a step is.

    Attributes
    ----------
    score : float
        The model's estimate of its IoU.
    overlap : float
        IoU with the mask of the plane before, moved along with the image.
    area_ratio : float
        Area by that of the plane before; 0 if the object has ended.
    similarity : float
        To the object in the anchors.
    """

    score: float
    overlap: float
    area_ratio: float
    similarity: float

    @property
    def confidence(self) -> float:
        """One number in [0, 1] for tables and curves: the worst of what is measured."""
        ratio = min(self.area_ratio, 1 / self.area_ratio) if self.area_ratio else 0.0
        return float(min(self.score, np.sqrt(self.overlap), np.sqrt(ratio), self.similarity))


@dataclass(frozen=True, slots=True)
class Gate:
    """What an object must reach to be believed and remembered.

    Attributes
    ----------
    min_score, min_overlap, min_similarity : float
        Least values of :class:`Quality`.
    max_growth, max_shrinking : float
        Greatest area ratio, and the inverse of the smallest: an object that ends shrinks first.
    """

    min_score: float = 0.3
    min_overlap: float = 0.4
    min_similarity: float = 0.2
    max_growth: float = 2.0
    max_shrinking: float = 3.0

    def judge(self, quality: Quality) -> tuple[str, ...]:
        """Return what is wrong, for people; nothing if the object is believed."""
        if not quality.area_ratio:
            return ("ends here",)
        found = (
            (quality.score < self.min_score, f"low score {quality.score:.2f}"),
            (quality.overlap < self.min_overlap, f"moved: overlap {quality.overlap:.2f}"),
            (quality.similarity < self.min_similarity, f"looks different {quality.similarity:.2f}"),
            (
                not 1 / self.max_shrinking <= quality.area_ratio <= self.max_growth,
                f"size x {quality.area_ratio:.2f}",
            ),
        )
        return tuple(text for wrong, text in found if wrong)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One entry of a review list.

    Attributes
    ----------
    address : PlaneAddress
        The plane to look at.
    label : int
        The object, 0 for the whole plane.
    confidence : float
        Worst first.
    reasons : tuple of str
        What is wrong, for people.
    """

    address: PlaneAddress
    label: int
    confidence: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PlaneDone:
    """A plane that propagation has finished: the partial result of its progress.

    Attributes
    ----------
    address : PlaneAddress
        Which plane.
    labels : ndarray of uint32, shape (height, width)
        Its labels, doubtful objects included where they have a mask.
    confidence : mapping of int to float
        Of each object on it, and 0 for objects that ended here.
    doubts : tuple of Doubt
        What wants a look.
    reused : bool
        Whether it was there from an earlier run.
    """

    address: PlaneAddress
    labels: NDArray[np.uint32]
    confidence: Mapping[int, float]
    doubts: tuple[Doubt, ...] = ()
    reused: bool = False
