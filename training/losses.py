"""What the network is asked to do, as numbers to make small."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from napari_ditto.models.ditto.decoder import Decoded


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Return a loss per mask for logits and targets (p, m, h, w): focal cross entropy and Dice.

    The cross entropy (Lin et al. 2017, gamma 1) is summed and divided by the area to the power of
    3/4: between the length of the border, by which a missed large object would outweigh all small
    ones, and the area, by which the border of a large object would not count.
    """
    p = torch.sigmoid(logits)
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = ((p - target).abs().detach() * entropy).sum((2, 3))
    focal = focal / (target.sum((2, 3)) ** 0.75 + 8)
    dice = 1 - (2 * (p * target).sum((2, 3)) + 1) / ((p + target).sum((2, 3)) + 1)
    return focal + dice


def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return IoU of masks with targets, both (p, m, h, w)."""
    shown, truth = logits > 0, target > 0.5
    union = (shown | truth).sum((2, 3))
    return (shown & truth).sum((2, 3)) / union.clamp_min(1)


def prompt_loss(found: Decoded, targets: Tensor, bare: Tensor, nested: Tensor) -> Tensor:
    """Return the loss of one round.

    Parameters
    ----------
    targets : Tensor, shape (p, 3, h, w)
        What is meant, the smallest and the largest that the first click could mean.
    bare : Tensor of bool, shape (p,)
        Prompts of one click: these are ambiguous.
    nested : Tensor of bool, shape (p,)
        Where smallest and largest differ.
    """
    meant = targets[:, :1].expand_as(found.logits)
    to_meant = mask_loss(found.logits, meant)
    clear = to_meant[:, 0] + 0.3 * to_meant[:, 1:].mean(1)
    by_size = mask_loss(found.logits[:, 1:], targets[:, 1:]).mean(1)
    guesses = 0.5 * to_meant[:, 1:].amin(1) + 0.1 * to_meant[:, 1:].mean(1)
    unclear = 0.8 * to_meant[:, 0] + torch.where(nested, 0.6 * by_size, guesses)
    masks = torch.where(bare, unclear, clear).mean()
    said = torch.sigmoid(found.scores)
    scores = (said - true_iou(found.logits, meant)).square().mean()
    return masks + 3 * scores


def dense_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of foreground, centres and borders, per image.

    Parameters
    ----------
    logits : Tensor, shape (n, 3, h / 4, w / 4)
    labels : Tensor of int64, shape (n, h, w)
        Instance ids below 256.
    """
    return F.binary_cross_entropy_with_logits(logits, dense_targets(labels), reduction="none").mean(
        (1, 2, 3)
    )


def dense_targets(labels: Tensor) -> Tensor:
    """Return foreground, centre and border of instances, shape (n, 3, h / 4, w / 4), in [0, 1].

    The centre map falls off with the distance from the centroid in roots of the object's area.
    """
    n, height, width = labels.shape
    key = labels + 256 * torch.arange(n, device=labels.device)[:, None, None]
    y = torch.arange(height, device=labels.device).float()[:, None].expand(height, width)
    x = torch.arange(width, device=labels.device).float().expand(height, width)
    area = torch.bincount(key.flatten(), minlength=256 * n).clamp_min(1).float()
    spread = torch.zeros_like(labels, dtype=torch.float32)
    for axis in (y, x):
        total = torch.bincount(key.flatten(), axis.expand_as(key).flatten(), minlength=256 * n)
        spread = spread + (axis - (total.float() / area)[key]) ** 2
    inside = (labels > 0).float()
    center = torch.exp(-spread / (0.16 * area[key])) * inside
    ids = labels.float()[:, None]
    edge = (F.max_pool2d(ids, 3, 1, 1) != -F.max_pool2d(-ids, 3, 1, 1)).float()
    maps = torch.cat((inside[:, None], center[:, None], edge), 1)
    foreground, middle = F.avg_pool2d(maps[:, :2], 4).split(1, 1)
    return torch.cat((foreground, middle, F.max_pool2d(maps[:, 2:], 4)), 1)
