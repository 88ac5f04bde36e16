"""A slide of any size from a handful of real pictures: islands of tissue on an empty background.

Nothing is kept but the pictures; a chunk is put together when it is read.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.data.sampling import PERCENTILES
from napari_ditto.errors import SourceError

CHUNK = 512

BACKGROUND, BRIGHT = 20.0, 160.0
"""Pictures with masks are brought to this background, and their objects to this brightness."""

SPREAD = 4.0
"""About the radius of an island, in pictures."""

NEAR = 3
"""An object so near to the border of its picture may be cut by it."""

BLUR, SMOOTH = 8, 30
"""Pixels round an object that still shine with it, and over which the background is even."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a mosaic is made from.

    Attributes
    ----------
    side : int
        Pixels of both sides.
    cover : float
        Part of the plane that the islands take.
    images : str
        A folder with ``images/`` and ``masks/``; empty for a picture of scikit-image.
    seed : int
        Another seed, another mosaic.
    """

    side: int = 30_000
    cover: float = 0.08
    images: str = ""
    seed: int = 0

    def to_json(self) -> str:
        """Return the recipe as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, told: str) -> Recipe:
        """Return the recipe that was told."""
        return cls(**json.loads(told))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size, and their objects if these are known.

    Attributes
    ----------
    names : tuple of str
        One for each.
    pixels : ndarray of uint8, shape (n, h, w)
        Grey.
    masks : ndarray of int32, shape (n, h, w), or None
        Objects from 1, 0 is background; none of them touches the border of its picture.
    """

    names: tuple[str, ...]
    pixels: NDArray[np.uint8]
    masks: NDArray[np.int32] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of all."""
        _, height, width = self.pixels.shape
        return height, width


def load_pictures(folder: str) -> Pictures:
    """Return the grey pictures of a folder that have its most frequent size.

    Raises
    ------
    SourceError
        If there are none.
    """
    if not folder:
        from skimage import data

        return Pictures(("coins",), np.asarray(data.coins())[None], None)  # type: ignore[no-untyped-call]
    pairs = list(_pairs(Path(folder)))
    sizes = Counter(image.shape for _, image, _ in pairs)
    if not pairs:
        raise SourceError(
            "there are no grey pictures with masks",
            where=folder,
            todo="Name a folder that holds images/ and masks/, with the same names in both",
        )
    usual = max(sizes, key=lambda shape: (sizes[shape], shape))
    kept = [pair for pair in pairs if pair[1].shape == usual]
    rng = np.random.default_rng(0)
    made = [_alike(image, mask, rng) for _, image, mask in kept]
    names = tuple(name for name, _, _ in kept)
    return Pictures(names, np.stack([p for p, _ in made]), np.stack([m for _, m in made]))


def _pairs(folder: Path) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.int32]]]:
    from skimage.io import imread

    masks = {path.stem: path for path in sorted(folder.glob("masks/*"))}
    for path in sorted(folder.glob("images/*")):
        image = imread(path) if path.stem in masks else np.zeros(0)
        if image.ndim == 2:
            yield path.stem, image.astype(np.float32), imread(masks[path.stem]).astype(np.int32)


def _alike(
    image: NDArray[np.float32], mask: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return a picture as dark and as bright as the others, without what its border cuts.

    Where two pictures meet half an object would meet half of another. The place of such an object
    becomes background, with the noise of the same picture.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter

    edge = np.ones(mask.shape, dtype=bool)
    edge[NEAR:-NEAR, NEAR:-NEAR] = False
    cut = np.isin(mask, mask[edge & (mask > 0)])
    kept = np.where(cut, 0, mask)
    empty = (~binary_dilation(mask > 0, iterations=BLUR)).astype(np.float32) + 1e-6
    dark = gaussian_filter(image * empty, SMOOTH) / gaussian_filter(empty, SMOOTH)
    level = image - dark
    shine = binary_dilation(cut, iterations=BLUR) & ~binary_dilation(kept > 0, iterations=2)
    level[shine] = rng.choice(level[empty > 0.5], int(shine.sum()))
    light = float(np.percentile(level[kept > 0], 95)) if kept.any() else 1.0
    pixels = BACKGROUND + level * (BRIGHT - BACKGROUND) / max(light, 1.0)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), _numbered(kept)


def _numbered(mask: NDArray[np.int32]) -> NDArray[np.int32]:
    ids, place = np.unique(mask, return_inverse=True)
    first = 0 if ids[0] == 0 else 1
    return (place.reshape(mask.shape) + first).astype(np.int32)


class Mosaic:
    """A large plane of pictures side by side.

    The plane is a grid of cells of the size of a picture. Every second one is mirrored along each
    axis, so that a single picture goes on without a seam.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.pictures = load_pictures(recipe.images)
        self.cells = tuple(recipe.side // n for n in self.pictures.shape)
        if min(self.cells) < 1:
            raise SourceError(
                f"a mosaic of {recipe.side} pixels holds no picture", todo="Choose a larger side"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.recipe.side, self.recipe.side

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """Which picture is in each cell, -1 for none."""
        from scipy.ndimage import gaussian_filter

        rng = np.random.default_rng(self.recipe.seed)
        height = gaussian_filter(rng.normal(size=self.cells), SPREAD, mode="constant")
        cell = self.pictures.pixels[0].size
        count = round(self.recipe.cover * self.recipe.side**2 / cell)
        chosen = np.argsort(-height, axis=None)[: max(1, count)]
        found = np.full(self.cells, -1)
        found.ravel()[chosen] = rng.integers(len(self.pictures.names), size=len(chosen))
        return found

    @cached_property
    def window(self) -> tuple[float, float]:
        """Black and white; a sample of the plane would be all glass."""
        low, high = np.percentile(self.pictures.pixels, PERCENTILES)
        return float(low), float(high)

    @cached_property
    def image(self) -> MosaicArray:
        """The pixels."""
        return MosaicArray(self, np.dtype(np.uint8))

    @cached_property
    def truth(self) -> MosaicArray:
        """The objects, each with an id of its own; all 0 if they are not known."""
        return MosaicArray(self, np.dtype(np.int64))

    def draw(self, box: Box, *, truth: bool) -> NDArray[Any]:
        """Return a part of the pixels or of the objects."""
        height, width = self.pictures.shape
        out = np.zeros(box.shape, np.int64) if truth else self._empty(box)
        rows = range(box.y0 // height, min(-(-box.y1 // height), self.cells[0]))
        columns = range(box.x0 // width, min(-(-box.x1 // width), self.cells[1]))
        for row, column in itertools.product(rows, columns):
            if self.shown[row, column] >= 0:
                cell = Box(row * height, column * width, (row + 1) * height, (column + 1) * width)
                common = box.intersect(cell)
                part = self._cell(row, column, truth=truth)
                out[common.shift(-box.y0, -box.x0).slices] = part[
                    common.shift(-cell.y0, -cell.x0).slices
                ]
        return out

    def _cell(self, row: int, column: int, *, truth: bool) -> NDArray[Any]:
        number = self.shown[row, column]
        mirrored = (slice(None, None, 1 - 2 * (row % 2)), slice(None, None, 1 - 2 * (column % 2)))
        if not truth:
            shown: NDArray[np.uint8] = self.pictures.pixels[number][mirrored]
            return shown
        if self.pictures.masks is None:
            return np.zeros(self.pictures.shape, np.int64)
        ids = self.pictures.masks[number][mirrored].astype(np.int64)
        first = (row * self.cells[1] + column) * int(self.pictures.masks.max() + 1)
        return np.where(ids > 0, ids + first, 0)

    def _empty(self, box: Box) -> NDArray[np.uint8]:
        """Return glass: background with the noise of a camera."""
        rows, columns = (np.arange(a, b) % CHUNK for a, b in ((box.y0, box.y1), (box.x0, box.x1)))
        return self._noise[np.ix_(rows, columns)]

    @cached_property
    def _noise(self) -> NDArray[np.uint8]:
        rng = np.random.default_rng(self.recipe.seed)
        level = np.rint(rng.normal(BACKGROUND, 0.7, (CHUNK, CHUNK)))
        noise: NDArray[np.uint8] = level.astype(np.uint8)
        return noise


class MosaicArray:
    """A mosaic sliced like an array; counts the chunks that are read.

    Attributes
    ----------
    shape, chunks : (int, int)
        Of the plane, and of the blocks that it should be read in.
    dtype : dtype
        uint8 for pixels, int64 for objects.
    cpu : float
        Seconds that it took to draw what was read.
    """

    ndim = 2

    def __init__(self, mosaic: Mosaic, dtype: np.dtype[Any]) -> None:
        self.mosaic, self.dtype, self.shape = mosaic, dtype, mosaic.shape
        self.chunks = (min(CHUNK, self.shape[0]), min(CHUNK, self.shape[1]))
        self.cpu = 0.0
        self._reads: Counter[tuple[int, int]] = Counter()
        self._lock = threading.Lock()

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[Any]:
        rows, columns = (s.indices(n) for s, n in zip(index, self.shape, strict=True))
        box = Box(rows[0], columns[0], rows[1], columns[1])
        touched = itertools.product(
            range(box.y0 // CHUNK, -(-box.y1 // CHUNK)), range(box.x0 // CHUNK, -(-box.x1 // CHUNK))
        )
        begun = time.thread_time()
        whole = self.mosaic.draw(box, truth=self.dtype.kind == "i")
        found: NDArray[Any] = whole[:: rows[2], :: columns[2]]
        with self._lock:
            self._reads.update(touched)
            self.cpu += time.thread_time() - begun
        return found

    @property
    def reads(self) -> tuple[int, int]:
        """How many chunks were read, counted each time, and how many different ones."""
        with self._lock:
            return self._reads.total(), len(self._reads)
