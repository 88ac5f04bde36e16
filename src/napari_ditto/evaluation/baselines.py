"""Classical methods behind the same interface as models: same tiles, same prompts.

Each gives one candidate. What is fixed here was fitted on training images by
``benchmarks/classic_engines.py``. The inscribed ellipse knows nothing of the image: what does not
beat it has learned nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import components_meeting
from napari_ditto.core.prompts import BoxPrompt, PromptSet
from napari_ditto.core.routing import pixels
from napari_ditto.errors import ModelNotFoundError
from napari_ditto.models.classic.features import gradient, opponent, smooth
from napari_ditto.models.protocols import MaskLogits, ModelSpec

Mask = NDArray[np.bool_]
Tile = NDArray[np.float32]

RADIUS = 11.6
"""Median of sqrt(area / pi) over the training objects, pixels."""

CLICK = 2.5
"""Radius of the foreground disc round a click."""

WALK_RING, FLOOD_RING = 5 * RADIUS, 2.5 * RADIUS
"""From here on all is background for a click."""

CORE = 0.85
"""Part of the inscribed ellipse that is foreground for a box."""

STIFFNESS = 2000.0
LARGEST = 192
"""Windows with longer sides are solved at every n-th pixel."""


@dataclass(frozen=True, eq=False)
class Seeds:
    """A prompt as a seeded method sees it: foreground and background pixels in a window."""

    window: Box
    inside: Mask
    outside: Mask


class Baseline:
    """A method as a :class:`~napari_ditto.models.protocols.PromptModel` of one candidate.

    Parameters
    ----------
    name : str
        For tables.
    solve : callable
        From tile and prompts to a mask.
    """

    def __init__(self, name: str, solve: Callable[[Tile, PromptSet], Mask]) -> None:
        self._solve = solve
        self._spec = ModelSpec(
            name, "baseline", "1", "0" * 64, "BSD-3-Clause", "",
            capabilities=frozenset(("points", "box")),
        )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        return self._spec

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Keep the tiles as they are."""
        shape = (tiles.shape[1], tiles.shape[2])
        return [Embedding({"tile": tile}, shape, self.spec.key) for tile in tiles]

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return one mask per prompt set; the score says nothing."""
        tile = np.asarray(embedding.arrays["tile"], dtype=np.float32)
        masks = np.stack([self._solve(tile, said) for said in prompts])[:, None]
        scores = np.full((len(prompts), 1), 0.5, dtype=np.float32)
        logits = np.where(masks, np.float32(1), np.float32(-1))
        return MaskLogits(logits, scores, np.zeros(len(prompts), dtype=np.intp))


def ellipse(tile: Tile, said: PromptSet) -> Mask:
    """Return the ellipse inscribed in the box, or discs of a typical radius round the clicks."""
    if said.box:
        return _ellipse(tile.shape, said.box)
    found = np.zeros(tile.shape[:2], dtype=bool)
    for y, x in said.positions(positive=True).tolist():
        found |= _ellipse(tile.shape, BoxPrompt(y - RADIUS, x - RADIUS, y + RADIUS, x + RADIUS))
    return found


def _ellipse(shape: tuple[int, ...], box: BoxPrompt, part: float = 1.0) -> Mask:
    y, x = np.ogrid[: shape[0], : shape[1]]
    (cy, cx), h, w = box.center, box.height * part, box.width * part
    inside: Mask = (2 * (y - cy) / h) ** 2 + (2 * (x - cx) / w) ** 2 <= 1
    return inside


def otsu(tile: Tile, said: PromptSet) -> Mask:
    """Return Otsu's threshold: the click's component on its own side, or the side in the box.

    In a box it is the side that the inscribed ellipse has more of.
    """
    grey = tile.mean(axis=-1)
    if said.box is None:
        above = _above(grey)
        seeds = np.zeros(grey.shape, dtype=bool)
        seeds[tuple(pixels(said, positive=True).T)] = True
        return np.asarray(
            components_meeting(above, seeds & above) | components_meeting(~above, seeds & ~above)
        )
    mask, window = np.zeros(grey.shape, dtype=bool), _inside(said.box, grey.shape).slices
    above, middle = _above(grey[window]), _ellipse(tile.shape, said.box)[window]
    rim = above[~middle].mean() if not middle.all() else 0.5
    mask[window] = above if middle.any() and above[middle].mean() >= rim else ~above
    return mask


def _above(grey: NDArray[np.float32]) -> Mask:
    from skimage.filters import threshold_otsu

    if not np.ptp(grey):
        return np.ones(grey.shape, dtype=bool)
    return np.asarray(grey > threshold_otsu(grey))  # type: ignore[no-untyped-call]


def watershed(tile: Tile, said: PromptSet) -> Mask:
    """Return the watershed of the gradient from markers (Meyer 1994)."""
    from skimage.segmentation import watershed as flood

    seeds = seed(tile, said, FLOOD_RING)
    color, inside, outside = _shrunk(tile, seeds)
    basins = flood(gradient(color), inside + 2 * outside)  # type: ignore[no-untyped-call]
    return _finish(basins == 1, seeds, tile.shape)


def random_walker(tile: Tile, said: PromptSet) -> Mask:
    """Return what a random walker (Grady 2006) reaches first from the foreground seeds."""
    from skimage.segmentation import random_walker as walk

    seeds = seed(tile, said, WALK_RING)
    color, inside, outside = _shrunk(tile, seeds)
    if not np.ptp(color) or not outside.any() or not inside.any():
        return _finish(inside, seeds, tile.shape)
    stack = np.moveaxis(color, 0, -1)
    marks = inside + 2 * outside
    owner = walk(stack, marks, STIFFNESS, "bf", channel_axis=-1)
    return _finish(owner == 1, seeds, tile.shape)


def grabcut(tile: Tile, said: PromptSet) -> Mask:
    """Return GrabCut (Rother et al. 2004) of OpenCV, five rounds."""
    import cv2

    seeds = seed(tile, said, WALK_RING)
    color = np.ascontiguousarray(np.rint(255 * tile[seeds.window.slices]).astype(np.uint8))
    marks = np.full(seeds.inside.shape, cv2.GC_PR_FGD, np.uint8)
    marks[seeds.outside] = cv2.GC_BGD
    if said.box is None:
        marks[seeds.inside] = cv2.GC_FGD
    if not seeds.outside.any() or seeds.outside.all():
        return _finish(~seeds.outside, seeds, tile.shape)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(color, marks, (0, 0, 0, 0), *models, 5, cv2.GC_INIT_WITH_MASK)
    found = (marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)
    return _finish(found, seeds, tile.shape)


def seed(tile: Tile, said: PromptSet, ring: float) -> Seeds:
    """Return seeds: core of the ellipse and outside of the box, or disc and far ring of clicks.

    Negative clicks are discs of background.
    """
    shape = (tile.shape[0], tile.shape[1])
    if said.box:
        inside, outside = _ellipse(shape, said.box, CORE), np.ones(shape, dtype=bool)
        frame = _inside(said.box, shape)
        outside[frame.slices] = False
        margin = round(max(frame.shape) / 4) + 3
        window = frame.grow(margin).intersect(Box.of_shape(shape))
    else:
        clicks = said.positions(positive=True)
        inside, outside = _near(shape, clicks, CLICK), ~_near(shape, clicks, ring)
        denied = _near(shape, said.positions(positive=False), CLICK)
        inside, outside = inside & ~denied, outside | denied
        low, high = (
            np.floor(clicks.min(axis=0)).astype(int),
            np.ceil(clicks.max(axis=0)).astype(int),
        )
        around = Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1)
        window = around.grow(round(ring) + 3).intersect(Box.of_shape(shape))
    return Seeds(window, inside[window.slices], outside[window.slices] & ~inside[window.slices])


def _near(shape: tuple[int, int], places: NDArray[np.float64], reach: float) -> Mask:
    near, (y, x) = np.zeros(shape, dtype=bool), np.ogrid[: shape[0], : shape[1]]
    for cy, cx in places.tolist():
        near |= (y - cy) ** 2 + (x - cx) ** 2 <= reach**2
    return near


def _inside(box: BoxPrompt, shape: tuple[int, ...]) -> Box:
    """Return the pixels whose centre lies in a box, at least one."""
    y0, x0 = max(0, int(np.ceil(box.y0))), max(0, int(np.ceil(box.x0)))
    y1, x1 = min(shape[0], int(np.floor(box.y1)) + 1), min(shape[1], int(np.floor(box.x1)) + 1)
    return Box(min(y0, shape[0] - 1), min(x0, shape[1] - 1), max(y1, y0 + 1), max(x1, x0 + 1))


def _shrunk(tile: Tile, seeds: Seeds) -> tuple[NDArray[np.float32], Mask, Mask]:
    """Return smoothed colour and seeds at every n-th pixel of the window."""
    from scipy.ndimage import uniform_filter

    color = np.stack([smooth(c, 1.0) for c in opponent(tile[seeds.window.slices])])
    step = -(-max(seeds.window.shape) // LARGEST)
    if step > 1:
        color = uniform_filter(color, (1, step, step))
    every = (slice(None, None, step), slice(None, None, step))
    return color[:, *every], seeds.inside[every], seeds.outside[every]


def _finish(mask: Mask, seeds: Seeds, shape: tuple[int, ...]) -> Mask:
    """Return the parts of a mask that hold foreground seeds, without holes, on the tile."""
    from scipy.ndimage import binary_fill_holes
    from skimage.transform import resize

    if mask.shape != seeds.window.shape:
        grown = resize(mask.astype(float), seeds.window.shape, order=1)  # type: ignore[no-untyped-call]
        mask = grown > 0.5
    whole = np.zeros(shape[:2], dtype=bool)
    held = components_meeting(mask | seeds.inside, seeds.inside)
    whole[seeds.window.slices] = binary_fill_holes(held)
    return whole


BASELINES: dict[str, Callable[[Tile, PromptSet], Mask]] = {
    "ellipse": ellipse,
    "otsu": otsu,
    "watershed": watershed,
    "random_walker": random_walker,
    "grabcut": grabcut,
}
"""All of them, by name; ``grabcut`` needs OpenCV."""


def missing(name: str) -> str:
    """Return one line on why a baseline cannot run here, or an empty string."""
    if name == "grabcut" and find_spec("cv2") is None:
        return "grabcut is left out: OpenCV is not here; pip install 'napari-ditto[evaluate]'"
    return ""


def load_baseline(name: str) -> Baseline:
    """Return a baseline by name.

    Raises
    ------
    ModelNotFoundError
        If there is none of that name, or what it needs is not installed.
    """
    if name not in BASELINES:
        raise ModelNotFoundError(
            f"no baseline is called {name!r}", todo=f"There are {', '.join(BASELINES)}"
        )
    if reason := missing(name):
        raise ModelNotFoundError(reason)
    return Baseline(name, BASELINES[name])
