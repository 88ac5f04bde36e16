"""SAM 2 as a video model: the image model, and a memory that its caller keeps.

The published repositories hold this model. Its image half answers prompts exactly as
:class:`~.model.Sam2PromptModel` does, with the same embeddings; `Sam2VideoModel` of the library is
built once, and its memory parts are driven by :mod:`.memory`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch  # noqa: TID253  # this module is imported when the family is used
from numpy.typing import NDArray
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.errors import ModelError
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.checks import check_maker
from napari_ditto.models.decoding.decoder import Features
from napari_ditto.models.device import memory_watched
from napari_ditto.models.protocols import MemoryFrame, ModelSpec, VideoLogits
from napari_ditto.models.sam2.memory import Levels, Memory, Remembering
from napari_ditto.models.sam2.model import LEVELS, Sam2PromptModel

_HALF_MAX = float(np.finfo(np.float16).max)


class Sam2Video(Sam2PromptModel):
    """SAM 2 behind :class:`~napari_ditto.models.protocols.VideoModel`.

    A memory has ``features``, float16, shape (n, 64, s, s), half a megabyte per object and frame of
    the published models, and ``pointer``, float32, shape (n, c). The library rounds features to
    bfloat16; those values are exact in float16 from 6e-5 to 65504 (smaller ones to 3e-8).
    """

    def __init__(self, spec: ModelSpec, network: torch.nn.Module, canvas: Canvas) -> None:
        super().__init__(spec, network, canvas)
        self._memory = Remembering(self._network, getattr(torch, spec.precision))

    @property
    def reach(self) -> Mapping[str, int]:
        """How many frames back each array of a memory is read."""
        return {"features": self._memory.slots, "pointer": self._memory.pointers}

    @torch.inference_mode()
    def memorize(
        self, embedding: Embedding, masks: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.generic]]:
        """Return what to remember of a user's masks, shape (n, h, w) of the tile.

        Raises
        ------
        ModelError
            If another model made the embedding, or the masks are not of its tile.
        DeviceError
            If the device is out of memory.
        """
        check_maker(embedding, self._spec.key)
        if masks.ndim != 3 or masks.shape[1:] != embedding.tile_shape:
            raise ModelError(f"masks of shape {masks.shape} for a tile of {embedding.tile_shape}")
        with memory_watched():
            frame = self._memory.open(self._levels(self._upload(embedding)))
            return self._arrays([self._memory.memorize(frame, self._full(m)) for m in masks])

    @torch.inference_mode()
    def track(self, embedding: Embedding, memories: Sequence[Sequence[MemoryFrame]]) -> VideoLogits:
        """Return where objects are in a tile, each by what is remembered of it.

        Objects are done one by one, as in the library, so that no answer depends on the others.

        Raises
        ------
        ModelError
            If another model made the embedding, or nothing within reach is known of an object.
        DeviceError
            If the device is out of memory.
        """
        check_maker(embedding, self._spec.key)
        with memory_watched():
            frame = self._memory.open(self._levels(self._upload(embedding)))
            found = [self._memory.track(frame, self._tensors_of(frames)) for frames in memories]
        arrays = self._arrays([f.memory for f in found])
        if not found:
            nothing = np.zeros(0, np.float32)
            logits = np.zeros((0, *embedding.tile_shape), np.float32)
            return VideoLogits(logits, nothing, nothing, arrays)
        shape = embedding.tile_shape
        logits = np.empty((len(found), *shape), np.float32)
        coarse = torch.stack([f.logits for f in found])
        self._to_tile(coarse, shape, Box.of_shape(shape), logits)
        return VideoLogits(
            logits,
            torch.stack([f.score for f in found]).clamp(0, 1).cpu().numpy(),
            torch.stack([f.presence for f in found]).sigmoid().cpu().numpy(),
            arrays,
        )

    def _levels(self, features: Features) -> Levels:
        """Return features as memory wants them: an embedding is that of a first frame."""
        fine, middle, image = (features[name] for name in LEVELS)
        return Levels(fine, middle, image - self._network.no_memory_embedding.reshape(1, -1, 1, 1))

    def _full(self, mask: NDArray[np.bool_]) -> torch.Tensor:
        """Return a tile mask on the canvas, 0 or 1, resized as the library's processor does."""
        side = self._canvas.size
        full = torch.from_numpy(mask.astype(np.float32)).to(self._device)[None, None]
        if mask.shape != (side, side):
            full = interpolate(full, (side, side), mode="bilinear", antialias=True)
        return (full[0, 0] >= 0.5).float()

    def _tensors_of(self, frames: Sequence[MemoryFrame]) -> list[Memory]:
        near = (f for f in frames if f.is_anchor or f.distance <= self._memory.slots)
        if not any("features" in f.arrays for f in near):
            raise ModelError("nothing is remembered of an object that is asked about")
        return [
            Memory(
                self._tensor(f.arrays["features"]) if "features" in f.arrays else None,
                self._tensor(f.arrays["pointer"]),
                f.distance,
                f.is_anchor,
            )
            for f in frames
        ]

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.array(array, dtype=np.float32)).to(self._device)

    def _arrays(self, memories: Sequence[Memory]) -> dict[str, NDArray[np.generic]]:
        side, config = self._canvas.mask_size // 4, self._network.config
        features = np.zeros(
            (len(memories), config.memory_encoder_output_channels, side, side), np.float16
        )
        pointers = np.zeros((len(memories), self._network.hidden_dim), np.float32)
        for i, memory in enumerate(memories):
            if memory.features is not None:
                features[i] = memory.features.clamp(-_HALF_MAX, _HALF_MAX).cpu().numpy()
            pointers[i] = memory.pointer.cpu().numpy()
        return {"features": features, "pointer": pointers}
