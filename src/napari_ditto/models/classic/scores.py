"""How good a region is likely to be: an estimate of its IoU with an object.

A regression with one small hidden layer, fitted by ``benchmarks/classic_fit.py`` on regions of
freely licensed images whose true IoU is known. Its few hundred constants are in ``ranker.json``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

CLIP = 3.0
"""Standard deviations beyond which a column says nothing new."""


@cache
def constants_text() -> str:
    """Return the constants as they are stored, for the model's identity."""
    return files(__package__).joinpath("ranker.json").read_text("utf-8")


@cache
def _constants() -> dict[str, NDArray[np.floating]]:
    return {name: np.array(value) for name, value in json.loads(constants_text()).items()}


def prior(kind: str, columns: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the expected IoU of each region of a kind of tree, shape (n,), in [0, 1]."""
    fitted = _constants()
    z = np.clip((columns - fitted["mean"]) / fitted["scale"], -CLIP, CLIP)
    own = fitted["kinds"].tolist().index(kind) + columns.shape[1]
    layer = z @ fitted["hidden"][: columns.shape[1]] + fitted["hidden"][own]
    logit = np.tanh(layer + fitted["hidden_bias"]) @ fitted["out"] + fitted["out_bias"]
    return np.asarray(1 / (1 + np.exp(-logit)))
