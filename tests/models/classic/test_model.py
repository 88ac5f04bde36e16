from __future__ import annotations

import numpy as np

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.classic.model import ClassicModel


def test_click_on_a_disc_returns_it():
    y, x = np.indices((64, 64))
    disc = (y - 30) ** 2 + (x - 25) ** 2 < 100
    tile = np.repeat(np.where(disc, 0.8, 0.2).astype(np.float32)[..., None], 3, axis=-1)
    model = ClassicModel()
    answer = model.decode(model.encode(tile[None])[0], [PromptSet((PointPrompt(30, 25),))])
    mask = answer.logits[0, answer.best[0]] > 0
    assert (mask & disc).sum() / (mask | disc).sum() > 0.9
