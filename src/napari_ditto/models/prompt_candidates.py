"""Which of a decoder's masks are the candidates of a prompt, and which one is shown first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253  # imported only with a family
from numpy.typing import NDArray

CANDIDATES = 3


@dataclass(frozen=True, eq=False)
class Candidates:
    """What was said to one prompt.

    Attributes
    ----------
    masks : Tensor, shape (3, s, s) or (1, s, s)
        Coarse: all three, or the one to show first.
    scores : ndarray of float32, shape (3,)
        Of all three.
    best : int
        Which one to show first.
    """

    masks: torch.Tensor
    scores: NDArray[np.float32]
    best: int


def candidates_of(
    scores: torch.Tensor, *, ambiguous: bool, by_score: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the candidates (b, 3) of each prompt, and the best (b)."""
    # By the scores before they are clipped, as the library does.
    order = scores[:, 1:].argsort(1, descending=True) + 1
    if not ambiguous:
        order = torch.cat([torch.zeros_like(order[:, :1]), order], dim=1)[:, :CANDIDATES]
        return order, torch.zeros_like(order[:, 0])
    order = (order if by_score else order.sort(1).values)[:, :CANDIDATES]
    return order, scores.clamp(0, 1).gather(1, order).argmax(1)
