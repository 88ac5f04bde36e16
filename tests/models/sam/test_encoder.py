"""Our encoder gives what the library's gives, whatever the configuration and the precision."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models import numerics, packed, trial
from napari_ditto.models.device import threads
from napari_ditto.models.numerics import Outcome
from napari_ditto.models.registry import load_model
from napari_ditto.models.sam.encoder import SamEncoder
from napari_ditto.models.sam.model import SamPromptModel

CLICK = PromptSet((PointPrompt(60, 50),))

CONFIGURATIONS = {
    "windows that stick out": {"image_size": 128, "window_size": 3},
    "windows that fit": {"image_size": 96, "window_size": 3},
    "one window larger than the image": {"image_size": 48, "window_size": 5},
    "global only": {"window_size": 0},
    "windows only": {"global_attn_indexes": []},
    "no relative positions": {"use_rel_pos": False},
    "no positions": {"use_abs_pos": False, "use_rel_pos": False},
    "no bias": {"qkv_bias": False},
    "another activation": {"hidden_act": "relu"},
    "a head of 80": {"hidden_size": 160},
    "small patches": {"patch_size": 8, "image_size": 56},
}


def vision(family="sam", **changes):
    """Return a vision encoder of the library, seeded so that everything counts."""
    prefix = {"sam": "Sam", "sam_hq": "SamHQ"}[family]
    config = getattr(transformers, f"{prefix}VisionConfig")(
        **{
            "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
            "image_size": 128, "window_size": 3, "global_attn_indexes": [1],
            "output_channels": 16, "mlp_dim": 64,
        } | changes
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = getattr(transformers, f"{prefix}VisionModel")(config).vision_encoder.eval()
        with torch.no_grad():
            for name, p in network.named_parameters():
                one = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                usual = 0.3 if p.ndim < 2 or "pos" in name else p[0].numel() ** -0.5
                p.copy_(one + usual * torch.randn_like(p))
    return network


def pixels(network, batch=2):
    size = network.config.image_size
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["packed", "plain"])
def _way(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(packed, "can_pack", lambda dtype: False)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("family", ["sam", "sam_hq"])
def test_equal_to_the_library(family, name):
    network = vision(family, **CONFIGURATIONS[name])
    given = pixels(network)
    with torch.inference_mode():
        expected = network(given)
    kept = given.clone()
    found, early = SamEncoder(network)(given)
    assert torch.equal(given, kept)
    assert expected[0].std() > 0.3  # the comparison is about something
    torch.testing.assert_close(found, expected[0], rtol=0, atol=2e-5)
    if family == "sam_hq" and early is not None:
        torch.testing.assert_close(early, expected[1][0], rtol=0, atol=2e-5)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("name", ["windows that stick out", "global only", "a head of 80"])
def test_bfloat16_is_near(name):
    network = vision("sam_hq", **CONFIGURATIONS[name])
    given = pixels(network)
    with torch.inference_mode():
        expected = network(given)
    found, early = SamEncoder(network, torch.bfloat16)(given)
    assert found.dtype == early.dtype == torch.float32
    assert 0 < (found - expected[0]).std() < 0.02 * expected[0].std()
    assert (early - expected[1][0]).std() < 0.02 * expected[1][0].std()


@pytest.mark.parametrize("name", ["windows that stick out", "global only", "another activation"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes_are_near(name, dtype):
    network = vision("sam_hq", **CONFIGURATIONS[name])
    given = pixels(network)
    with torch.inference_mode():
        expected = network(given)
    found, early = SamEncoder(network, dtype, in_bytes=True)(given)
    assert found.dtype == early.dtype == torch.float32
    assert 0 < (found - expected[0]).std() < 0.04 * expected[0].std()
    assert (early - expected[1][0]).std() < 0.04 * expected[1][0].std()


@pytest.mark.parametrize("in_bytes", [False, True])
def test_the_same_bits_every_time(in_bytes):
    encoder = SamEncoder(vision(), in_bytes=in_bytes)
    given = pixels(vision(), batch=1)
    first, again = encoder(given)[0].clone(), encoder(given)[0]
    assert torch.equal(first, again)


@pytest.mark.parametrize("name", ["windows that stick out", "global only"])
def test_any_number_of_threads_computes_the_same(name):
    encoder, given = SamEncoder(vision(**CONFIGURATIONS[name])), pixels(vision(), batch=1)
    found = []
    for count in (1, 2, 8):
        with threads(count):
            found.append(encoder(given)[0].clone())
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[2], found[0], rtol=0, atol=1e-5)  # other pieces


def test_two_tiles_are_as_each_alone():
    network = vision()
    encoder, given = SamEncoder(network), pixels(network)
    together, _ = encoder(given)
    alone = torch.cat([encoder(given[:1])[0], encoder(given[1:])[0]])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_a_smaller_picture():
    """As the library's network of that size, whose positions are a part of the larger one's."""
    large, small = vision(image_size=128), vision(image_size=96)
    weights = large.state_dict()
    weights["pos_embed"] = weights["pos_embed"][:, :6, :6]
    for name in ("layers.1.attn.rel_pos_h", "layers.1.attn.rel_pos_w"):
        weights[name] = weights[name][2:-2]
    small.load_state_dict(weights)
    given = pixels(small)
    with torch.inference_mode():
        expected = small(given)[0]
    torch.testing.assert_close(SamEncoder(large)(given)[0], expected, rtol=0, atol=2e-5)


# --- the model around it -----------------------------------------------------------------------


@pytest.fixture
def _tries(tmp_path, monkeypatch):
    """A machine with bfloat16 that remembers nothing, and networks of any size are tried."""
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path))
    monkeypatch.setattr(numerics, "_cpu_multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(trial, "LEAST_PARAMETERS", 0)


def fake_trial(monkeypatch, seconds, shift=0):
    def tried(self):
        masks = np.zeros((1, 100, 100), dtype=bool)
        half = self.spec.precision != "float32"
        masks[:, :, : 50 + shift * half] = True
        return Outcome(seconds if half else 1.0, masks)

    monkeypatch.setattr(SamPromptModel, "try_out", tried)


@pytest.mark.usefixtures("_tries")
@pytest.mark.parametrize(
    ("seconds", "shift", "chosen"),
    [(0.4, 0, "bfloat16"), (1.2, 0, "float32"), (0.4, 1, "float32")],
    ids=["faster", "slower", "other masks"],
)
def test_auto_takes_what_the_trial_found(seconds, shift, chosen, monkeypatch, checkpoints, tile):
    fake_trial(monkeypatch, seconds, shift)
    model = load_model(f"sam:{checkpoints.sam}", "cpu")
    assert model.spec.precision == chosen
    embedding = model.encode(tile(128, 128)[None])[0]
    assert embedding.model.endswith("+bfloat16") == (chosen == "bfloat16")
    assert all(a.dtype == np.float32 for a in embedding.arrays.values())


@pytest.mark.usefixtures("_tries")
@pytest.mark.parametrize("family", ["sam", "sam_hq"])
def test_a_trial_encodes_and_decodes(family, checkpoints):
    name = f"{family}:{getattr(checkpoints, family)}"
    single, half = (load_model(name, "cpu", p).try_out() for p in ("float32", "bfloat16"))
    assert single.masks.shape == (3 * trial.CLICKS, trial.SHOWN, trial.SHOWN)
    assert 0.02 < single.masks.mean() < 0.98
    assert single.seconds > 0 < half.seconds
    assert numerics.agreement(single.masks, half.masks) > 0.9
    assert numerics.agreement(single.masks, np.roll(half.masks, 20, axis=1)) < 0.9


def with_outliers(folder, to):
    """Copy a network; a few channels are 10,000 times as large before layers that undo it."""
    shutil.copytree(folder, to)
    path = to / "model.safetensors"
    tensors = load_file(path)
    for name in list(tensors):
        norm, _, last = name.rpartition(".")
        if "vision_encoder.layers" in name and "layer_norm" in name:
            tensors[name][:2] *= 1e4
            layer = norm.rpartition(".")[0]
            undoes = "attn.qkv" if norm.endswith("1") else "mlp.lin1"
            tensors[f"{layer}.{undoes}.weight"][:, :2] /= 1e4 if last == "weight" else 1
    save_file(tensors, path)
    return to


@pytest.mark.usefixtures("_tries")
def test_bytes_are_refused_for_weights_with_outliers(checkpoints, tmp_path, monkeypatch):
    """The masks of the loaded weights decide, computed in truth; only the clock is made up."""
    monkeypatch.setattr(numerics, "_cpu_has_bytes", lambda: True)
    truly, seconds = SamPromptModel.try_out, {"float32": 1.0, "bfloat16": 0.5, "int8": 0.25}

    def tried(self):
        return Outcome(seconds[self.spec.precision], truly(self).masks)

    monkeypatch.setattr(SamPromptModel, "try_out", tried)
    outlying = with_outliers(checkpoints.sam, tmp_path / "outlying")
    plain, odd = (load_model(f"sam:{path}", "cpu") for path in (checkpoints.sam, outlying))
    assert (plain.spec.precision, odd.spec.precision) == ("int8", "bfloat16")
    single, same = (
        load_model(f"sam:{path}", "cpu", "float32").try_out().masks
        for path in (checkpoints.sam, outlying)
    )
    assert numerics.agreement(single, same) > 0.999  # nothing else is wrong with them


def test_a_small_network_is_not_tried(checkpoints, monkeypatch):
    monkeypatch.setattr(SamPromptModel, "try_out", None)
    assert load_model(f"sam:{checkpoints.sam}", "cpu").spec.precision == "float32"


@pytest.mark.parametrize("lower", ["bfloat16", "int8"])
@pytest.mark.parametrize("family", ["sam", "sam_hq"])
def test_masks_are_those_of_float32(family, lower, checkpoints, tile):
    path = getattr(checkpoints, family)
    image, masks = tile(128, 128), []
    for precision in ("float32", lower):
        model = load_model(f"{family}:{path}", "cpu", precision)
        assert model.spec.precision == precision
        masks.append(model.decode(model.encode(image[None])[0], [CLICK]).logits[0] > 0)
    assert 0.02 < masks[0].mean() < 0.98
    assert numerics.agreement(*masks) > (0.97 if lower == "bfloat16" else 0.93)


def test_embeddings_of_another_precision_are_refused(checkpoints, tile):
    single, half = (load_model(f"sam:{checkpoints.sam}", "cpu", p) for p in ("float32", "bfloat16"))
    with pytest.raises(ModelError):
        single.decode(half.encode(tile(64, 64)[None])[0], [CLICK])


def test_the_weights_are_kept_once(checkpoints, tile):
    model = load_model(f"sam:{checkpoints.sam}", "cpu")
    first = model.encode(tile(128, 128)[None])[0]
    assert not list(model._network.vision_encoder.parameters())
    again = model.encode(tile(128, 128)[None])[0]
    np.testing.assert_array_equal(first.arrays["image"], again.arrays["image"])
    assert model.decode(again, [CLICK]).logits.shape == (1, 3, 128, 128)
