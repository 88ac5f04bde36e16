"""How SegGPT is asked: its settings, and one pass over one square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253 - this module is imported when the family is used
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253

from napari_ditto.errors import ModelError
from napari_ditto.models.seggpt.painter import Ensemble, Kind, Painter, tiled
from napari_ditto.models.seggpt.palette import palette
from napari_ditto.models.seggpt.prompts import Ranks


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be chosen.

    Attributes
    ----------
    ensemble : str
        ``"feature"``: every example is looked at in full, at the cost of one look each.
        ``"spatial"``: all in one look, shrunk into a grid.
    kind : str
        The type token: ``"instance"``, as published, or ``"semantic"``.
    colors : int
        Classes that are told apart by colour in one pass; more take more passes. 1 is a pass for
        each class. Up to seven, every two colours differ by half the range of a channel.
    examples : int
        Most examples of one pass, at least `colors`.
    """

    ensemble: Ensemble = "feature"
    kind: Kind = "instance"
    colors: int = 7
    examples: int = 8

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises
        ------
        ModelError
        """
        known = self.ensemble in ("feature", "spatial") and self.kind in ("instance", "semantic")
        if not known or not 1 <= self.colors <= self.examples:
            raise ModelError(f"SegGPT cannot be set to {self}")

    @property
    def key(self) -> str:
        """Short name; results of other settings are other results."""
        return f"{self.ensemble}-{self.kind}-{self.colors}-{self.examples}"


def look(
    painter: Painter,
    settings: Settings,
    images: Tensor,
    labels: NDArray[np.uint16],
    group: Ranks,
    query: Tensor,
) -> Tensor:
    """Return the query as the network paints it with one colour for each class of a group.

    Parameters
    ----------
    images : Tensor, shape (k, 3, s, s)
        Examples, 0 to 255.
    labels : ndarray of uint16, shape (k, s, s)
        Their ranks; classes outside the group are background in this pass.
    group : tuple of int
        Ranks, in the order of the palette.
    query : Tensor, shape (3, s, s)
        0 to 255.
    """
    colors = painted(labels, group).to(images.device)
    if settings.ensemble == "spatial" and len(images) > 1:
        images, colors = tiled(images, colors)
    return painter.paint(images, colors, query, settings.kind)


def painted(labels: NDArray[np.uint16], group: Ranks) -> Tensor:
    """Return ranks (..., s, s) in the colours of a group, (..., 3, s, s), 0 to 255."""
    table = np.zeros((max(int(labels.max()), *group) + 1, 3), np.float32)
    table[list(group)] = palette(len(group))[1:]
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(table[labels], -1, -3)))


def pixels(
    images: NDArray[np.generic] | Sequence[NDArray[np.generic]], device: torch.device
) -> Tensor:
    """Return images (..., s, s, 3) of 0 to 255 as a tensor (..., 3, s, s)."""
    channels = np.moveaxis(np.asarray(images, np.float32), -1, -3)
    return torch.from_numpy(np.ascontiguousarray(channels)).to(device)
