"""Drawn stand-ins for two kinds of images with known truth: an EM stack and an orthophoto.

They are for tutorials and tests; nothing was trained on them. Everything comes from a seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

CYTOPLASM, MEMBRANE, MATRIX, CRISTA = 165.0, 70.0, 105.0, 80.0
GRASS, ASPHALT, SHADOW = (96, 124, 70), (128, 126, 124), 0.55
ROOFS = ((176, 92, 70), (120, 120, 128), (196, 178, 150), (150, 70, 62))


def em_stack(
    shape: tuple[int, int, int] = (20, 256, 256), count: int = 12, seed: int = 0
) -> tuple[Image, Labels]:
    """Return a stack that looks like cells under an electron microscope, and its mitochondria.

    Parameters
    ----------
    shape : tuple of int
        ``(z, y, x)``.
    count : int
        Mitochondria: bent tubes, most of them through many slices.
    seed : int
        Of everything.

    Returns
    -------
    image : ndarray of uint8, shape (z, y, x)
    labels : ndarray of int32, shape (z, y, x)
        One id for each mitochondrion, from 1.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    labels, depth = _mitochondria(shape, count, rng)
    picture = np.where(_cell_membranes(shape, rng), MEMBRANE, CYTOPLASM)
    picture = picture + 28 * _texture(shape, (1, 2, 2), rng)
    stripes = np.sin(0.9 * np.arange(shape[2]) + 6 * _texture(shape, (3, 12, 12), rng)) > 0.2
    picture = np.where(labels > 0, np.where(stripes, CRISTA, MATRIX), picture)
    picture = np.where((labels > 0) & (depth > 0.72), MEMBRANE, picture)
    blurred = gaussian_filter(picture, (0, 0.8, 0.8))
    return np.clip(blurred + rng.normal(0, 10, shape), 0, 255).astype(np.uint8), labels


def orthophoto(
    shape: tuple[int, int] = (400, 500), count: int = 24, seed: int = 0
) -> tuple[Image, Labels]:
    """Return a village from above, in colour, and its roofs.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)``.
    count : int
        Roofs; fewer where there is no room.
    seed : int
        Of everything.

    Returns
    -------
    image : ndarray of uint8, shape (y, x, 3)
    labels : ndarray of int32, shape (y, x)
        One id for each roof, from 1.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    ground = np.array(GRASS) + 25 * _texture(shape, (3, 3), rng)[..., None]
    ground = ground + 18 * _texture(shape, (40, 40), rng)[..., None]
    bend = shape[0] / 2 + 25 * np.sin(columns / 90)
    road = np.abs(rows - bend) < 9
    ground[road] = ASPHALT
    labels = np.zeros(shape, np.int32)
    for _ in range(40 * count):
        if labels.max() < count:
            _build(ground, labels, road, rng)
    noisy = gaussian_filter(ground, (0.7, 0.7, 0)) + rng.normal(0, 5, (*shape, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def _texture(shape: tuple[int, ...], sigma: tuple[float, ...], rng: np.random.Generator) -> Floats:
    """Return smooth noise with a standard deviation of 1."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal(shape), sigma)
    return np.asarray(noise / noise.std())


def _cell_membranes(shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return the borders of cells that fill the volume; z counts more, as slices are thick."""
    from scipy.ndimage import zoom
    from scipy.spatial import cKDTree

    coarse = (shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
    places = np.indices(coarse).reshape(3, -1).T * (4, 2, 2)
    centers = rng.uniform(0, shape, (24, 3)) * (4, 1, 1)
    distances = np.asarray(cKDTree(centers).query(places, 2)[0])
    width = zoom((distances[:, 1] - distances[:, 0]).reshape(coarse), (1, 2, 2), order=1)
    wavy = 1.5 + 0.8 * _texture(shape, (2, 8, 8), rng)
    return np.asarray(width[:, : shape[1], : shape[2]] < wavy)


def _mitochondria(
    shape: tuple[int, int, int], count: int, rng: np.random.Generator
) -> tuple[Labels, Floats]:
    """Return tubes that wander through the slices, and how far out of its tube a pixel lies."""
    labels, depth = np.zeros(shape, np.int32), np.zeros(shape)
    for _ in range(20 * count):
        if labels.max() == count:
            break
        away = _tube(shape, rng)
        if not (labels[away < 1.3] > 0).any():
            inside = away < 1
            labels[inside], depth[inside] = labels.max() + 1, away[inside]
    return labels, depth


def _tube(shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Return how far each pixel lies from the axis of a bent tube, which is 1 wide."""
    z, rows, columns = np.ogrid[: shape[0], : shape[1], : shape[2]]
    first, length = rng.uniform(-0.3, 0.6) * shape[0], rng.uniform(0.5, 1.2) * shape[0]
    y, x = rng.uniform(0.08, 0.92, 2) * shape[1:]
    drift, radius, long = rng.normal(0, 1.2, 2), rng.uniform(9, 14), rng.uniform(1, 1.9)
    turn, at = rng.uniform(0, np.pi), (z - first) / length
    v, u = rows - y - drift[0] * (z - first), columns - x - drift[1] * (z - first)
    along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    taper = np.sqrt(np.clip(1 - (2 * at - 1) ** 4, 1e-6, None))
    return np.asarray(np.hypot(along / long, across) / (radius * taper))


def _build(
    ground: Floats, labels: Labels, road: NDArray[np.bool_], rng: np.random.Generator
) -> None:
    """Put a roof with two slopes and a shadow where there is room."""
    rows, columns = np.indices(labels.shape)
    (y, x), turn = rng.uniform(0.04, 0.96, 2) * labels.shape, rng.uniform(0, np.pi)
    half = rng.uniform(16, 26), rng.uniform(10, 15)
    along = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    across = (rows - y) * np.cos(turn) - (columns - x) * np.sin(turn)
    roof = (np.abs(along) < half[0]) & (np.abs(across) < half[1])
    room = (np.abs(along) < half[0] + 6) & (np.abs(across) < half[1] + 6)
    if (labels[room] > 0).any() or road[room].any() or roof.sum() < 400:
        return
    shadow = np.roll(roof, (5, 5), (0, 1)) & (labels == 0) & ~roof
    ground[shadow] *= SHADOW
    colour = np.array(ROOFS[rng.integers(len(ROOFS))], float)
    ground[roof] = colour * np.where(across[roof] > 0, 1.12, 0.84)[:, None]
    labels[roof] = labels.max() + 1
