"""The fast encoder gives what the library gives, for every published shape; and its parts."""

from __future__ import annotations

import pytest
import torch
from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig
from transformers.models.sam2.modeling_sam2 import window_partition, window_unpartition

from napari_ditto.models.sam2 import encoder as encoders
from napari_ditto.models.sam2 import windows as parts
from napari_ditto.models.sam2.encoder import HieraEncoder, supports
from napari_ditto.models.sam2.quads import Quads
from napari_ditto.models.sam2.windows import Windows, attend

TINY = {"blocks_per_stage": [1, 2, 7, 2], "global_attention_blocks": [5, 7, 9]}
SMALL = {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]}
BASE = {
    "blocks_per_stage": [2, 3, 16, 3],
    "global_attention_blocks": [12, 16, 20],
    "heads": [2, 4, 8, 16],
    "window_positional_embedding_background_size": [14, 14],
}
LARGE = {
    "blocks_per_stage": [2, 6, 36, 4],
    "global_attention_blocks": [23, 33, 43],
    "window_size_per_stage": [8, 4, 16, 8],
}
TOLERANCE = 1e-5  # of the largest feature


def make(size=256, vision=None, heads=(1, 2, 4, 8), **backbone):
    """Return the library's model: a published shape, but for the width."""
    widths = [16, 32, 64, 128]
    hiera = Sam2HieraDetConfig(
        hidden_size=16,
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=list(heads),
        **backbone,
    )
    seen = Sam2VisionConfig(
        backbone_config=hiera,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[size // s] * 2 for s in (4, 8, 16)],
        fpn_hidden_size=32,
        **(vision or {}),
    )
    decoder = {"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32}
    prompt = {"hidden_size": 32, "image_size": size, "mask_input_channels": 8}
    config = Sam2Config(
        vision_config=seen, mask_decoder_config=decoder, prompt_encoder_config=prompt
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Sam2Model(config).eval()
        with torch.no_grad():
            for name, p in network.named_parameters():
                spread = 1.0 if "embed" in name else 0.15
                is_norm = "norm" in name and name.endswith("weight")
                p.copy_(torch.randn_like(p) * spread + is_norm)
    return network


def assert_same(found, expected):
    for mine, other in zip(found, expected, strict=True):
        tolerance = TOLERANCE * float(other.abs().max())
        torch.testing.assert_close(mine, other, rtol=0, atol=tolerance)


def noise(batch, size):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(batch))


@pytest.mark.parametrize(
    "shape", [TINY, SMALL, BASE, LARGE], ids=["tiny", "small", "base", "large"]
)
@pytest.mark.parametrize(("size", "batch"), [(256, 1), (224, 2), (480, 1)])
def test_equal_to_the_library(shape, size, batch):
    """224 and 480 fill no windows of 14 or 16."""
    network, pixels = make(size, **shape), noise(batch, size)
    with torch.inference_mode():
        expected = network.get_image_embeddings(pixels)
        found = HieraEncoder(network)(pixels)
    assert all(level.is_contiguous() for level in found)
    assert_same(found, expected)


def test_bands_and_pictures_do_not_matter(monkeypatch):
    encoder, pixels = HieraEncoder(make(**TINY)), noise(2, 256)
    whole = encoder(pixels)
    monkeypatch.setattr(encoders, "BAND", 3 * 64 * 8)  # eight rows of squares: three, three, two
    assert_same(encoder(pixels), whole)
    assert_same(encoder(pixels[1:]), [level[1:] for level in whole])


def test_half_precision_is_near():
    network, pixels = make(**TINY), noise(1, 256)
    exact, near = (HieraEncoder(network, d)(pixels) for d in (torch.float32, torch.bfloat16))
    for mine, other in zip(near, exact, strict=True):
        assert mine.dtype == torch.float32
        assert 0 < (mine - other).std() < 0.03 * other.std()


def test_weights_are_left_alone():
    network = make(**TINY)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    HieraEncoder(network)(noise(1, 256))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"window_size_per_stage": [14, 4, 14, 7]},
        {"hidden_act": "relu"},
        {"num_query_pool_stages": 2},
        {"vision": {"fpn_top_down_levels": [1, 2, 3]}},
    ],
)
def test_what_it_is_not_built_for_is_not_supported(changes):
    assert supports(make(**TINY), 256, 256)
    assert not supports(make(**TINY), 250, 256)
    assert not supports(make(**(TINY | changes)), 256, 256)


# --- the order of tokens, and windows ---------------------------------------------------------


def test_quads_go_to_and_fro():
    quads = Quads(3, 2, 2)
    values = torch.arange(2 * 5 * 12 * 8).reshape(2, 5, 12, 8)
    tokens = quads.from_map(values).reshape(2, quads.tokens, 5)
    assert torch.equal(quads.to_map(tokens).reshape(values.shape), values)
    assert torch.equal(tokens[0, quads.places, 3], values[0, 3])


def test_four_neighbours_in_memory_are_pooled_together():
    quads = Quads(2, 3, 3)
    values = torch.randn(1, 4, 16, 24)
    pooled = quads.from_map(values).reshape(1, -1, 4, 4).amax(2)
    expected = torch.nn.functional.max_pool2d(values, 2)
    assert torch.equal(quads.pooled.to_map(pooled).reshape(expected.shape), expected)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8, 14, 16, 32])
def test_windows_hold_what_the_librarys_hold(side):
    """Whatever their order, and that of tokens inside."""
    quads = Quads(2, 3, 3)
    windows, values = Windows.of(quads, side), 1 + torch.arange(16 * 24).reshape(1, 16, 24, 1)
    tokens = quads.from_map(values.permute(0, 3, 1, 2)).reshape(1, -1, 1)
    theirs, padded = window_partition(values, side)
    mine = windows.split(tokens)
    assert (windows.taken is None) == quads.holds(side)
    assert {tuple(sorted(w)) for w in mine[..., 0].tolist()} == {
        tuple(sorted(w)) for w in theirs.flatten(1).tolist()
    }
    assert torch.equal(windows.join(mine, 1), tokens)
    assert torch.equal(window_unpartition(theirs, side, padded, (16, 24)), values)


@pytest.mark.parametrize("keys", [16, 700])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention(keys, dtype, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 256)
    query, key, value = (torch.randn(3, n, 2, 8).to(dtype) for n in (600, keys, keys))
    found = attend(query, key, value)
    weights = torch.einsum("wnhd,wmhd->whnm", query.float(), key.float()).softmax(-1)
    expected = torch.einsum("whnm,wmhd->wnhd", weights, value.float()).flatten(2)
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=tolerance)
