"""How good a region is: an estimate of its IoU with the object meant, and whether it is one.

Two regressions on the columns of :mod:`regions`, fitted on regions of freely licensed images
whose truth is known: with one small hidden layer for the IoU, linear in the columns and their
squares for being an object at all. Their few hundred constants are in ``ranker.json``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CLIP = 3.0
"""Standard deviations beyond which a column says nothing new."""


@cache
def constants_text() -> str:
    """Return the constants as they are stored, for the model's identity."""
    return files(__package__).joinpath("ranker.json").read_text("utf-8")


@cache
def _constants(part: str) -> dict[str, Floats]:
    return {name: np.array(value) for name, value in json.loads(constants_text())[part].items()}


@cache
def _kinds() -> list[str]:
    return list(json.loads(constants_text())["kinds"])


def prior(kind: str, columns: Floats) -> Floats:
    """Return the IoU to expect of regions that hold a click, shape (n,), in [0, 1].

    Parameters
    ----------
    kind : str
        Name of the tree's kind.
    columns : ndarray, shape (n, len(COLUMNS))
        From :func:`regions.describe`.
    """
    fitted, width = _constants("rank"), columns.shape[1]
    z = _standardised(columns, fitted)
    layer = z @ fitted["hidden"][:width] + fitted["hidden"][width + _kinds().index(kind)]
    logit = np.tanh(layer + fitted["hidden_bias"]) @ fitted["out"] + fitted["out_bias"]
    return np.asarray(1 / (1 + np.exp(-logit)))


def objectness(kind: str, columns: Floats, prior: Floats) -> Floats:
    """Return the chance that regions are whole objects with nobody having clicked, shape (n,)."""
    fitted = _constants("object")
    z = _standardised(np.column_stack([columns, prior]), fitted)
    chance = z @ fitted["linear"] + z**2 @ fitted["square"] + fitted["kind"][_kinds().index(kind)]
    return np.asarray(np.clip(chance, 0, 1))


def _standardised(values: Floats, fitted: dict[str, Floats]) -> Floats:
    return np.clip((values - fitted["mean"]) / fitted["scale"], -CLIP, CLIP)
