"""What a run will cost, said before it starts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.protocols import ContextModel, Estimate, Example, ModelSpec, PromptModel

# The specs give times for two CPU cores; these factors are rough (micro-sam's published table
# of SAM on a CPU node and a Quadro RTX 5000, and the same with Apple's GPUs guessed between).
_SPEEDUP = {"cpu": 1.0, "mps": 10.0, "cuda": 70.0}

SLOW_SECONDS = 20.0
"""A run by examples that takes longer is worth a question before it starts."""


def estimate(
    spec: ModelSpec,
    tiles: int,
    prompts: int = 0,
    *,
    available: int | None = None,
    measured: bool = False,
) -> Estimate:
    """Return the expected time and memory of encoding `tiles` and decoding `prompts`.

    Parameters
    ----------
    spec : ModelSpec
        The model, with its costs.
    tiles, prompts : int
        How many will be encoded and decoded.
    available : int, optional
        Free memory in bytes, see :func:`napari_ditto.models.device.available_memory`; a note
        warns if the run needs more.
    measured : bool
        Whether the costs of `spec` come from :func:`measure`, on this very device.
    """
    speed = 1.0 if measured else _speedup(spec)
    seconds = (tiles * spec.encode_seconds + prompts * spec.decode_seconds) / speed
    memory = spec.memory_bytes + spec.embedding_bytes
    notes = [] if measured else ["a rough figure; it is refined after the first tile"]
    if available is not None and memory > available:
        notes.append(
            f"needs about {memory / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free: "
            "close other programs or choose a smaller model"
        )
    if not spec.memory_bytes:
        notes.append("how much memory an encode takes is not known")
    return Estimate(seconds, memory, tiles, tuple(notes))


def context_estimate(
    spec: ModelSpec,
    tiles: int,
    examples: int,
    passes: int | None = None,
    *,
    classes: int = 1,
    available: int | None = None,
    measured: bool = False,
) -> Estimate:
    """Return the expected time and memory of segmenting `tiles` after `examples`.

    Parameters
    ----------
    spec : ModelSpec
        The model, with its costs.
    tiles, examples : int
        Tiles to label, and tiles of examples.
    passes : int, optional
        How often each tile is looked at; by default as often as `classes` need.
    classes : int
        How many kinds the examples show; instances of one kind are one.
    available, measured
        As for :func:`estimate`.

    Returns
    -------
    Estimate
        With the sum in its notes where it is long enough to be asked about first.
    """
    cost = estimate(spec, tiles + examples, available=available, measured=measured)
    shown, times = 1, 1
    if spec.per_example:
        shown = 1 if spec.per_example.at_once else min(max(examples, 1), spec.per_example.examples)
        times = passes or -(-max(classes, 1) // spec.per_example.classes)
    one = spec.decode_seconds / (1.0 if measured else _speedup(spec))
    seconds = cost.seconds + tiles * shown * times * one
    notes = list(cost.notes)
    if spec.per_example and seconds > SLOW_SECONDS:
        notes.insert(
            0,
            f"slow: {_product(tiles, shown, times)} at {one:.2g} s each, "
            f"about {_duration(seconds)} on {spec.device}",
        )
    return replace(cost, seconds=seconds, tiles=tiles, notes=tuple(notes))


def _product(tiles: int, examples: int, passes: int) -> str:
    parts = ((tiles, "tile"), (examples, "example"), (passes, "pass"))
    plural = {"pass": "passes"}
    return " x ".join(f"{n} {w if n == 1 else plural.get(w, w + 's')}" for n, w in parts)


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _speedup(spec: ModelSpec) -> float:
    return _SPEEDUP.get(spec.device.split(":")[0], 1.0)


def measure_context(model: ContextModel) -> ModelSpec:
    """Return the model's spec with costs measured on one full tile and one example.

    For a model of half a minute per look this takes a minute; others are quick.
    """
    side = model.spec.input_size
    tiles = np.full((1, side, side, 3), 0.2, dtype=np.float32)
    labels = np.zeros((side, side), dtype=np.int32)
    labels[: side // 2] = 1
    tiles[:, : side // 2] = 0.8
    memory = model.remember([Example(model.encode(tiles)[0], labels)])
    model.recall(model.encode(tiles)[0], memory)
    start = time.perf_counter()
    embedding = model.encode(tiles)[0]
    encoded = time.perf_counter()
    model.recall(embedding, memory)
    return replace(
        model.spec,
        encode_seconds=encoded - start,
        decode_seconds=time.perf_counter() - encoded,
        embedding_bytes=embedding.nbytes,
    )


def click_for(spec: ModelSpec, side: int) -> PromptSet:
    """Return a click in the middle of a tile, with a name where a model asks for one."""
    text = "object" if "text" in spec.capabilities else ""
    return PromptSet((PointPrompt(side / 2, side / 2),), text=text)


def measure(model: PromptModel) -> ModelSpec:
    """Return the model's spec with costs measured on one full tile and one click.

    The first call of a network is slower than the rest and is not counted.
    """
    side = model.spec.input_size
    tiles = np.full((1, side, side, 3), 0.5, dtype=np.float32)
    click = [click_for(model.spec, side)]
    model.decode(model.encode(tiles)[0], click)
    start = time.perf_counter()
    embedding = model.encode(tiles)[0]
    encoded = time.perf_counter()
    model.decode(embedding, click)
    return replace(
        model.spec,
        encode_seconds=encoded - start,
        decode_seconds=time.perf_counter() - encoded,
        embedding_bytes=embedding.nbytes,
    )
