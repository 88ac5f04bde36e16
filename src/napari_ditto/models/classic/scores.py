"""How good a region is likely to be: an estimate of its IoU with an object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.classic.regions import COLUMNS


def prior(kind: str, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected IoU of each region, shape (n,), in [0, 1]."""
    get = {name: columns[:, i] for i, name in enumerate(COLUMNS)}
    logit = (
        1.5 * get["edge_ratio"]
        + 2.0 * np.minimum(get["ellipse_fit"], 1)
        + 1.0 * get["compactness"]
        + 0.5 * get["contrast"]
        - 1.0 * np.minimum(get["growth"], 2)
        - 2.0 * get["rim"]
        - 1.5 * (get["log_area"] < 3)
    )
    return 1 / (1 + np.exp(-(logit - 2)))
