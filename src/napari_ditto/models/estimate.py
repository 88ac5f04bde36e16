"""What a run will cost, said before it starts."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.protocols import Estimate, ModelSpec, PromptModel

# The specs give times for two CPU cores; these factors are rough (micro-sam's published table
# of SAM on a CPU node and a Quadro RTX 5000, and the same with Apple's GPUs guessed between).
_SPEEDUP = {"cpu": 1.0, "mps": 10.0, "cuda": 70.0}


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
    speed = 1.0 if measured else _SPEEDUP.get(spec.device.split(":")[0], 1.0)
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


def measure(model: PromptModel) -> ModelSpec:
    """Return the model's spec with costs measured on one full tile and one click.

    The first call of a network is slower than the rest and is not counted.
    """
    side = model.spec.input_size
    tiles = np.full((1, side, side, 3), 0.5, dtype=np.float32)
    click = [PromptSet((PointPrompt(side / 2, side / 2),))]
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
