"""Images with known truth: cells, tissue, a stack, a movie, and a raster of any size.

Everything is drawn from a seed and is the same on every machine up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box

Labels = NDArray[np.int32]
Image = NDArray[np.uint8]
Floats = NDArray[np.floating]


def blobs(shape: tuple[int, int], count: int = 40, radius: float = 12.0, seed: int = 0) -> Labels:
    """Return separate, slightly irregular cells, ids from 1, shape `shape`.

    Fewer than `count` where there is no room; at least 2 pixels lie between two cells.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    label = 1
    for _ in range(50 * count):
        if label > count:
            break
        center, size = rng.uniform(0, shape), radius * rng.uniform(0.6, 1.3)
        box, mask = _blob(shape, center, size, rng)
        around = box.grow(2).intersect(Box.of_shape(shape))
        if mask.any() and not labels[around.slices].any():
            labels[box.slices][mask] = label
            label += 1
    return labels


def tissue(shape: tuple[int, int], count: int = 60, seed: int = 0) -> Labels:
    """Return cells that fill the plane without a gap (a Voronoi partition), ids from 1."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, shape, (count, 2))
    pixels = np.indices(shape).reshape(2, -1).T
    nearest = cKDTree(centers).query(pixels)[1]
    return np.unique(nearest, return_inverse=True)[1].reshape(shape).astype(np.int32) + 1


def render(labels: NDArray[np.integer], noise: float = 6.0, seed: int = 0) -> Image:
    """Return an image of labels: each object of its own brightness, blurred, with noise.

    Parameters
    ----------
    labels : ndarray of int, shape (h, w) or (z, h, w)
        0 is the dark background; where objects touch there is a dark line.
    noise : float
        Standard deviation in grey values.
    seed : int
        Of brightness and noise.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    light = rng.uniform(110, 220, int(labels.max(initial=0)) + 1)
    light[0] = 30
    picture = np.where(_inner_borders(labels), 50.0, light[labels])
    blurred = gaussian_filter(picture, (0,) * (labels.ndim - 2) + (1.0, 1.0))
    return np.clip(blurred + rng.normal(0, noise, labels.shape), 0, 255).astype(np.uint8)


def stack(
    shape: tuple[int, int, int] = (24, 256, 256), count: int = 30, seed: int = 0
) -> tuple[Image, Labels]:
    """Return a z-stack of ellipsoid cells and its labels, both of `shape` (z, y, x)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    z, y, x = (np.arange(n, dtype=np.float32) for n in shape)
    for label in range(1, count + 1):
        center, radii = rng.uniform(0, shape), rng.uniform(0.6, 1.3, 3) * _radii(shape)
        away = [(a - c) / r for a, c, r in zip((z, y, x), center, radii, strict=True)]
        inside = np.add.outer(np.add.outer(away[0] ** 2, away[1] ** 2), away[2] ** 2) <= 1
        labels[inside & (labels == 0)] = label
    return render(labels, seed=seed), labels


@dataclass(frozen=True, eq=False)
class Movie:
    """Moving and dividing cells.

    Attributes
    ----------
    image : ndarray of uint8, shape (t, y, x)
    labels : ndarray of int32, shape (t, y, x)
        A cell keeps its id from frame to frame; daughters have new ones.
    parents : dict of int to int
        The mother of each daughter.
    """

    image: Image
    labels: Labels
    parents: dict[int, int]


@dataclass
class _Cell:
    label: int
    center: NDArray[np.float64]
    speed: NDArray[np.float64]
    radius: float
    age: float


def movie(
    frames: int = 20, shape: tuple[int, int] = (256, 256), count: int = 8, seed: int = 0
) -> Movie:
    """Return a movie of cells that move, grow and divide, with labels and lineage."""
    rng = np.random.default_rng(seed)
    cells = [_new_cell(i, place, rng) for i, place in enumerate(_spread(shape, count, rng), 1)]
    parents: dict[int, int] = {}
    labels = np.zeros((frames, *shape), dtype=np.int32)
    for frame in labels:
        for cell in cells:
            _paint_cell(frame, cell)
        cells = [new for cell in cells for new in _next(cell, shape, parents, count, rng)]
    return Movie(
        np.stack([render(f, seed=seed + i) for i, f in enumerate(labels)]), labels, parents
    )


@dataclass(frozen=True)
class Raster:
    """A raster of any size that exists only where it is looked at.

    The plane is laid out in square cells with one bright ellipse in most of them, on a ground of
    slow waves with fine grain. Every pixel follows from a hash of its cell, so a block of any
    level is computed from its own pixels alone.

    Attributes
    ----------
    shape : (int, int)
        Height and width at level 0.
    cell : int
        Side of a cell, level-0 pixels.
    seed : int
        Another seed, another raster.
    """

    shape: tuple[int, int]
    cell: int = 96
    seed: int = 0

    @property
    def levels(self) -> int:
        """Number of levels until the longer side is at most 512 pixels."""
        return max(1, int(np.ceil(np.log2(max(self.shape) / 512))) + 1)

    def level_shape(self, level: int) -> tuple[int, int]:
        """Return height and width at a level; each is half of the finer one, rounded up."""
        height, width = (max(1, -(-n >> level)) for n in self.shape)
        return height, width

    def labels(self, box: Box, level: int = 0) -> NDArray[np.int64]:
        """Return the ids of the objects in a box of a level, shape ``box.shape``."""
        y, x = self._positions(box, level)
        row, column = y // self.cell, x // self.cell
        ids = row.astype(np.int64) * -(-self.shape[1] // self.cell) + column.astype(np.int64) + 1
        return np.where(self._distance(y, x) <= 1, ids, 0)

    def image(self, box: Box, level: int = 0) -> Image:
        """Return the pixels of a box of a level, shape ``box.shape``, uint8."""
        y, x = self._positions(box, level)
        ground = 70 + 25 * np.sin(y / 700 + self.seed) * np.cos(x / 900)
        grain = 16 * (self._hash(y, x, 9) - 0.5)
        light = 120 + 100 * self._by_cell(y, x, 5)
        # A ramp over about one pixel of the level stands for the average over that pixel.
        edge = np.clip((1 - self._distance(y, x)) * self.cell / 4 / (1 << level) + 0.5, 0, 1)
        values: Image = (ground + edge * (light - ground) + grain).astype(np.uint8)
        return values

    def center(self, row: int, column: int) -> tuple[float, float]:
        """Return the centre of the object in a cell."""
        y, x = np.array([float(row)]), np.array([float(column)])
        cy, cx = (0.42 + 0.16 * float(self._hash(y, x, salt)[0]) for salt in (1, 2))
        return (row + cy) * self.cell, (column + cx) * self.cell

    def _positions(self, box: Box, level: int) -> tuple[Floats, Floats]:
        step = float(1 << level)
        y = (np.arange(box.y0, box.y1) + 0.5) * step - 0.5
        x = (np.arange(box.x0, box.x1) + 0.5) * step - 0.5
        return y[:, None], x[None, :]

    def _distance(self, y: Floats, x: Floats) -> Floats:
        """Return the distance to the centre of the cell's ellipse, 1 on its border."""
        cy, cx, height, width = (self._by_cell(y, x, salt) for salt in (1, 2, 3, 4))
        dy = y % self.cell / self.cell - (0.42 + 0.16 * cy)
        dx = x % self.cell / self.cell - (0.42 + 0.16 * cx)
        away: Floats = np.hypot(dy / (0.2 + 0.18 * height), dx / (0.2 + 0.18 * width))
        return away

    def _by_cell(self, y: Floats, x: Floats, salt: int) -> Floats:
        """Return the hash of each pixel's cell, worked out once per cell."""
        row, to_row = np.unique(y.ravel() // self.cell, return_inverse=True)
        column, to_column = np.unique(x.ravel() // self.cell, return_inverse=True)
        return self._hash(row[:, None], column, salt)[to_row[:, None], to_column]

    def _hash(self, row: Floats, column: Floats, salt: int) -> Floats:
        """Return a number in [0, 1) for each pair: 32-bit finaliser of MurmurHash3."""
        a = row.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
        b = column.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
        h = a ^ b ^ np.uint32((salt * 0xC2B2AE3D + self.seed * 0x27D4EB2F) & 0xFFFFFFFF)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
        return (h ^ (h >> np.uint32(16))) / 2.0**32


def _blob(
    shape: tuple[int, int], center: NDArray[np.float64], radius: float, rng: np.random.Generator
) -> tuple[Box, NDArray[np.bool_]]:
    """Return a disc with three waves on its outline, in its box."""
    reach = int(radius * 1.5) + 1
    cy, cx = (int(v) for v in center)
    box = Box(cy - reach, cx - reach, cy + reach, cx + reach).intersect(Box.of_shape(shape))
    dy, dx = (grid.astype(np.float64) for grid in np.ogrid[box.slices])
    dy, dx = dy - center[0], dx - center[1]
    angle, outline = np.arctan2(dy, dx), np.ones(box.shape)
    for waves in (2, 3, 5):
        outline += rng.uniform(0, 0.12) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return box, np.hypot(dy, dx) <= radius * outline


def _inner_borders(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return the pixels whose right or lower neighbour in the plane is another object."""
    border = np.zeros(labels.shape, dtype=bool)
    for axis in (-1, -2):
        here = np.moveaxis(labels, axis, 0)
        differs = (here[1:] != here[:-1]) & (here[1:] > 0) & (here[:-1] > 0)
        np.moveaxis(border, axis, 0)[:-1] |= differs
    return border


def _radii(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    return np.array([shape[0] / 6, min(shape[1:]) / 14, min(shape[1:]) / 14])


def _spread(
    shape: tuple[int, int], count: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield positions on a jittered grid, so that no two cells start on one another."""
    side = int(np.ceil(np.sqrt(count)))
    for i in range(count):
        yield (np.array(divmod(i, side)) + 0.5 + rng.uniform(-0.2, 0.2, 2)) / side * shape


def _new_cell(label: int, center: NDArray[np.float64], rng: np.random.Generator) -> _Cell:
    return _Cell(label, center, rng.normal(0, 1.5, 2), rng.uniform(9, 12), rng.uniform(0, 6))


def _paint_cell(frame: Labels, cell: _Cell) -> None:
    rows, columns = np.ogrid[: frame.shape[0], : frame.shape[1]]
    away = np.hypot(rows - cell.center[0], columns - cell.center[1])
    frame[(away <= cell.radius) & (frame == 0)] = cell.label


def _next(
    cell: _Cell,
    shape: tuple[int, int],
    parents: dict[int, int],
    first: int,
    rng: np.random.Generator,
) -> Iterator[_Cell]:
    """Yield the cell in the next frame, or its two daughters."""
    border = 15
    move = cell.center + cell.speed + rng.normal(0, 0.5, 2)
    inside = np.clip(move, border, np.subtract(shape, border))
    if cell.age < 10:
        speed = np.where(inside == move, cell.speed, -cell.speed)
        yield _Cell(cell.label, inside, speed, cell.radius + 0.25, cell.age + 1)
        return
    turn = rng.uniform(0, np.pi)
    apart = np.array([np.sin(turn), np.cos(turn)])
    for side in (-1, 1):
        label = first + len(parents) + 1
        parents[label] = cell.label
        center = inside + side * apart * (cell.radius * 0.8)
        yield _Cell(label, center, side * apart * 2 + rng.normal(0, 0.3, 2), cell.radius * 0.75, 0)
