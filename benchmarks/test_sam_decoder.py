"""SAM's decoder of the published size, ours in both precisions against the library's.

The embedding is ready, and is noise, as are the weights: what is found does not matter here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch  # noqa: TID253
import transformers  # noqa: TID253

from benchmarks import roofline
from benchmarks.networks import SIDE, clicks, prompts_at
from benchmarks.records import race, report
from napari_ditto.core.embedding import Embedding
from napari_ditto.models.canvas import Canvas
from napari_ditto.models.decoding.decoder import MaskDecoder
from napari_ditto.models.device import threads
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.sam.model import SamPromptModel

PRECISIONS = ("float32", "bfloat16")
GRID, CHANNELS, MASK = 64, 256, 256
SMALL_ENCODER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 32}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = transformers.SamConfig(vision_config={**SMALL_ENCODER, "global_attn_indexes": [0]})
    return transformers.SamModel(config).eval()


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((CHANNELS, GRID, GRID)).astype(np.float32)


def ours(network, features, precision):
    """Return our model, and an embedding of it."""
    spec = ModelSpec(
        "sam:noise", "sam", "1", "0" * 64, "", "", "", SIDE, frozenset(), precision=precision
    )
    model = SamPromptModel(spec, network, Canvas(SIDE, keeps_aspect=True, mask_size=MASK))
    return model, Embedding({"image": features}, (SIDE, SIDE), spec.key)


def theirs(network, features, points):
    """Return the library's masks of single clicks at the size of the tile."""
    xy = torch.tensor(points[:, ::-1].copy(), dtype=torch.float32)[None, :, None]
    labels = torch.ones(xy.shape[:3], dtype=torch.int64)
    with torch.inference_mode():
        image = torch.from_numpy(features)[None]
        found = network(image_embeddings=image, input_points=xy, input_labels=labels)
        size = (SIDE, SIDE)
        return torch.nn.functional.interpolate(found.pred_masks[0], size, mode="bilinear") > 0


def floor(network, features, precision):
    """Return the seconds of the matrix products that one click takes, on one core."""
    decoder = MaskDecoder(network, getattr(torch, precision))
    plan = decoder.plan({"image": torch.from_numpy(features)[None]})
    at = torch.full((1, 1, 1, 2), 500.0)
    asked = {"input_points": at, "input_labels": torch.ones(1, 1, 1, dtype=torch.int64)}
    with threads(1):
        return roofline.products_alone(
            roofline.products_of(lambda: decoder(plan, asked)), precision
        )


@pytest.mark.parametrize("count", [1, 64])
def test_decode(benchmark, network, features, count):
    """One click: three masks of the tile. Many: the best mask of each, where it lies."""
    models = {p: ours(network, features, p) for p in PRECISIONS}
    seeds = iter(range(1 << 20))

    def ask(model, embedding, points):
        call = model.decode if count == 1 else model.decode_crops
        return call(embedding, prompts_at(points))

    ways = {p: lambda at, m=m: ask(*m, at) for p, m in models.items()}
    ways["transformers"] = lambda at: theirs(network, features, at)
    once, rounds = ((), 20) if count == 1 else (("transformers",), 3)
    found = race(benchmark, ways, rounds, setup=lambda: clicks(count, seed=next(seeds)), once=once)
    unit = "ms" if count == 1 else "s"
    for precision in PRECISIONS:
        alone = floor(network, features, precision)
        for clock in ("wall", "cpu"):
            cores = torch.get_num_threads() if clock == "wall" and count > 1 else 1
            report(
                f"sam/decoder alone, {count}, {precision}, {clock}", found[precision], unit,
                clock=clock, reference=("transformers", found["transformers"]),
                floor=("its matrix products", count * alone / cores * (1e3 if count == 1 else 1)),
                benchmark=benchmark,
            )  # fmt: skip
