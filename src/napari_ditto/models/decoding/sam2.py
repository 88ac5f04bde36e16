"""The decoder of SAM 2, which adds finer features and doubts its single mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import gelu  # noqa: TID253

from napari_ditto.models.decoding.decoder import Decoded, Features, Grid, MaskDecoder, Plan
from napari_ditto.models.decoding.two_way import STRIP
from napari_ditto.models.decoding.upscaling import to_cells


@dataclass(frozen=True, eq=False)
class FinePlan(Plan):
    """A plan with the features that are added while the image is upscaled.

    Attributes
    ----------
    middle, fine : Tensor, shapes (4 n, c / 4) and (16 n, c / 8)
        By cell.
    """

    middle: torch.Tensor
    fine: torch.Tensor


class Sam2MaskDecoder(MaskDecoder):
    """The decoder of SAM 2; masks are always wanted of the whole image."""

    first_mask_token = 2

    def plan(self, features: Features) -> FinePlan:
        """Return what can be computed before anything is asked."""
        middle, fine = (
            to_cells(features[name][0], steps).to(self._dtype)
            for name, steps in (("middle", 1), ("fine", 2))
        )
        return FinePlan(super().plan(features).image, middle, fine)

    def _output_tokens(self) -> list[Any]:
        decoder = self._decoder
        return [decoder.obj_score_token, decoder.iou_token, decoder.mask_tokens]

    def _upscaled(
        self, plan: FinePlan, image: torch.Tensor
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, len(image), STRIP):
            stop = min(start + STRIP, len(image))
            rows = slice(16 * start, 16 * stop)
            middle, fine = plan.middle[4 * start : 4 * stop], plan.fine[rows]
            yield rows, gelu(self._upscaling(image[start:stop], middle, fine))

    def _answer(
        self, plan: Plan, tokens: torch.Tensor, images: list[torch.Tensor], seen: Grid
    ) -> Decoded:
        """Return the masks; a single one that is not stable gives way to the best of three."""
        found, decoder = super()._answer(plan, tokens, images, seen), self._decoder
        if not decoder.dynamic_multimask_via_stability:
            return found
        best = found.scores[:, 1:].argmax(1) + 1
        chosen = torch.where(self._is_stable(found.masks[:, 0]), torch.zeros_like(best), best)
        each = torch.arange(len(best), device=best.device)
        masks, scores = found.masks.clone(), found.scores.clone()
        masks[:, 0], scores[:, 0] = found.masks[each, chosen], found.scores[each, chosen]
        return Decoded(masks, scores)

    def _is_stable(self, masks: torch.Tensor) -> torch.Tensor:
        """Return whether masks (b, y, x) hardly depend on the threshold."""
        delta = self._decoder.dynamic_multimask_stability_delta
        inner, outer = ((masks > level).sum((1, 2)) for level in (delta, -delta))
        ratio = torch.where(outer > 0, inner / outer, 1.0)
        return ratio >= self._decoder.dynamic_multimask_stability_thresh  # type: ignore[no-any-return]
