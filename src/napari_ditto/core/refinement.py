"""From logits to a mask, as the user wants it: threshold, smooth, holes, pieces, smallest size.

Pure functions; :func:`refine` composes them, always in this order:

1. **threshold**: the object is where the logits exceed it. Pieces that this brings up under a
   click beside the object go again.
2. **smooth**: the object is where a Gaussian neighbourhood is more object than not.
3. **fill holes**: what the object encloses belongs to it.
4. **pieces**: only the largest piece, or only those that were clicked on.
5. **smallest size**: pieces with fewer pixels go.

Each step works on what the one before has left: a speck that smoothing removes is no piece, a
filled piece counts with its holes, and a chosen piece can still be too small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.logits import PlacedLogits
from napari_ditto.core.masks import (
    Mask,
    PlacedMask,
    bounding_box,
    components,
    components_meeting,
    drop_denied,
)

Pieces = Literal["all", "largest", "clicked"]

MAX_SMOOTH = 100.0
"""Most smoothing in pixels that a file may ask for."""

REACH = 4.0
"""A Gaussian is cut where it has fallen to e^-8, in sigmas."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """What is done to logits on their way to a mask; the default leaves the model's mask as it is.

    Attributes
    ----------
    threshold : float
        Logit that the object exceeds: 0 is a probability of one half, lower takes in more.
    smooth : float
        Standard deviation of the Gaussian neighbourhood, level-0 pixels; 0 is off.
    fill_holes : bool
        Whether enclosed background belongs to the object.
    pieces : {"all", "largest", "clicked"}
        Which pieces stay; "clicked" is the largest where no click is on the mask.
    min_area : int
        Fewest pixels of a piece.

    Raises
    ------
    ValueError
        For numbers that make no sense.
    """

    threshold: float = 0.0
    smooth: float = 0.0
    fill_holes: bool = False
    pieces: Pieces = "all"
    min_area: int = 0

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"the threshold must be finite, got {self.threshold}")
        if not (math.isfinite(self.smooth) and self.smooth >= 0):
            raise ValueError(f"smoothing must be 0 or more pixels, got {self.smooth}")
        if self.min_area < 0:
            raise ValueError(f"the smallest size must be 0 or more pixels, got {self.min_area}")

    @property
    def is_default(self) -> bool:
        """Whether masks stay as the model gave them."""
        return self == Refinement()

    @property
    def probability(self) -> float:
        """The threshold as a probability."""
        return 1 / (1 + math.exp(-self.threshold))

    @property
    def provenance(self) -> dict[str, object]:
        """What differs from the default, JSON-able."""
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if getattr(self, name) != getattr(Refinement(), name)
        }


def checked(told: Mapping[str, object]) -> Refinement:
    """Return the refinement that somebody else's JSON tells.

    Raises
    ------
    ValueError
        If it is none, or would take more time than is sensible.
    """
    kinds = {"fill_holes": (bool,), "pieces": (str,), "min_area": (int,)}
    for name, value in told.items():
        if name not in Refinement.__slots__ or type(value) not in kinds.get(name, (int, float)):
            raise ValueError(f"{name:.20} cannot be {value!r:.20}")
    how = Refinement(**told)  # type: ignore[arg-type]
    if how.pieces not in get_args(Pieces) or how.smooth > MAX_SMOOTH:
        raise ValueError(f"pieces {how.pieces!r:.20} and smoothing by {how.smooth} pixels")
    return how


@dataclass(frozen=True, eq=False)
class Clicks:
    """The pixels of a plane that were clicked on, int, shape (n, 2) each."""

    positive: NDArray[np.intp]
    negative: NDArray[np.intp]

    @classmethod
    def none(cls) -> Clicks:
        """Return no clicks."""
        return cls(np.zeros((0, 2), np.intp), np.zeros((0, 2), np.intp))

    def seen_from(self, corner: tuple[int, int]) -> Clicks:
        """Return the same pixels, counted from another corner."""
        return Clicks(self.positive - corner, self.negative - corner)


def refine(logits: PlacedLogits, how: Refinement, clicks: Clicks) -> PlacedMask:
    """Return the mask of one object at level 0, in its bounding box.

    Parameters
    ----------
    logits : PlacedLogits
        What the model says.
    how : Refinement
        What to do with it.
    clicks : Clicks
        In pixels of the plane at level 0.
    """
    values = logits.values - np.float32(how.threshold) if how.threshold else logits.values
    shifted = PlacedLogits(values, logits.box, logits.factor, logits.plane_shape)
    return tidy(smoothed(shifted, how.smooth).mask(), how, clicks)


def tidy(placed: PlacedMask, how: Refinement, clicks: Clicks) -> PlacedMask:
    """Return a mask after all that needs no logits: holes, pieces, smallest size."""
    here = clicks.seen_from((placed.box.y0, placed.box.x0))
    mask = drop_denied(placed.mask, here.negative, here.positive)
    if how.fill_holes:
        mask = fill_holes(mask)
    if how.pieces == "largest":
        mask = largest_piece(mask)
    elif how.pieces == "clicked":
        mask = clicked_pieces(mask, here.positive)
    if how.min_area > 1:
        mask = drop_small(mask, how.min_area)
    return PlacedMask(placed.box, mask, placed.score).cropped()


def smoothed(logits: PlacedLogits, sigma: float) -> PlacedLogits:
    """Return values above 0 where the Gaussian mean of the chance, -1 to 1, is above 0.

    The chance, not the logits: one over-sure pixel must not outvote its neighbourhood.

    Parameters
    ----------
    logits : PlacedLogits
        On any level.
    sigma : float
        Level-0 pixels; 0 returns the logits.
    """
    from scipy.ndimage import gaussian_filter

    inner = bounding_box(logits.values > 0)
    if sigma == 0 or inner.is_empty:
        return logits
    own = tuple(sigma / f for f in logits.factor)
    # What is this far away is neither changed by the object nor has a say in its outline.
    far = 2 * math.ceil(REACH * max(own) + 1)
    near = logits.cropped(inner.shift(logits.box.y0, logits.box.x0).grow(far))
    chance = np.tanh(near.values / 2)
    mean = gaussian_filter(chance, own, mode="nearest", truncate=REACH)
    return PlacedLogits(mean, near.box, near.factor, near.plane_shape)


def fill_holes(mask: Mask) -> Mask:
    """Return the mask with what it encloses; the outside gets in by edges, not by corners."""
    from scipy.ndimage import label

    numbered, _ = label(np.pad(~mask, 1, constant_values=True))
    filled: Mask = numbered[1:-1, 1:-1] != numbered[0, 0]
    return filled


def largest_piece(mask: Mask) -> Mask:
    """Return the largest 8-connected piece; of two as large, the first."""
    numbered, count = components(mask)
    if count < 2:
        return mask
    found: Mask = numbered == np.bincount(numbered.ravel())[1:].argmax() + 1
    return found


def clicked_pieces(mask: Mask, pixels: NDArray[np.intp]) -> Mask:
    """Return the pieces that pixels (n, 2) lie on; the largest piece if there are none."""
    inside = pixels[((pixels >= 0) & (pixels < mask.shape)).all(axis=1)]
    marker = np.zeros_like(mask)
    marker[tuple(inside.T)] = True
    found = components_meeting(mask, marker)
    return found if found.any() else largest_piece(mask)


def drop_small(mask: Mask, min_area: int) -> Mask:
    """Return the pieces of at least `min_area` pixels."""
    numbered, _ = components(mask)
    large = np.bincount(numbered.ravel(), minlength=1) >= min_area
    large[0] = False
    kept: Mask = large[numbered]
    return kept
