"""The memory of SAM 2 as functions of its network: no session, no frame numbers, no state.

Ravi et al. 2024, SAM 2: Segment Anything in Images and Videos, section 4 and appendix D. The
library keeps the same computations inside a session that owns the frames; here what is remembered
goes in and out. Only parts that carry the names of weights are used, which no release renames.

Symbols of shapes: c channels of the image, d channels of the memory, s the side of the coarsest
feature map, 4 s that of coarse masks, 16 s that of the input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch  # noqa: TID253  # imported with the family
from torch.nn.functional import interpolate  # noqa: TID253

from napari_ditto.models.sam2.attending import MemoryAttention
from napari_ditto.models.sam2.noting import MemoryEncoder

NO_OBJECT = -1024.0
"""The logit of every pixel of an object that is gone."""

MASK_SCALE, MASK_BIAS = 20.0, -10.0
"""A user's mask as logits: +-10."""


@dataclass(frozen=True, eq=False)
class Levels:
    """The encoder's three feature maps of one frame, without the "no memory" embedding.

    Attributes
    ----------
    fine, middle, image : Tensor, shapes (1, c / 8, 4 s, 4 s), (1, c / 4, 2 s, 2 s), (1, c, s, s)
    """

    fine: torch.Tensor
    middle: torch.Tensor
    image: torch.Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """What is kept of one object in one frame.

    Attributes
    ----------
    features : Tensor, shape (d, s, s), or None
        Where it was; not read any more from frames further back than :attr:`Remembering.slots`.
    pointer : Tensor, shape (c,)
        What it looked like, in one vector.
    distance : int
        Frames back; negative for an anchor that lies ahead.
    is_anchor : bool
        Whether the mask was the user's.
    """

    features: torch.Tensor | None
    pointer: torch.Tensor
    distance: int = 0
    is_anchor: bool = False


@dataclass(frozen=True, eq=False)
class Tracked:
    """One object found in a frame.

    Attributes
    ----------
    logits : Tensor, shape (4 s, 4 s)
        Coarse mask.
    score : Tensor, scalar
        Estimated IoU.
    presence : Tensor, scalar
        Logit of its being there.
    memory : Memory
        What to keep of it.
    """

    logits: torch.Tensor
    score: torch.Tensor
    presence: torch.Tensor
    memory: Memory


class Frame:
    """A frame, with what is the same in it for every object.

    Parameters
    ----------
    levels : Levels
    remembering : Remembering
        Computes, when first asked.
    """

    def __init__(self, levels: Levels, remembering: Remembering) -> None:
        self.levels, self._remembering = levels, remembering

    @cached_property
    def seen(self) -> torch.Tensor:
        """The image's features once they have looked at each other, (s s, c)."""
        return self._remembering.look(self.levels.image)

    @cached_property
    def projected(self) -> torch.Tensor:
        """What the image brings into the memory of each object, (1, s, s, c)."""
        return self._remembering.project(self.levels.image)


class Remembering:
    """Memorize and track with the parts of a ``Sam2VideoModel``.

    Parameters
    ----------
    network : torch.nn.Module
        The library's model, in evaluation mode.
    dtype : torch.dtype
        What attention computes with.
    """

    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:  # noqa: ANN401
        self._net, self._config, self._dtype = network, network.config, dtype

    @property
    def slots(self) -> int:
        """How many frames back features are read, six in every published model."""
        return int(self._config.num_maskmem) - 1

    @property
    def pointers(self) -> int:
        """How many frames back pointers are read, fifteen in every published model."""
        return int(self._config.max_object_pointers_in_encoder) - 1

    def open(self, levels: Levels) -> Frame:
        """Return a frame, in which any number of objects can be found or memorized."""
        return Frame(levels, self)

    def segment(
        self, levels: Levels, prompts: Mapping[str, torch.Tensor], multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return what the decoder makes of prompts, as the image model does.

        Returns
        -------
        masks, scores, tokens, presence : Tensor
            Shapes (i, p, m, 4 s, 4 s), (i, p, m), (i, p, m, c) and (i, p, 1) for i images, p
            prompts and m candidates.
        """
        images = levels.image.shape[0]
        sparse, dense = self._net.prompt_encoder(**(_NO_PROMPTS | dict(prompts)))
        position = self._net.get_image_wide_positional_embeddings().repeat(images, 1, 1, 1)
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] = (
            self._net.mask_decoder(
                image_embeddings=levels.image,
                image_positional_embeddings=position,
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
                high_resolution_features=[levels.fine, levels.middle],
            )
        )
        return found

    def memorize(self, frame: Frame, mask: torch.Tensor) -> Memory:
        """Return what to keep of a user's mask, shape (16 s, 16 s), 0 or 1.

        The mask itself says whether the object is there. The decoder is asked about it for a
        pointer only.
        """
        there = mask.any()
        prompt = {"input_masks": self._net.mask_downsample(mask[None, None])}
        *_, scores, tokens, presence = self.segment(frame.levels, prompt | self._no_point(), True)
        pointer = self._pointer(_best(tokens, scores), presence[0, 0, 0] > 0)
        pointer = pointer if there else self._net.no_object_pointer[0]
        return Memory(self._encode(frame, mask, there), pointer)

    def track(self, frame: Frame, memories: Sequence[Memory]) -> Tracked:
        """Return an object in a frame, by what was kept of it in others, in whatever order."""
        config, levels = self._config, frame.levels
        memories = sorted(memories, key=lambda m: (not m.is_anchor, -m.distance))
        conditioned = Levels(levels.fine, levels.middle, self._attend(frame, memories))
        several = (
            config.multimask_output_in_sam
            and config.multimask_output_for_tracking
            and config.multimask_min_pt_num <= 0 <= config.multimask_max_pt_num
        )
        masks, scores, tokens, presence = self.segment(conditioned, self._no_point(), several)
        presence = presence[0, 0, 0]
        there = presence > 0
        logits = _best(masks, scores) if there else torch.full_like(masks[0, 0, 0], NO_OBJECT)
        side = int(config.image_size)
        full = interpolate(logits[None, None], (side, side), mode="bilinear", align_corners=False)
        features = self._encode(frame, torch.sigmoid(full[0, 0]), there)
        memory = Memory(features, self._pointer(_best(tokens, scores), there))
        return Tracked(logits, scores.max(), presence, memory)

    def _no_point(self) -> dict[str, torch.Tensor]:
        """Return the padding that the prompt encoder wants where there is no point."""
        device = self._net.no_memory_embedding.device
        labels = torch.full((1, 1, 1), -1, dtype=torch.int32, device=device)
        return {"input_points": torch.zeros(1, 1, 1, 2, device=device), "input_labels": labels}

    def _pointer(self, token: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._net.object_pointer_proj(token)
        return found if there else self._net.no_object_pointer[0]

    def _encode(self, frame: Frame, mask: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Return the features of a mask in [0, 1], rounded to bfloat16 as the library does."""
        scale, bias = (getattr(self._config, f"sigmoid_{n}_for_mem_enc") for n in ("scale", "bias"))
        features = self._encoder(frame.projected, mask * scale + bias)
        gone = self._net.occlusion_spatial_embedding_parameter
        if gone is not None and not there:
            features = features + gone[0, :, None, None]
        rounded: torch.Tensor = features.to(torch.bfloat16).float()
        return rounded

    @cached_property
    def _attention(self) -> MemoryAttention:
        return MemoryAttention(self._net, self._dtype)

    @cached_property
    def _encoder(self) -> MemoryEncoder:
        return MemoryEncoder(self._net)

    @cached_property
    def _place(self) -> torch.Tensor:
        """Where the features of a frame are, (s s, d)."""
        sizes, bias = self._config.vision_config.backbone_feature_sizes, self._net.no_object_pointer
        shape = torch.Size((1, 1, *sizes[-1]))
        found: torch.Tensor = self._net.memory_encoder.position_encoding(
            shape, bias.device, bias.dtype
        )
        return found[0].flatten(1).T.contiguous()

    def look(self, image: torch.Tensor) -> torch.Tensor:
        """Return image features (1, c, s, s) that have looked at each other, (s s, c)."""
        position = self._net.vision_encoder.neck.position_encoding(
            image.shape, image.device, image.dtype
        )
        return self._attention.look((image + 0.1 * position)[0].flatten(1).T.contiguous())

    def project(self, image: torch.Tensor) -> torch.Tensor:
        """Return what image features (1, c, s, s) bring into each object's memory."""
        return self._encoder.project(image)

    def _attend(self, frame: Frame, memories: Sequence[Memory]) -> torch.Tensor:
        """Return the image features after they have looked at the memories, (1, c, s, s)."""
        seen, where = self._spatial_tokens(memories)
        pointers, when = self._pointer_tokens(memories)
        memory, place = torch.cat([seen, pointers]), torch.cat([where, when])
        out = self._attention.recall(frame.seen, memory, place, len(pointers))
        return out.T.reshape(frame.levels.image.shape)

    def _spatial_tokens(self, memories: Sequence[Memory]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features as tokens (k s s, d), and their place and time: anchors are timeless."""
        near = [
            (m.features, -1 if m.is_anchor else m.distance - 1)
            for m in memories
            if m.features is not None and (m.is_anchor or m.distance <= self.slots)
        ]
        features = torch.stack([f for f, _ in near])
        # The first row is of one frame back, the last one of anchors.
        slots = [slot for _, slot in near]
        time = self._net.memory_temporal_positional_encoding[slots, 0]
        where = self._place + time
        return features.flatten(2).transpose(1, 2).flatten(0, 1), where.flatten(0, 1)

    def _pointer_tokens(self, memories: Sequence[Memory]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pointers cut into tokens (k c / d, d), and their time.

        An anchor that lies ahead is seen but not pointed to, as in the library's inference.
        """
        depth = int(self._config.memory_encoder_output_channels)
        known = [m for m in memories if m.is_anchor or m.distance <= self.pointers]
        known = [m for m in known if m.distance >= 0]
        empty = self._net.no_object_pointer.new_zeros(0, depth)
        if not known:
            return empty, empty
        tokens = torch.stack([m.pointer for m in known])
        pieces = tokens.shape[1] // depth
        time = self._pointer_time([m.distance for m in known], tokens)
        return tokens.reshape(-1, depth), time.repeat_interleave(pieces, dim=0)

    def _pointer_time(self, distances: Sequence[int], like: torch.Tensor) -> torch.Tensor:
        """Return the encoded age of pointers: sines and cosines, projected to (k, d)."""
        count, channels = like.shape
        if not self._config.enable_temporal_pos_encoding_for_object_pointers:
            return like.new_zeros(count, int(self._config.memory_encoder_output_channels))
        half = channels // 2
        age = torch.tensor(distances, device=like.device, dtype=torch.float32) / self.pointers
        exponent = 2 * (torch.arange(half, device=like.device, dtype=torch.float32) // 2) / half
        angle = age[:, None] / 10000**exponent
        waves = torch.cat([angle.sin(), angle.cos()], dim=-1)
        found: torch.Tensor = self._net.temporal_positional_encoding_projection_layer(waves)
        return found


_NO_PROMPTS: dict[str, torch.Tensor | None] = dict.fromkeys(
    ("input_points", "input_labels", "input_boxes", "input_masks")
)


def _best(candidates: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return the candidate with the highest score, of one image and one prompt."""
    one = candidates.shape[2] == 1
    return candidates[0, 0, 0 if one else scores[0, 0].argmax()]
