"""Teach the network how good its masks are in the views that the product shows it.

``python -m training.calibrate --run RUN --data ../shared/data/train``. Training scores masks in the
crop at hand; in use an object may be a dot in a wide view or be cut off by a narrow one, and a mask
is worth what it covers of the whole object. So objects of the training images are asked for as in
use, all that was looked at is kept, and the two layers that judge are fitted to the true IoU. All
other weights stay as they are. A few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.evaluation.metrics import rank_correlation
from napari_ditto.models.ditto.dialogue import converse
from napari_ditto.models.ditto.looks import Eye, Look, Question, Recent
from napari_ditto.models.ditto.network import DittoNetwork
from napari_ditto.models.ditto.views import cover
from training.bank import WORLDS, planes_of
from training.batches import MIX
from training.crops import scaled
from training.simulate import bounds, interior
from training.worlds import render

Labels = NDArray[np.integer]

TILE = 512
EACH = 3
"""Objects asked for in a tile."""

LEAST_AREA = 30
EPOCHS, BATCH, RATE = 40, 256, 1e-3
HELD_OUT = 0.15


@dataclass(eq=False)
class RecordingEye(Eye):
    """Keeps what the judge was given at every look."""

    record: list[tuple[Look, Tensor]] = field(default_factory=list)

    def _decode(self, questions: list[Question]) -> list[Look]:  # type: ignore[override]
        given: list[Tensor] = []
        hook = self.network.decoder.judge.register_forward_pre_hook(
            lambda _, inputs: given.append(inputs[0])
        )
        looks = super()._decode(questions)
        hook.remove()
        self.record += zip(looks, given[0], strict=True)
        return looks


def scenes(data: Path, tiles: int, seed: int) -> Iterator[tuple[NDArray[np.float32], list[Labels]]]:
    """Yield tiles (h, w, 3) in [0, 1] and their layers of instance labels."""
    rng = np.random.default_rng(seed)
    planes = {name: planes_of(name, data, 0)[0] for name in MIX if name != WORLDS}
    names, shares = list(MIX), np.array(list(MIX.values()))
    for _ in range(tiles):
        name = str(rng.choice(names, p=shares / shares.sum()))
        if name == WORLDS:
            image, layers = render(rng, int(rng.integers(160, 400)))
            yield image.astype(np.float32) / 255, list(layers)
            continue
        image, labels = planes[name][int(rng.integers(len(planes[name])))].read()
        corner = [int(rng.integers(max(1, n - TILE + 1))) for n in labels.shape]
        window = tuple(slice(c, c + TILE) for c in corner)
        yield scaled(image)[window].astype(np.float32), [labels[window]]


def examples(network: DittoNetwork, data: Path, tiles: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return what the judge was given (n, 3, c), and the true IoU (n, 3), over many objects."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    given, true = [], []
    for image, layers in scenes(data, tiles, seed):
        for truth in _objects(layers, rng):
            eye = RecordingEye(network, torch.from_numpy(image).permute(2, 0, 1).contiguous())
            for prompts in _prompts(truth, rng):
                converse(eye, truth.shape, [prompts], Recent(8))
            for look, inputs in eye.record:
                given.append(inputs)
                true.append(whole_iou(look, truth))
    return torch.stack(given), torch.stack(true)


def _objects(layers: list[Labels], rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    masks = []
    for labels in layers:
        values, areas = np.unique(labels[labels > 0], return_counts=True)
        masks += [(labels, int(v)) for v, a in zip(values, areas, strict=True) if a >= LEAST_AREA]
    for k in rng.permutation(len(masks))[:EACH]:
        labels, value = masks[k]
        yield labels == value


def _prompts(truth: NDArray[np.bool_], rng: np.random.Generator) -> list[PromptSet]:
    """Return a click, two clicks, and a box that is a bit off."""
    mask = torch.from_numpy(truth)[None]
    clicks = [PointPrompt(*map(float, interior(mask)[0])) for _ in range(2)]
    y0, x0, y1, x1 = bounds(mask)[0].tolist()
    off = rng.uniform(-0.08, 0.08, 4) * [y1 - y0, x1 - x0, y1 - y0, x1 - x0]
    box = BoxPrompt(*(np.array([y0, x0, y1, x1]) + off).tolist())
    return [PromptSet((clicks[0],)), PromptSet(tuple(clicks)), PromptSet(box=box)]


def whole_iou(look: Look, truth: NDArray[np.bool_]) -> Tensor:
    """Return the IoU of the masks of a look with the whole object, shape (3,)."""
    part = cover(truth, look.view, look.logits.device)
    cell = (look.view.side / look.view.cells) ** 2
    masks = (look.logits > 0).float()
    seen = (part > 0.5).float()
    unseen = (float(truth.sum()) / cell - part.sum()).clamp_min(0)
    union = torch.maximum(masks, seen).sum((1, 2)) + unseen
    return (masks * seen).sum((1, 2)) / union.clamp_min(1)


def fit(judge: nn.Module, given: Tensor, true: Tensor) -> tuple[float, float]:
    """Fit the judge; return the rank correlation on examples kept apart, before and after."""
    held = int(len(given) * HELD_OUT)
    known, apart = slice(held, None), slice(0, held)
    before = rank_correlation(judge(given[apart]).flatten().detach(), true[apart].flatten())
    optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    inputs, wanted = given[known], true[known]
    for _ in range(EPOCHS):
        for some in torch.randperm(len(inputs)).split(BATCH):
            said = torch.sigmoid(judge(inputs[some]).squeeze(-1))
            loss = (said - wanted[some]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    after = rank_correlation(judge(given[apart]).flatten().detach(), true[apart].flatten())
    return before, after


def calibrate(checkpoint: Path, data: Path, tiles: int, seed: int) -> tuple[float, float]:
    """Fit the judge of a checkpoint's averaged weights and write it back."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = DittoNetwork().to(memory_format=torch.channels_last)
    network.load_state_dict(saved["average"])
    network.eval()
    with torch.no_grad():
        given, true = examples(network, data, tiles, seed)
    ranks = fit(network.decoder.judge, given, true)
    saved["average"] = network.state_dict()
    part = checkpoint.with_name("calibrated.part")
    torch.save(saved, part)
    part.replace(checkpoint.with_name("calibrated.pt"))
    return ranks


def main() -> None:
    """Read the command line and calibrate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    ranks = calibrate(chosen.run / "checkpoint.pt", chosen.data, chosen.tiles, chosen.seed)
    print("rank correlation of scores with true IoU: {:.3f} before, {:.3f} after".format(*ranks))


if __name__ == "__main__":
    main()
