"""A quick and predictable stand-in for a model: the bright blob under the click or in the box."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PromptSet
from napari_ditto.models.protocols import ContextMap, Example, MaskLogits, Memory, ModelSpec

SPEC = ModelSpec(
    id="blob",
    family="blob",
    version="1",
    weights_sha256="0" * 64,
    licence="BSD-3-Clause",
    citation="none",
    input_size=256,
    capabilities=frozenset({"points", "box", "mask", "scribbles", "proposals"}),
    memory_bytes=1,
)


class BlobModel:
    """Offers what is brighter than half and meant by the prompts: shrunk, as it is, and grown.

    Parameters
    ----------
    encode_seconds : float
        How long each ``encode`` sleeps, without holding the interpreter's lock.
    error : Exception, optional
        What each ``encode`` raises.

    Attributes
    ----------
    encoded, decoded : int
        Tiles and prompt sets so far.
    asked : list of PromptSet
        All prompts so far, in tile coordinates.
    """

    def __init__(self, encode_seconds: float = 0.0, error: Exception | None = None) -> None:
        self.spec = SPEC
        self.encode_seconds, self.error = encode_seconds, error
        self.encoded = self.decoded = 0
        self.asked: list[PromptSet] = []

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Keep the first channel of each tile."""
        time.sleep(self.encode_seconds)
        if self.error:
            raise self.error
        self.encoded += len(tiles)
        return [Embedding({"grey": t[..., 0]}, t.shape[:2], self.spec.key) for t in tiles]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return three candidates per prompt set; the middle one comes first."""
        self.decoded += len(prompts)
        self.asked += prompts
        masks = np.stack([_candidates(embedding.arrays["grey"], said) for said in prompts])
        logits = np.where(masks, np.float32(4), np.float32(-4))
        scores = np.tile(np.array([0.5, 0.9, 0.6], dtype=np.float32), (len(prompts), 1))
        return MaskLogits(logits, scores, np.ones(len(prompts), dtype=np.intp))


class BlobContextModel(BlobModel):
    """A blob model that learns from examples: as bright as they are is a class.

    A class is what is within a quarter of the example's mean grey.
    """

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Keep the mean grey of each class."""
        greys: dict[int, list[float]] = {}
        for example in examples:
            grey = np.asarray(example.embedding.arrays["grey"], dtype=np.float32)
            for label in np.unique(example.labels[example.labels > 0]).tolist():
                greys.setdefault(label, []).append(float(grey[example.labels == label].mean()))
        classes = tuple(sorted(greys))
        means = np.array([np.mean(greys[c]) for c in classes], dtype=np.float32)
        return Memory({"grey": means}, classes, self.spec.key)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return where the image is as bright as each class."""
        grey = np.asarray(embedding.arrays["grey"], dtype=np.float32)
        away = np.abs(grey[None] - np.asarray(memory.arrays["grey"])[:, None, None])
        return ContextMap(np.where(away < 0.25, 0.9, 0.0).astype(np.float32))

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return the memory as it is."""
        return memory


def _candidates(grey: NDArray[np.generic], said: PromptSet) -> NDArray[np.bool_]:
    from scipy import ndimage

    blobs, _ = ndimage.label(np.asarray(grey, dtype=np.float32) > 0.5)
    wanted = _under(blobs, said.positions(positive=True))
    whole = np.isin(blobs, list(wanted - _under(blobs, said.positions(positive=False))))
    if said.box:
        corners = (said.box.y0, said.box.x0, said.box.y1, said.box.x1)
        box = Box(*(int(np.floor(c + 0.5)) for c in corners)).intersect(Box.of_shape(blobs.shape))
        whole[box.slices] |= blobs[box.slices] > 0
    if said.mask:
        whole |= said.mask.rasterize((blobs.shape[0], blobs.shape[1]))
    return np.stack([ndimage.binary_erosion(whole), whole, ndimage.binary_dilation(whole)])


def _under(blobs: NDArray[np.integer], positions: NDArray[np.float64]) -> set[int]:
    """Return the blobs that the positions lie on."""
    last = np.array(blobs.shape) - 1
    at = np.clip(np.floor(positions + 0.5).astype(int), 0, last)
    return {int(blob) for blob in blobs[at[:, 0], at[:, 1]]} - {0}
