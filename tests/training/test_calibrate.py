"""The calibration: what it is told is true, and it learns it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ditto.models.ditto.decoder import HEADS
from napari_ditto.models.ditto.dialogue import converse
from napari_ditto.models.ditto.looks import Look, Recent
from napari_ditto.models.ditto.network import DittoNetwork
from napari_ditto.models.ditto.views import View
from training import calibrate


def look(view: View, mask: np.ndarray) -> Look:
    logits = torch.from_numpy(np.where(mask, 5.0, -5.0)).float().expand(HEADS, -1, -1)
    return Look(view, logits, torch.zeros(HEADS))


def test_a_mask_is_worth_what_it_covers_of_the_whole_object() -> None:
    truth = np.zeros((64, 64), bool)
    truth[16:48, 16:48] = True
    whole = View(0, 0, 64, 64)  # cells of 2 x 2 pixels
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    assert calibrate.whole_iou(look(whole, mask), truth).tolist() == pytest.approx([1] * HEADS)
    part = View(0, 0, 32, 32)  # shows a quarter of it, all of which is found
    mask = np.zeros((16, 16), bool)
    mask[8:, 8:] = True
    assert calibrate.whole_iou(look(part, mask), truth).tolist() == pytest.approx(
        [0.25] * HEADS, abs=0.03
    )


def test_the_judge_learns_what_its_inputs_say() -> None:
    torch.manual_seed(0)
    judge = DittoNetwork().decoder.judge
    given = torch.randn(1500, HEADS, judge[0].in_features)
    true = torch.sigmoid(2 * given[..., 3])
    before, after = calibrate.fit(judge, given, true)
    assert after > 0.8 > 0.5 > before


def test_every_look_is_recorded_with_what_the_judge_saw() -> None:
    torch.manual_seed(0)
    network = DittoNetwork().eval()
    truth = np.zeros((96, 96), bool)
    truth[30:60, 30:60] = True
    eye = calibrate.RecordingEye(network, torch.rand(3, 96, 96))
    with torch.no_grad():
        for prompts in calibrate._prompts(truth, np.random.default_rng(0)):
            converse(eye, truth.shape, [prompts], Recent(8))
        for found, inputs in eye.record:
            torch.testing.assert_close(network.decoder.judge(inputs).squeeze(-1), found.scores)
    assert len(eye.record) >= 3
