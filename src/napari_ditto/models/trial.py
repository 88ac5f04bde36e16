"""A small seeded picture and clicks, by which precisions of one network are compared.

The picture is small so that nobody waits, and it is only one: a trial finds weights that do not
bear a precision, not pictures. Layers that round to bytes have a scale for each token, so that a
token loses no more among 4096 than among 256; but tokens of a kind that no disc on noise makes, or
that only whole pictures make, are not tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.numerics import Outcome, Precision, choose_precision
from napari_ditto.models.protocols import ModelSpec, PromptModel

SHOWN = 256
"""Side of the tile that clicks and masks of the trial are in, pixels."""

CLICKS = 8

LEAST_PARAMETERS = 10_000_000
"""A smaller encoder takes a moment with any numbers, and is not tried."""


class Tried(Protocol):
    """A model that can compute the small picture in the precision of its spec."""

    def try_out(self) -> Outcome:
        """Compute it and some masks, before the first tile is encoded."""
        ...


Model = TypeVar("Model", bound=Tried)
Result = TypeVar("Result")

EDITION = 2
"""Raised where encoders have changed so that a trial may find something else."""

LEAST, MOST, ENOUGH_SECONDS = 2, 6, 0.8
"""How often the small picture is encoded, until so much time has gone by."""


def in_precision(
    make: Callable[[ModelSpec], Model],
    spec: ModelSpec,
    wanted: str,
    parameters: int,
    faster: Mapping[str, float],
) -> Model:
    """Return a model that computes with what is wanted, or what a trial finds better.

    Parameters
    ----------
    make : callable
        Makes the model of a spec with a precision.
    spec : ModelSpec
        With the seconds that the library takes in float32.
    wanted : str
        One of :data:`.numerics.CHOICES`.
    parameters : int
        How many numbers the encoder's weights are.
    faster : mapping of str to float
        Than the library, by precision; others are refused.
    """
    if wanted == "auto" and parameters < LEAST_PARAMETERS:
        wanted = "float32"

    def trial(tried: Precision) -> Outcome:
        return make(replace(spec, precision=tried)).try_out()

    code = f"{spec.family}@{spec.version}#{spec.weights_sha256}, trial {EDITION}"
    chosen = choose_precision(wanted, spec.device, code, trial, faster)
    seconds = spec.encode_seconds / faster[chosen]
    return make(replace(spec, precision=chosen, encode_seconds=seconds))


def picture(side: int) -> NDArray[np.float32]:
    """Return discs on noise as an encoder takes them, shape (1, 3, side, side), mean about 0."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    image = rng.normal(-1, 0.3, (3, side, side))
    for y, x in rng.uniform(0, side, (12, 2)):
        image[:, (rows - y) ** 2 + (columns - x) ** 2 < (side / 12) ** 2] += 2
    return image[None].astype(np.float32)


def try_out(model: PromptModel, encode: Callable[[], Mapping[str, NDArray[Any]]]) -> Outcome:
    """Return how long it takes to encode, and the masks of some clicks.

    Parameters
    ----------
    model : PromptModel
        Decodes.
    encode : callable
        Returns the arrays of one embedding as `model` takes them.
    """
    seconds, arrays = _quickest(encode)
    embedding = Embedding(arrays, (SHOWN, SHOWN), model.spec.key)
    places = np.random.default_rng(1).uniform(0, SHOWN, (CLICKS, 2))
    prompts = [PromptSet((PointPrompt(float(y), float(x)),)) for y, x in places]
    masks = model.decode(embedding, prompts).logits > 0
    return Outcome(seconds, masks.reshape(-1, SHOWN, SHOWN))


def _quickest(encode: Callable[[], Result]) -> tuple[float, Result]:
    """Return the shortest time of a few calls: others, and what a first call sets up, only add."""
    seconds: list[float] = []
    while True:
        start = time.perf_counter()
        result = encode()
        seconds.append(time.perf_counter() - start)
        enough = len(seconds) >= LEAST and sum(seconds) >= ENOUGH_SECONDS
        if enough or len(seconds) >= MOST:
            return min(seconds), result
