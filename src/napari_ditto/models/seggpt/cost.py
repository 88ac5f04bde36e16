"""What one look of the network costs, from its configuration."""

from __future__ import annotations

from typing import Any

CPU_RATE = 22e9
"""Multiply-adds per second on two cores: 0.79e12 for the published network in about 36 s."""


def multiply_adds(config: Any) -> float:  # noqa: ANN401
    """Return the multiply-adds for one example and one query.

    Linear in the number of examples: both halves attend to each other, so nothing can be kept
    between queries. The blocks up to ``merge_index`` run twice, for image and mask.
    """
    height, width = config.image_size
    tokens = (height // config.patch_size) * (width // config.patch_size)
    block = tokens * config.hidden_size * (4 * config.hidden_size + 2 * config.mlp_dim)
    block += 2 * tokens**2 * config.hidden_size
    blocks = config.num_hidden_layers + config.merge_index + 1
    return float(blocks * block + _decoder(config, tokens) / 2)


def work_bytes(config: Any, examples: int) -> int:  # noqa: ANN401
    """Return the memory that a look takes beside the weights, roughly."""
    height, width = config.image_size
    tokens = (height // config.patch_size) * (width // config.patch_size)
    attention = 16 * config.num_attention_heads * tokens**2
    activations = 4 * 2 * examples * tokens * (6 * config.hidden_size + 2 * config.mlp_dim)
    decoder = 4 * 3 * height * width * config.decoder_hidden_size
    return int(attention + activations + decoder)


def _decoder(config: Any, tokens: int) -> float:  # noqa: ANN401
    """Return the multiply-adds for both halves; only the query's is decoded."""
    features = config.hidden_size * len(config.intermediate_hidden_state_indices)
    pixels = tokens * config.patch_size**2
    return float(pixels * config.decoder_hidden_size * (features + 9 * config.decoder_hidden_size))
