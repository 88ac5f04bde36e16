"""The decoder of SAM 2, which adds finer features and doubts its single mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch  # noqa: TID253  # imported with a family
from torch.nn.functional import gelu  # noqa: TID253

from napari_ditto.models.decoding.decoder import (
    Decoded,
    Features,
    Grid,
    MaskDecoder,
    Painted,
    Plan,
    times,
)
from napari_ditto.models.decoding.upscaling import to_cells
from napari_ditto.models.decoding.written import Written


class Sam2MaskDecoder(MaskDecoder):
    """The decoder of SAM 2; masks are always wanted of the whole image."""

    first_mask_token = 2

    def plan(self, features: Features) -> Plan:
        """Return what can be computed before anything is asked, the finer features by cell."""
        middle, fine = (
            to_cells(features[name][0], steps) for name, steps in (("middle", 1), ("fine", 2))
        )
        plan = super().plan(features)
        still = middle.reshape(plan.quarters.shape).to(self._dtype) + plan.still
        return replace(plan, still=still, finer=(fine.to(self._dtype),))

    def _output_tokens(self) -> list[Any]:
        decoder = self._decoder
        return [decoder.obj_score_token, decoder.iou_token, decoder.mask_tokens]

    def _upscaled(
        self, plan: Plan, image: Written, seen: Grid
    ) -> Iterator[tuple[slice, torch.Tensor]]:
        for rows, quarters in self._in_strips(plan, image, seen):
            parts = times(16, rows)
            yield parts, gelu(self._upscaling(quarters).add_(plan.finer[0][parts]))

    def _answer(self, scores: torch.Tensor, chosen: torch.Tensor, painted: Painted) -> Decoded:
        """Return the masks; a single one that is not stable gives way to the best of three."""
        single = (chosen == 0).any(1).all() and self._decoder.dynamic_multimask_via_stability
        if not single:
            return super()._answer(scores, chosen, painted)
        best = scores[:, 1:].argmax(1, keepdim=True) + 1
        masks, (row, place) = painted(torch.cat([chosen, best], dim=1)), (chosen == 0).nonzero().T
        wobbles = ~self._is_stable(masks[row, place])
        row, place = row[wobbles], place[wobbles]
        masks[row, place], scores = masks[row, -1], scores.clone()
        scores[row, 0] = scores[row, best[row, 0]]
        return Decoded(masks[:, :-1], scores)

    def _is_stable(self, masks: torch.Tensor) -> torch.Tensor:
        """Return whether masks (b, y, x) hardly depend on the threshold."""
        delta = self._decoder.dynamic_multimask_stability_delta
        inner, outer = ((masks > level).sum((1, 2)) for level in (delta, -delta))
        ratio = torch.where(outer > 0, inner / outer, 1.0)
        return ratio >= float(self._decoder.dynamic_multimask_stability_thresh)
