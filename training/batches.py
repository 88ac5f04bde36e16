"""Batches of augmented crops from the data bank, in fixed proportions of its sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.augment import recolor, warp

MIX = {
    "fluo": 0.12,
    "bright": 0.20,
    "phase": 0.17,
    "sunny": 0.12,
    "fib25": 0.09,
    "worlds": 0.30,
}
"""Share of each set in a batch."""

INCOMPLETE = ("sunny",)
"""Sets in which not every object is labelled: nothing is learnt from what is not."""

SCALES = (0.62, 1.0)


@dataclass(frozen=True)
class Batch:
    """Crops as the network sees them.

    Attributes
    ----------
    images : Tensor of float32, shape (n, 3, h, w), in [0, 1]
    layers : Tensor of int64, shape (n, 3, h, w)
        Nested instance labels, the outermost first.
    complete : Tensor of float32, shape (n,)
        1 where everything that is an object is labelled.
    """

    images: Tensor
    layers: Tensor
    complete: Tensor


class Bank:
    """Crops on disk, mapped into memory.

    Parameters
    ----------
    folder : Path
        What ``python -m training.bank`` wrote.
    part : str
        ``""`` for training, ``"val_"`` for the images kept apart.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self.sets = {
            name: tuple(
                np.load(folder / f"{name}_{part}{kind}.npy", mmap_mode="r")
                for kind in ("images", "layers")
            )
            for name in MIX
        }

    def crops(self, name: str, where: list[int]) -> tuple[Tensor, Tensor]:
        """Return crops of a set and their labels, both uint8 (n, 3, h, w)."""
        images, layers = self.sets[name]
        picked = torch.from_numpy(np.stack([images[i] for i in where])).permute(0, 3, 1, 2)
        return picked, torch.from_numpy(np.stack([layers[i] for i in where]))

    def draw(self, count: int, side: int) -> Batch:
        """Return random crops in the proportions of :data:`MIX`, augmented."""
        names = list(MIX)
        drawn = torch.multinomial(torch.tensor(list(MIX.values())), count, replacement=True)
        parts, complete = [], []
        for k in drawn.tolist():
            size = len(self.sets[names[k]][0])
            parts.append(self.crops(names[k], [int(torch.randint(size, ()))]))
            complete.append(float(names[k] not in INCOMPLETE))
        images, layers = (torch.cat(part) for part in zip(*parts, strict=True))
        view, labels = warp(images, layers, side, SCALES)
        return Batch(recolor(view), labels, torch.tensor(complete))
