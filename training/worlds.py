"""Synthetic worlds: random scenes of nested objects, rendered on the fly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.appearance import paint
from training.scenes import scene


def render(
    rng: np.random.Generator, side: int = 160
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a random world.

    Parameters
    ----------
    rng
        The same state gives the same world.
    side
        Pixels along each axis.

    Returns
    -------
    image
        uint8 ``(side, side, 3)``.
    layers
        uint8 ``(3, side, side)``: instance ids of the outermost objects, of those inside them,
        and of those inside these; 0 is background. Each layer lies within the one before; ids
        start from 1 in each.
    """
    drawn = scene(rng, side)
    return paint(rng, drawn), drawn.layers
