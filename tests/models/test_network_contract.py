"""The contract of prompt models, held by every family on its seeded checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import MaskPrompt, PromptSet
from napari_ditto.models.protocols import PromptModel
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.models import PromptModelContract


@pytest.fixture(scope="module", params=["sam", "sam_hq", "sam2", "sam2_video"])
def loaded(request, checkpoints) -> PromptModel:
    family = request.param.removesuffix("_video")
    return load_model(f"{family}:{getattr(checkpoints, request.param)}", device="cpu")


class TestNetworks(PromptModelContract):
    tolerance = 1e-4
    seeks_objects = False

    @pytest.fixture
    def model(self, loaded):
        return loaded


def test_a_mask_in_a_tile_of_one_row(loaded):
    embedding = loaded.encode(np.full((1, 1, 128, 3), 0.5, dtype=np.float32))[0]
    mask = MaskPrompt(Box(0, 10, 1, 40), np.ones((1, 30), dtype=bool))
    assert loaded.decode(embedding, [PromptSet(mask=mask)]).logits.shape == (1, 3, 1, 128)
