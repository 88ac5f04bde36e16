"""A SegGPT made by hand: so small that a test can run it, and it does segment by example.

Every patch of the query looks for patches of the examples that have its colour, and takes what
they are painted. That is one attention layer; the rest of the architecture is set so that it
passes numbers on unchanged. Published weights do more, but nothing that the code around the
network could notice.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Module = Any
"""A part of the network: torch knows neither its parts nor that they are no tensors."""

RGB = 3
LOUD = 300.0
"""Of a constant feature: so large that layer normalisation only divides by it."""
SHUT = 50.0
OFFSET = 10.0
"""GELU is the identity this far above 0, and 0 this far below."""
_KNOTS = np.linspace(-3.0, 3.5, 14)
_STEEP = 2.0


class At:
    """Where a token keeps its features; each has a twin of the other sign, so means are 0."""

    colour = range(3)
    stream = 3
    asked = 4
    place = range(5, 9)
    look = range(9, 15)
    painted = range(15, 18)
    answer = range(18, 21)
    loud = 21
    half = 22


def save_small_seggpt(
    folder: Path, size: int = 80, patch: int = 4, likeness: float = 60.0, nearness: float = 0.0
) -> Path:
    """Save the network in the format of the published one; return the folder.

    Parameters
    ----------
    folder : Path
        Where ``config.json`` and ``model.safetensors`` go.
    size, patch : int
        Side of the tile and of its patches, pixels; results are no finer than a patch.
    likeness, nearness : float
        How exactly colours, and places in the tile, must agree.
    """
    from napari_ditto.models.transformers_guard import transformers

    library = transformers()
    config = library.SegGptConfig(
        hidden_size=2 * At.half,
        num_hidden_layers=2,
        num_attention_heads=1,
        image_size=[2 * size, size],
        patch_size=patch,
        mlp_dim=RGB * len(_KNOTS) + RGB + 2,
        pretrain_image_size=2 * size,
        decoder_hidden_size=8,
        merge_index=0,
        intermediate_hidden_state_indices=[1],
        drop_path_rate=0.0,
    )
    network = library.SegGptForImageSegmentation(config).eval()
    _fill(network, likeness, nearness)
    network.save_pretrained(folder)
    return folder


def _fill(network: Module, likeness: float, nearness: float) -> None:
    import torch

    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        _embed(network.model.embeddings)
        first, second = network.model.encoder.layers
        _separate(first)
        _look_up(second, likeness, nearness)
        for norm in (
            first.layernorm_after,
            second.layernorm_before,
            network.model.encoder.layernorm,
        ):
            norm.weight.fill_(LOUD / np.sqrt(At.half))
        _show(network.decoder)


def _embed(embeddings: Module) -> None:
    """Tokens: mean colour, which of the two streams, where, and a flag for what is asked."""
    import torch

    projection = embeddings.patch_embeddings.projection.weight
    for channel in range(RGB):
        value = 1 / projection.shape[2] ** 2
        _write(projection[:, channel].flatten(1), At.colour.start + channel, value)
    _write(embeddings.segment_token_input.view(-1), At.stream, 1.0)
    _write(embeddings.segment_token_prompt.view(-1), At.stream, -1.0)
    _write(embeddings.mask_token.view(-1), At.asked, 1.0)
    for token in (embeddings.type_token_instance, embeddings.type_token_semantic):
        _write(token.view(-1), At.loud, LOUD)
    side = round((embeddings.position_embeddings.shape[1] - 1) ** 0.5)
    turn = 2 * np.pi * (np.arange(side) + 0.5) / side
    rows, columns = np.meshgrid(2 * turn, turn, indexing="ij")  # both halves count from 0
    waves = [np.cos(rows), np.sin(rows), np.cos(columns), np.sin(columns)]
    for k, wave in enumerate(waves):
        values = torch.from_numpy(wave.ravel().astype(np.float32))
        _write(embeddings.position_embeddings[0, 1:].T, At.place.start + k, values)


def _separate(layer: Module) -> None:
    """Turn the colour of the image into a look, and that of the mask into what is painted."""
    inner, bias = layer.mlp.lin1.weight, layer.mlp.lin1.bias
    outer = layer.mlp.lin2.weight
    weights, constant = _turns()
    unit = 0
    for channel in range(RGB):
        for k, knot in enumerate(_KNOTS):
            inner[unit, channel], inner[unit, At.stream] = _STEEP, SHUT
            bias[unit] = -_STEEP * knot - SHUT
            for wave in range(2):
                _write(outer[:, unit], At.look.start + 2 * channel + wave, weights[wave, k])
            unit += 1
    for channel in range(RGB):
        inner[unit, channel], inner[unit, At.stream], bias[unit] = 1.0, -SHUT, OFFSET - SHUT
        _write(outer[:, unit], At.painted.start + channel, 1.0)
        unit += 1
    for stream, first, values in (
        (SHUT, At.look.start, np.tile(constant / OFFSET, RGB)),
        (-SHUT, At.painted.start, -np.ones(RGB)),
    ):
        inner[unit, At.stream], bias[unit] = stream, OFFSET - SHUT
        for k, value in enumerate(values):
            _write(outer[:, unit], first + k, float(value))
        unit += 1


def _turns() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how GELUs at the knots add up to a cosine and a sine: weights and constants."""
    import torch

    x = np.linspace(-2.2, 2.7, 200)
    steps = torch.nn.functional.gelu(torch.from_numpy(_STEEP * (x[:, None] - _KNOTS))).numpy()
    design = np.concatenate([steps, np.ones((200, 1))], axis=1)
    target = np.stack([np.cos(x), np.sin(x)], axis=1)
    found = np.linalg.lstsq(design, target, rcond=1e-6)[0].T
    return found[:, :-1], found[:, -1]


def _look_up(layer: Module, likeness: float, nearness: float) -> None:
    """Attend to what looks alike, is near, and is painted; take what it is painted."""
    size = 2 * At.half
    query, key, value = layer.attention.qkv.weight.view(3, size, size)
    scale = size**0.25  # the attention divides by the root of the size
    for part, strength, factor in (
        (At.look, likeness, 2.0),  # merging the streams has halved it
        (At.place, nearness, 1.0),
    ):
        for k in part:
            query[k, k] = key[k, k] = factor * scale * strength**0.5
    query[At.asked, At.loud], key[At.asked, At.asked] = scale / LOUD, -1000.0 * scale
    for k in range(RGB):
        value[k, At.painted.start + k] = 2.0
        _write(layer.attention.proj.weight[:, k], At.answer.start + k, 1.0)


def _show(decoder: Module) -> None:
    """Paint every pixel of a patch with the token's answer."""
    embed = decoder.decoder_embed
    hidden = embed.weight.view(-1, 8, 2 * At.half)
    for k in range(RGB):
        hidden[:, k, At.answer.start + k], hidden[:, 4 + k, At.answer.start + k] = 1.0, -1.0
    embed.bias.view(-1, 8)[:, 3], embed.bias.view(-1, 8)[:, 7] = LOUD, -LOUD
    head = decoder.decoder_pred
    for k in range(8):
        head.conv.weight[k, k, 1, 1] = 1.0
    head.layernorm.weight.fill_(LOUD / 2)
    for k in range(RGB):
        head.layernorm.bias[k], head.head.weight[k, k], head.head.bias[k] = OFFSET, 1.0, -OFFSET


def _write(into: torch.Tensor, feature: int, value: float | torch.Tensor) -> None:
    into[feature], into[At.half + feature] = value, -value
