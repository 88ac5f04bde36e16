"""A video model that knows the truth: for tests of what is remembered, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import MemoryFrame, VideoLogits
from napari_ditto.testing.fakes import PerfectModel


class PerfectVideoModel(PerfectModel):
    """Follows ids through frames of :func:`~.fakes.paint_truth`.

    Its memory of an object is the id (``pointer``) and the mask (``features``), which must be of
    the tile that is asked about.

    Attributes
    ----------
    memorized : int
        Masks memorized so far.
    asked : list of list of MemoryFrame
        What each object was tracked by.
    """

    def __init__(self, tile: int = 64) -> None:
        super().__init__(tile)
        self.memorized = 0
        self.asked: list[list[MemoryFrame]] = []

    @property
    def reach(self) -> Mapping[str, int]:
        """As SAM 2."""
        return {"features": 6, "pointer": 15}

    def memorize(
        self, embedding: Embedding, masks: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.generic]]:
        """Return the masks, and the id that each lies on most."""
        truth = self._truth(embedding)
        self.memorized += len(masks)
        ids = [int(np.bincount(truth[mask]).argmax()) for mask in masks]
        return {"features": masks.astype(np.float16), "pointer": np.array(ids, np.float32)[:, None]}

    def track(self, embedding: Embedding, memories: Sequence[Sequence[MemoryFrame]]) -> VideoLogits:
        """Return where the remembered ids are now."""
        truth = self._truth(embedding)
        self.asked += [list(frames) for frames in memories]
        ids = np.array([_told(frames, truth.shape) for frames in memories], np.float32)
        masks = truth == ids.reshape(-1, 1, 1)
        there = masks.any(axis=(1, 2)).astype(np.float32)
        kept = {"features": masks.astype(np.float16), "pointer": ids[:, None]}
        logits = np.where(masks, np.float32(10), np.float32(-10))
        return VideoLogits(logits, np.ones(len(ids), np.float32), there, kept)


def _told(frames: Sequence[MemoryFrame], shape: tuple[int, ...]) -> float:
    """Return the id on which all frames agree."""
    features = [f.arrays["features"] for f in frames if "features" in f.arrays]
    if not features or {a.shape for a in features} != {shape}:
        raise ModelError("nothing is remembered of this tile")
    (told,) = {float(f.arrays["pointer"].item()) for f in frames}
    return told
