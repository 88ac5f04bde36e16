"""Growth: follow an object over the edges of its tile, under one id.

While the mask touches an inner edge of a tile, the tile whose centre is nearest to the contact is
decoded with what is already known as its prompts: the known part as a mask, points deep inside
it, and whatever the user said there. Of its answer only what is connected with the known part is
taken. Tiles are taken breadth first, within a budget.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import (
    Mask,
    PlacedMask,
    bounding_box,
    components,
    deepest_pixels,
    iou,
)
from napari_ditto.core.patchwork import Patchwork, connected
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.routing import pixels, to_tile, translate
from napari_ditto.core.tiling import Grid, Tile, edge_runs
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.models.protocols import MaskLogits, PromptModel

VISITS = 4
"""A tile that an object enters again and again is asked so many times."""

SEEDS = 12
"""Most points given to one tile; the known part goes along as a mask in any case."""


@dataclass(eq=False)
class Growth:
    """An object on its way over the tiles of one level.

    Attributes
    ----------
    grid : Grid
        The tiles.
    prompts : PromptSet
        What the user said, pixels of the level.
    work : Patchwork
        The object so far.
    waiting : deque of Tile
        Tiles to decode next.
    visits : Counter
        How often each tile has been decoded.
    """

    grid: Grid
    prompts: PromptSet
    work: Patchwork
    waiting: deque[Tile] = field(default_factory=deque)
    visits: Counter[Tile] = field(default_factory=Counter)

    @classmethod
    def start(
        cls, grid: Grid, prompts: PromptSet, tile: Tile, logits: NDArray[np.float32]
    ) -> Growth:
        """Return the state after the first tile; its mask is taken as the model gave it."""
        growth = cls(grid, prompts, Patchwork(grid.shape))
        growth.take(tile, logits, logits > 0)
        for y, x in pixels(prompts, positive=True).tolist():
            if not tile.box.contains(y, x):
                growth._ask(grid.nearest(y, x))
        return growth

    @property
    def complete(self) -> bool:
        """Whether no edge leads any further."""
        return not self.waiting

    @property
    def decoded(self) -> int:
        """Number of decoder calls so far."""
        return self.visits.total()

    def take(self, tile: Tile, logits: NDArray[np.float32], keep: Mask) -> None:
        """Join a tile's answer and note where it leads."""
        self.visits[tile] += 1
        mask = self.work.add(tile, logits, keep)
        for run in edge_runs(mask, tile.box, self.grid.shape, self.grid.size // 4):
            ahead = self.grid.nearest(*run[len(run) // 2])
            if not self._knows(ahead, run):
                self._ask(ahead)

    def prompts_for(self, tile: Tile) -> PromptSet:
        """Return what to ask a tile, in its own pixels."""
        said, known = to_tile(self.prompts, tile.box), self.work.known(tile.box)
        whole = self.prompts.box and to_tile(replace(self.prompts, mask=None), tile.box).box
        if whole and (whole.height, whole.width) != _size(self.prompts):
            # The edge of a tile is not the edge of the object: a cut box would say so.
            said = replace(said, box=None)
        if not known.any():
            return said
        around = bounding_box(known)
        seeds = tuple(PointPrompt(float(y), float(x)) for y, x in _seeds(known))
        return replace(
            said, points=seeds + said.points, mask=MaskPrompt(around, known[around.slices])
        )

    def answer(self, tile: Tile, decoded: MaskLogits) -> tuple[NDArray[np.float32], Mask]:
        """Return the candidate that continues the object, and the part of it that is the object."""
        known, seen = self.work.known(tile.box), self.work.seen(tile.box)
        logits = decoded.logits[0]
        choice = int(decoded.best[0])
        if known.any():
            choice = int(np.argmax([agreement(x > 0, known, seen) for x in logits]))
        wanted = pixels(to_tile(self.prompts, tile.box), positive=True)
        return logits[choice], connected(logits[choice] > 0, known, wanted)

    def _knows(self, tile: Tile, run: NDArray[np.intp]) -> bool:
        """Whether a decoded tile already holds some of a run of the object's pixels."""
        patch = self.work.patches.get(tile)
        if patch is None:
            return False
        return bool(patch.mask[tuple((run - (tile.box.y0, tile.box.x0)).T)].any())

    def _ask(self, tile: Tile) -> None:
        if tile not in self.waiting and self.visits[tile] < VISITS:
            self.waiting.append(tile)


def grow_steps(
    growth: Growth,
    model: PromptModel,
    encoder: TileEncoder,
    address: PlaneAddress,
    budget: int,
) -> Generator[Progress, None, Growth]:
    """Decode tile after tile until no edge leads further or `budget` tiles are decoded.

    Yields
    ------
    Progress
        Before each tile; ``done`` counts the tiles decoded.

    Returns
    -------
    Growth
        The same object; it is not complete where the budget ended.
    """
    while growth.waiting and growth.decoded < budget:
        yield Progress(
            "grow", growth.decoded, 0, f"following the object, tile {growth.decoded + 1}"
        )
        tile = growth.waiting[0]
        (embedding,) = yield from encoder.embed_steps(address, [tile])
        asked = translate(growth.prompts_for(tile), model.spec.capabilities)
        decoded = model.decode(embedding, [asked])
        growth.waiting.popleft()
        growth.take(tile, *growth.answer(tile, decoded))
    return growth


def _seeds(known: Mask) -> list[tuple[int, int]]:
    """Return points deep inside each piece of a mask, the larger pieces first."""
    numbered, count = components(known)
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")[:SEEDS] + 1
    each = max(1, min(3, SEEDS // max(1, count)))
    return [seed for k in order for seed in _deep(numbered == k, each)]


def _deep(piece: Mask, count: int) -> list[tuple[int, int]]:
    box = bounding_box(piece)
    return [(y + box.y0, x + box.x0) for y, x in deepest_pixels(piece[box.slices], count)]


def agreement(candidate: Mask, known: Mask, seen: Mask) -> float:
    """Return the IoU of a candidate with the known part, judged where a tile has looked."""
    frame = Box.of_shape(known.shape)
    return iou(PlacedMask(frame, candidate & seen), PlacedMask(frame, known))


def _size(prompts: PromptSet) -> tuple[float, float]:
    return (prompts.box.height, prompts.box.width) if prompts.box else (0.0, 0.0)
