"""How well prompts are answered on crops of images kept apart."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_ditto.evaluation.metrics import rank_correlation
from napari_ditto.models.ditto.cues import Cues
from napari_ditto.models.ditto.network import DittoNetwork
from training.augment import warp
from training.batches import MIX, Bank
from training.losses import true_iou
from training.simulate import SLOTS, Targets, choose_targets, correct

COLUMNS = ("click", "picked", "best of 3", "box", "3 clicks", "rank")


@torch.inference_mode()
def validate(network: DittoNetwork, bank: Bank, crops: int = 40) -> dict[str, list[float]]:
    """Return mean IoU by set and kind of prompt, and the rank correlation of the scores.

    The same crops and prompts every time.
    """
    found = {}
    for name in MIX:
        torch.manual_seed(7)
        where = torch.linspace(0, len(bank.sets[name][0]) - 1, crops).long().tolist()
        images, layers = warp(*bank.crops(name, where), 128, (0.8, 1.0))
        targets = choose_targets(layers, 2)
        if targets is not None:
            found[name] = _measure(network, images, targets)
    return found


def _measure(network: DittoNetwork, images: Tensor, targets: Targets) -> list[float]:
    shared = network.project(network.encode(images.contiguous(memory_format=torch.channels_last)))
    truth = targets.truth[:, 0]
    p = len(truth)
    blank = torch.zeros(p)
    points = torch.zeros(p, SLOTS, 3)
    cues = Cues(points, targets.box, blank, torch.zeros(p, 1, *truth.shape[1:]), blank)
    box = network.decode(shared, targets.index, cues._replace(has_box=torch.ones(p)))
    points[:, 0] = torch.cat((targets.click, torch.ones(p, 1)), 1)
    click = network.decode(shared, targets.index, cues)
    ious = true_iou(click.logits, truth[:, None].expand_as(click.logits))
    said = click.scores
    picked = ious.gather(1, said.argmax(1, keepdim=True))
    later = click
    for slot in (1, 2):
        cues = correct(cues, later.logits[:, 0], truth, slot)
        later = network.decode(shared, targets.index, cues)
    columns = [ious[:, 0], picked, ious.amax(1)]
    columns += [true_iou(d.logits[:, :1], truth[:, None]) for d in (box, later)]
    return [float(c.mean()) for c in columns] + [rank_correlation(said.flatten(), ious.flatten())]


def table(found: dict[str, list[float]]) -> str:
    """Return the figures as lines of text."""
    lines = [" " * 8 + "".join(f"{c:>10}" for c in COLUMNS)]
    lines += [f"{name:8}" + "".join(f"{v:10.3f}" for v in row) for name, row in found.items()]
    return "\n".join(lines)
