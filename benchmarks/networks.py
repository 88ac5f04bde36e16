"""SAM and SAM 2 of the published sizes with seeded random weights, ours and the library's.

What they find is noise; it takes as long as with trained weights, and both find the same.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch  # noqa: TID253

from benchmarks import roofline
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.numerics import lower_precisions
from napari_ditto.models.registry import load_model

SIDE = 1024


@dataclass(frozen=True)
class Kind:
    """A family: its classes in transformers, how many prompts make a batch, what it may lower."""

    config: str
    network: str
    many: int
    lower: tuple[str, ...]


KINDS = {
    "sam": Kind("SamConfig", "SamModel", 64, ("bfloat16", "int8")),
    "sam2": Kind("Sam2Config", "Sam2Model", 16, ("bfloat16",)),
}


class Pair:
    """One network with seeded weights, as the library has it and as we do."""

    def __init__(self, family: str, folder: Path, device: str = "cpu") -> None:
        self.family, self.kind, self.folder, self.device = family, KINDS[family], folder, device
        self._loaded: dict[str, object] = {}

    def _made(self) -> torch.nn.Module:
        import transformers

        logging.getLogger("transformers").setLevel(logging.ERROR)
        config = getattr(transformers, self.kind.config)()
        return getattr(transformers, self.kind.network)(config).eval()

    @cached_property
    def library(self) -> torch.nn.Module:
        """The library's network, float32; its weights are saved for ours."""
        torch.manual_seed(0)
        network = self._made()
        enliven(network, self.family)
        network.save_pretrained(self.folder)
        return network.to(self.device)

    def ours(self, precision: str):
        """Return our model with the same weights, loaded once."""
        self.library  # noqa: B018  # saves them
        knows = "precision" in inspect.signature(load_model).parameters
        how = {"precision": precision} if knows else {}
        if precision not in self._loaded:
            name = f"{self.family}:{self.folder}"
            self._loaded[precision] = load_model(name, self.device, **how)
        return self._loaded[precision]

    def precisions(self) -> dict[str, str]:
        """Return what to measure: what is chosen, as ``""``, and the others that there are."""
        chosen = getattr(self.ours("auto").spec, "precision", "float32")
        there = [p for p in lower_precisions(self.device) if p in self.kind.lower]
        others = (*(p for p in there if p != chosen), "float32")
        return {"": chosen} | {f", {precision}": precision for precision in others}

    def products(self):
        """Return the matrix products of the encoder."""
        network = roofline.on_meta(self._made)
        pixels = torch.empty(1, 3, SIDE, SIDE, device="meta")
        return roofline.products_of(lambda: network.get_image_embeddings(pixels))

    def gflop(self) -> float:
        """Return the operations of the encoder's matrix products."""
        network = roofline.on_meta(self._made)
        pixels = torch.empty(1, 3, SIDE, SIDE, device="meta")
        return roofline.operations(lambda: network.get_image_embeddings(pixels))

    def encode(self, tile: np.ndarray) -> object:
        """Return the library's embedding of a tile, (1024, 1024, 3) in [0, 1]."""
        mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
        pixels = (torch.from_numpy(tile).permute(2, 0, 1) - mean) / std
        with torch.inference_mode():
            return self.library.get_image_embeddings(pixels[None].to(self.device))

    def decode(self, embedding: object, points: np.ndarray) -> torch.Tensor:
        """Return the library's masks for single clicks, (n, 3, 1024, 1024) logits."""
        xy = torch.tensor(points[:, ::-1].copy(), dtype=torch.float32)[None, :, None]
        xy = xy.to(self.device)
        labels = torch.ones(xy.shape[:3], dtype=torch.int64, device=self.device)
        with torch.inference_mode():
            found = self.library(
                image_embeddings=embedding, input_points=xy, input_labels=labels
            ).pred_masks[0]
            return torch.nn.functional.interpolate(found, (SIDE, SIDE), mode="bilinear")


@torch.no_grad()
def enliven(network: torch.nn.Module, family: str) -> None:
    """Draw weights with which an image makes a difference: the library's own are all but zero.

    Every layer of SAM keeps the size of what it is given; SAM 2 lacks only positions.
    """
    for name, weight in network.named_parameters():
        drawn = torch.randn_like(weight)
        if name.endswith("pos_embed"):
            weight.copy_(0.5 * drawn)
        elif family == "sam" and "norm" in name:
            weight.copy_(float(name.endswith("weight")) + 0.1 * drawn)
        elif family == "sam" and ("rel_pos" in name or name.endswith("bias")):
            weight.copy_(0.1 * drawn)
        elif family == "sam" and "upscale_conv" in name:
            weight.copy_(drawn * weight.shape[0] ** -0.5)
        elif family == "sam" and "positional" not in name and weight.ndim > 1:
            gain = 0.5 if "embed" in name and weight.ndim == 2 else weight[0].numel() ** -0.5
            weight.copy_(gain * drawn)


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tile() -> np.ndarray:
    """Return a seeded tile, shape (1024, 1024, 3), float32 in [0, 1]."""
    from napari_ditto.core.synthetic import blobs, render

    image = render(blobs((SIDE, SIDE), 120, radius=30, seed=3), seed=3).astype(np.float32)
    return np.repeat(image[..., None] / 255, 3, axis=-1)


def photographs() -> list[np.ndarray]:
    """Return two real images, enlarged, shape (1024, 1024, 3), float32 in [0, 1]."""
    from skimage import data
    from skimage.transform import resize

    found = []
    for image in (data.coins(), data.camera()):
        large = np.rint(255 * resize(image / 255, (SIDE, SIDE), order=1)).astype(np.float32)
        found.append(np.repeat(large[..., None] / 255, 3, axis=-1))
    return found


def clicks(count: int, seed: int = 0) -> np.ndarray:
    """Return places in the tile, shape (count, 2), as (row, column)."""
    return np.random.default_rng(seed).uniform(40, SIDE - 40, (count, 2))


def prompts_at(points: np.ndarray) -> list[PromptSet]:
    """Return one click each."""
    return [PromptSet((PointPrompt(float(y), float(x)),)) for y, x in points]
