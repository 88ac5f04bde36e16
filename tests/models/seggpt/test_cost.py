"""What it will cost, said before it starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as t

from napari_ditto.models.estimate import context_estimate, measure_context
from napari_ditto.models.registry import load_model
from napari_ditto.models.seggpt import cost
from napari_ditto.models.seggpt.look import Settings
from napari_ditto.models.seggpt.painter import Painter

PUBLISHED = t.SegGptConfig()
TABLE = {"cpu": 1, "cuda:0": 70}


@pytest.fixture
def spec(model):
    """The spec that the published weights would have."""
    seconds = cost.multiply_adds(PUBLISHED) / cost.CPU_RATE
    return replace(model.spec, decode_seconds=seconds, memory_bytes=3_000_000_000)


def test_the_published_network_takes_about_half_a_minute_per_example_and_tile(spec):
    assert cost.multiply_adds(PUBLISHED) == pytest.approx(0.73e12, rel=0.02)
    assert 30 < spec.decode_seconds < 40


def test_operations_are_counted_as_torch_counts_them(network):
    """Up to what is small: making patches, and relative positions."""
    from torch.utils.flop_counter import FlopCounterMode

    config = t.SegGptConfig(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=2, image_size=[256, 128],
        decoder_hidden_size=16, intermediate_hidden_state_indices=[1, 3], merge_index=1,
    )  # fmt: skip
    own = t.SegGptForImageSegmentation(config).eval().requires_grad_(False)
    painter = Painter(own, (0.5,) * 3, (0.2,) * 3, "cpu")
    images = torch.zeros(1, 3, 128, 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        painter.paint(images, images, images[0], "instance")
    assert cost.multiply_adds(config) == pytest.approx(counter.get_total_flops() / 2, rel=0.15)


def test_a_run_of_minutes_is_said_to_be_slow(spec):
    found = context_estimate(spec, tiles=12, examples=4, classes=9)
    one = spec.decode_seconds
    assert found.seconds == pytest.approx(12 * 4 * 2 * one)
    assert found.tiles == 12
    assert (
        found.notes[0]
        == f"slow: 12 tiles x 4 examples x 2 passes at {one:.2g} s each, about 53 min on cpu"
    )
    assert context_estimate(spec, 12, 4, passes=9).seconds == pytest.approx(12 * 4 * 9 * one)


def test_a_quick_run_is_not(spec):
    gpu = replace(spec, device="cuda:0")
    assert not any("slow" in n for n in context_estimate(gpu, 1, 4).notes)
    assert "on cuda:0" in context_estimate(gpu, 100, 8).notes[0]
    quick = replace(spec, decode_seconds=0.01)
    assert not any("slow" in n for n in context_estimate(quick, 12, 4).notes)


def test_only_so_many_examples_are_looked_at_and_all_at_once_cost_one(spec, model):
    assert context_estimate(spec, 1, 100).seconds == context_estimate(spec, 1, 8).seconds
    spatial = model.using(Settings(ensemble="spatial")).spec
    at_once = replace(spatial, decode_seconds=spec.decode_seconds)
    assert context_estimate(at_once, 3, 8).seconds == pytest.approx(3 * spec.decode_seconds)


def test_a_model_that_condenses_its_examples_costs_a_tile_each():
    spec = load_model("classic").spec
    found = context_estimate(spec, 10, 90, classes=50)
    assert found.seconds == pytest.approx(100 * spec.encode_seconds + 10 * spec.decode_seconds)
    assert not any("slow" in note for note in found.notes)


@pytest.mark.parametrize("name", ["seggpt", "classic"])
def test_measuring_replaces_the_guess(name, model):
    own = model if name == "seggpt" else load_model("classic")
    found = measure_context(own)
    assert found.key == own.spec.key
    assert 0 < found.decode_seconds < 60
    cost = context_estimate(found, 2, 1, measured=True)
    assert cost.seconds == pytest.approx(3 * found.encode_seconds + 2 * found.decode_seconds)
    assert not any("rough" in note for note in cost.notes)


def test_too_little_memory_is_said(spec):
    assert any("needs about" in n for n in context_estimate(spec, 1, 1, available=10**9).notes)


def test_attention_is_made_for_one_example_at_a_time(network, monkeypatch):
    """So that eight examples do not need eight times the memory."""
    sizes = []
    attention = type(network.model.encoder.layers[0].attention)
    forward = attention.forward
    monkeypatch.setattr(
        attention,
        "forward",
        lambda self, x, *a, **k: sizes.append(len(x)) or forward(self, x, *a, **k),
    )
    painter = Painter(network, (0.5,) * 3, (0.2,) * 3, "cpu")
    images = torch.zeros(3, 3, 64, 64)
    with torch.no_grad():
        painter.paint(images, images, images[0], "instance")
    assert set(sizes) == {1}
    assert len(sizes) == 3 * (5 + 3)


def test_memory_of_the_published_network_is_a_few_gigabytes():
    assert 1e9 < cost.work_bytes(PUBLISHED, 8) < 4e9
    assert np.diff([cost.work_bytes(PUBLISHED, k) for k in (1, 2)])[0] < 2e8
