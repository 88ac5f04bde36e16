"""A quick model for tests of the dock: the bright blob under the first click or in the box."""

from __future__ import annotations

import threading
import time

import numpy as np

from napari_ditto.core.embedding import Embedding
from napari_ditto.models.protocols import MaskLogits, ModelSpec

SPEC = ModelSpec(
    id="blob",
    family="blob",
    version="1",
    weights_sha256="0" * 64,
    licence="BSD-3-Clause",
    citation="",
    input_size=256,
    capabilities=frozenset({"points", "box", "mask", "scribbles", "proposals"}),
)


class BlobModel:
    """Offers the blob shrunk, as it is, and grown; the one as it is comes first."""

    def __init__(self, encode_seconds: float = 0.0, error: Exception | None = None) -> None:
        self.spec = SPEC
        self.encode_seconds, self.error = encode_seconds, error
        self.encoded = self.decoded = 0
        self.threads: set[str] = set()
        self.asked: list = []

    def encode(self, tiles):
        self.threads.add(threading.current_thread().name)
        time.sleep(self.encode_seconds)
        self.encoded += len(tiles)
        if self.error:
            raise self.error
        shape = tiles.shape[1:3]
        return [Embedding({"x": t[..., 0].astype(np.float32)}, shape, SPEC.key) for t in tiles]

    def decode(self, embedding, prompts):
        self.decoded += len(prompts)
        self.asked += list(prompts)
        masks = np.stack([_proposals(embedding.arrays["x"], said) for said in prompts])
        logits = np.where(masks, 4.0, -4.0).astype(np.float32)
        scores = np.tile(np.array([0.5, 0.9, 0.6], np.float32), (len(prompts), 1))
        return MaskLogits(logits, scores, np.ones(len(prompts), dtype=np.intp))


def _proposals(image, said):
    from scipy import ndimage

    blobs, _ = ndimage.label(image > 0.5)
    whole = np.zeros(image.shape, dtype=bool)
    for y, x in said.positions(positive=True):
        at = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        whole |= (blobs == blobs[at]) & (blobs > 0)
    if said.box:
        inside = np.zeros_like(whole)
        b = said.box
        inside[max(0, int(b.y0)) : int(b.y1) + 1, max(0, int(b.x0)) : int(b.x1) + 1] = True
        whole |= inside & (blobs > 0)
    for y, x in said.positions(positive=False):
        at = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        whole &= blobs != blobs[at] if blobs[at] else True
    return np.stack([ndimage.binary_erosion(whole), whole, ndimage.binary_dilation(whole)])
