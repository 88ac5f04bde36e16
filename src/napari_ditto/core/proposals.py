"""Candidate masks for one object, placed in a plane."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.logits import PlacedLogits, stack
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.refinement import Clicks, Refinement, refine, tidy
from napari_ditto.core.routing import pixels


@dataclass(frozen=True, eq=False)
class Proposals:
    """What the model offers for one object.

    Attributes
    ----------
    masks : ndarray of bool, shape (m, h, w)
        The candidates inside `box`, smallest idea first where the model orders them.
    box : Box
        Where the masks lie in the plane, level-0 pixels.
    scores : ndarray of float32, shape (m,)
        The model's own estimate of each mask's IoU, in [0, 1].
    best : int
        Index of the candidate to show first.
    address : PlaneAddress
        The plane.
    prompts : PromptSet
        What was asked, plane coordinates at level 0.
    level : int
        Pyramid level that was decoded.
    complete : ndarray of bool, shape (m,)
        False for a candidate that reaches a tile's edge and has not been grown yet.
    model : str
        ``ModelSpec.key`` of the model.
    by_hand : bool
        Whether a user has painted in the masks.
    logits : tuple of PlacedLogits or None
        What each mask is made of, so that another threshold needs no model. Empty for masks that
        no model made; None for a candidate too large to be kept.
    refinement : Refinement
        What was done to the model's masks.
    """

    masks: NDArray[np.bool_]
    box: Box
    scores: NDArray[np.float32]
    best: int
    address: PlaneAddress
    prompts: PromptSet
    level: int = 0
    complete: NDArray[np.bool_] = field(default_factory=lambda: np.ones(1, dtype=bool))
    model: str = ""
    by_hand: bool = False
    logits: tuple[PlacedLogits | None, ...] = ()
    refinement: Refinement = field(default_factory=Refinement)

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def is_empty(self) -> bool:
        """Whether no candidate has a single pixel."""
        return not self.masks.any()

    def refined(self, how: Refinement) -> Proposals:
        """Return the model's candidates, refined; what was painted by hand stays as it is.

        A candidate without logits keeps its outline: only holes, pieces and the smallest size
        are seen to. To refine in another way, begin with what the model gave, not with this.
        """
        if self.by_hand or how.is_default:
            return self
        clicks = Clicks(*(pixels(self.prompts, positive=sign) for sign in (True, False)))
        known = self.logits or (None,) * len(self)
        placed = [
            tidy(PlacedMask(self.box, mask), how, clicks)
            if logits is None
            else refine(logits, how, clicks)
            for mask, logits in zip(self.masks, known, strict=True)
        ]
        masks, box = stack(placed)
        return replace(self, masks=masks, box=box, refinement=how)
