"""What a user would say: targets in crops, first prompts, and clicks that correct.

Everything here works on batches; `p` targets are spread over `n` crops. Masks are at half the
resolution of the crops (h, w), which is that of the network's answer, and a quarter of the work;
positions are in pixels of the crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from napari_ditto.models.ditto.cues import Cues
from training.augment import chance, uniform

SLOTS = 8
LEAST_AREA = 24
INNERMOST = 0.7  # how often a click on nested objects means the innermost


@dataclass(frozen=True)
class Targets:
    """Objects to find.

    Attributes
    ----------
    index : Tensor of int64, shape (p,)
        The crop of each.
    mask, smallest, largest : Tensor of bool, shape (p, h / 2, w / 2)
        The object, and the smallest and largest object that its first click could mean.
    truth : Tensor, shape (p, 3, h / 2, w / 2)
        The same three, as the share of each cell that is object.
    click : Tensor, shape (p, 2)
        A first click inside it.
    box : Tensor, shape (p, 4)
        Its bounds as edges (y0, x0, y1, x1).
    nested : Tensor of bool, shape (p,)
        Whether smallest and largest differ.
    """

    index: Tensor
    mask: Tensor
    smallest: Tensor
    largest: Tensor
    truth: Tensor
    click: Tensor
    box: Tensor
    nested: Tensor


def choose_targets(layers: Tensor, each: int) -> Targets | None:
    """Choose up to `each` objects per crop, nested ones in pairs; None if there are none."""
    chosen: list[tuple[int, int, int]] = []
    for b, crop in enumerate(layers):
        chosen += [(b, layer, value) for layer, value in _choose(crop, each)]
    if not chosen:
        return None
    index, layer, value = torch.tensor(chosen).T
    full = layers[index]
    mask = full[torch.arange(len(index)), layer] == value[:, None, None]
    coarse, object_ = full[..., ::2, ::2], mask[..., ::2, ::2]
    inner = torch.zeros_like(object_)
    for k in range(layers.shape[1] - 1):  # what lies deeper is another object
        inner |= (coarse[:, k + 1] > 0) & (layer == k)[:, None, None]
    own = object_ & ~inner
    free = (own.flatten(1).sum(1) > 4) & chance(len(mask), INNERMOST)
    cell = interior(torch.where(free[:, None, None], own, object_))
    small, large = _alternatives(coarse, layer, value, cell)
    nested = (small != large).any(1)
    truth = torch.stack([half(mask), *(half(_select(full, which)) for which in (small, large))], 1)
    click = cell * 2 + torch.randint(0, 2, cell.shape)
    others = (_select(coarse, which) for which in (small, large))
    return Targets(index, object_, *others, truth, click, bounds(mask), nested)


def _choose(crop: Tensor, each: int) -> list[tuple[int, int]]:
    side = crop.shape[-1]
    areas = torch.stack([torch.bincount(layer.flatten(), minlength=256) for layer in crop])
    areas[:, 0] = 0
    fit = (areas >= LEAST_AREA) & (areas < 0.92 * side * side)
    # Large objects are few and small ones many: without weights, most targets were small.
    weights = fit * areas.clamp_min(1).float().sqrt()
    count = min(each, int(fit.sum()))
    if not count:
        return []
    flat = torch.multinomial(weights.flatten(), count).tolist()
    picks = [divmod(k, areas.shape[1]) for k in flat]
    return _pair(picks, crop, fit, each)


def _pair(
    picks: list[tuple[int, int]], crop: Tensor, fit: Tensor, each: int
) -> list[tuple[int, int]]:
    """Put the parents of inner objects beside them, often."""
    out: list[tuple[int, int]] = []
    for layer, value in picks:
        out.append((layer, value))
        if layer and torch.rand(()) < 0.7:
            under = crop[layer - 1][crop[layer] == value]
            parent = int(under[0])
            if parent and fit[layer - 1, parent]:
                out.append((layer - 1, parent))
    return list(dict.fromkeys(out))[:each]


def _alternatives(
    layers: Tensor, layer: Tensor, value: Tensor, cell: Tensor
) -> tuple[Tensor, Tensor]:
    """Return layer and id of the innermost and the outermost object under each click, (p, 2)."""
    y, x = cell.long().unbind(1)
    rows = torch.arange(len(layers))
    innermost = torch.stack((layer, value), 1)
    outermost = innermost.clone()
    depth = layers.shape[1]
    for k in range(depth):
        for at, out in ((k, innermost), (depth - 1 - k, outermost)):
            here = layers[rows, at, y, x]
            area = (layers[:, at] == here[:, None, None]).flatten(1).sum(1)
            enough = (here > 0) & (4 * area >= LEAST_AREA)
            out[enough] = torch.stack((torch.full_like(here, at), here), 1)[enough]
    return innermost, outermost


def _select(layers: Tensor, which: Tensor) -> Tensor:
    """Return the mask of one object of each of p stacks of layers."""
    return layers[torch.arange(len(layers)), which[:, 0]] == which[:, 1, None, None]  # type: ignore[no-any-return]


def interior(mask: Tensor) -> Tensor:
    """Return one cell inside each mask, (p, 2): anywhere, off the edge, or near the middle."""
    p = len(mask)
    x = mask.float()[:, None]
    kind = torch.rand(p)[:, None, None, None]
    thin = 1 - F.max_pool2d(1 - x, 3, 1, 1)
    middle = F.avg_pool2d(x, 7, 1, 3) ** 4 * x
    weight = torch.where(kind < 0.15, x, torch.where(kind < 0.75, thin, middle))
    weight = weight + 1e-4 * x  # thin objects may vanish when eroded
    return draw_position(weight[:, 0])


def draw_position(weight: Tensor) -> Tensor:
    """Draw a position (row, column) from each map of weights, shape (p, 2)."""
    flat = weight.flatten(1)
    at = torch.multinomial(flat + 1e-12, 1)[:, 0]
    return torch.stack((at // weight.shape[-1], at % weight.shape[-1]), 1).float()


def bounds(mask: Tensor) -> Tensor:
    """Return tight boxes of masks as edges (y0, x0, y1, x1) in pixel coordinates, (p, 4)."""
    rows, columns = mask.any(2).float(), mask.any(1).float()
    height, width = rows.shape[1], columns.shape[1]
    y0, x0 = rows.argmax(1), columns.argmax(1)
    y1, x1 = height - rows.flip(1).argmax(1), width - columns.flip(1).argmax(1)
    return torch.stack((y0, x0, y1, x1), 1).float() - 0.5


def first_prompts(targets: Targets) -> tuple[Cues, Tensor]:
    """Return first prompts, and which of them are one bare click, shape (p,)."""
    p, height, width = targets.mask.shape  # of cells
    kind = torch.rand(p)
    click, box = kind < 0.55, (kind >= 0.55) & (kind < 0.87)
    both, rough = (kind >= 0.87) & (kind < 0.94), kind >= 0.94
    points = torch.zeros(p, SLOTS, 3)
    points[:, 0, :2] = targets.click
    points[:, 0, 2] = (click | both | (rough & chance(p, 0.4))).float()
    _scribble(points, targets, click & chance(p, 0.08))
    outside = _beside(targets)
    repelled = (points[:, 0, 2] > 0) & chance(p, 0.1)
    points[:, SLOTS - 1, :2] = outside
    points[:, SLOTS - 1, 2] = -repelled.float()
    has_box = (box | both).float()
    previous = torch.zeros(p, 1, height, width)
    previous[rough] = spoil(targets.truth[rough, :1])
    bare = click & ((points[..., 2] != 0).sum(1) == 1)
    return Cues(points, _jitter(targets.box), has_box, previous, rough.float()), bare


def _scribble(points: Tensor, targets: Targets, chosen: Tensor) -> None:
    """Make strokes of some clicks: a straight run of points that stays inside."""
    end = interior(targets.mask) * 2
    for k in range(1, 5):
        at = targets.click + (end - targets.click) * k / 4
        y, x = (at / 2).long().unbind(1)
        inside = targets.mask[torch.arange(len(at)), y, x] & chosen
        points[:, k, :2] = at
        points[:, k, 2] = inside.float()


def _beside(targets: Targets) -> Tensor:
    """Return a position near each object but not in it; in the parent where there is one."""
    near = F.max_pool2d(targets.mask.float()[:, None], 5, 1, 2)[:, 0] > 0
    parent = targets.largest & targets.nested[:, None, None]
    return 2 * draw_position((~targets.mask & (near | parent)).float()) + 0.5


def _jitter(boxes: Tensor) -> Tensor:
    p = len(boxes)
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    amount = torch.tensor([0.0, 0.05, 0.1, 0.15])[torch.randint(0, 4, (p,))][:, None]
    return boxes + uniform(4 * p, -1, 1).reshape(p, 4) * amount * sides


def spoil(x: Tensor) -> Tensor:
    """Return masks (p, 1, h, w) in [0, 1] as a rough hand or an earlier step leaves them."""
    radius = int(torch.randint(1, 4, ()))
    grown = F.max_pool2d(x, 2 * radius + 1, 1, radius)
    shrunk = 1 - F.max_pool2d(1 - x, 2 * radius + 1, 1, radius)
    kind = torch.rand(len(x))[:, None, None, None]
    x = torch.where(kind < 0.35, grown, torch.where(kind < 0.6, shrunk, x))
    dy, dx = torch.randint(-4, 5, (2,)).tolist()
    return F.avg_pool2d(torch.roll(x, (dy, dx), (2, 3)), 3, 1, 1).clamp(0, 1)


def correct(cues: Cues, logits: Tensor, target: Tensor, slot: int) -> Cues:
    """Add the click with which a user would answer a mask, and the mask itself.

    Parameters
    ----------
    logits : Tensor, shape (p, h / 2, w / 2)
        The mask on show.
    target : Tensor, shape (p, h / 2, w / 2)
        How much of each cell is object.
    slot : int
        Where to put the click.
    """
    p = len(logits)
    shown, truth = logits > 0, target > 0.5
    missed, wrong = (truth & ~shown).float(), (shown & ~truth).float()
    weights = torch.stack([F.avg_pool2d(m[:, None], 5, 1, 2)[:, 0] * m for m in (missed, wrong)], 1)
    peaks = weights.flatten(2).amax(2)
    positive = peaks[:, 0] >= peaks[:, 1] * torch.exp(0.2 * torch.randn(p))
    weight = torch.where(positive[:, None, None], weights[:, 0], weights[:, 1])
    at = draw_position(weight**6) * 2 + 0.5
    sign = torch.where(positive, 1.0, -1.0) * (weight.flatten(1).amax(1) > 0)
    points = cues.points.clone()
    points[:, slot, :2] = at
    points[:, slot, 2] = sign * (~chance(p, 0.15)).float()  # at times only look again
    keep = (~chance(p, 0.15)).float()
    previous = torch.sigmoid(logits)[:, None] * keep[:, None, None, None]
    return cues._replace(points=points, previous=previous, has_previous=keep)


def half(mask: Tensor) -> Tensor:
    """Return how much of each cell of 2 x 2 pixels a mask covers, (p, h / 2, w / 2)."""
    return F.avg_pool2d(mask.float()[:, None], 2)[:, 0]
