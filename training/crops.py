"""Crops of real images around objects of every relative size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.measure import label as components

SIDE = 160
LAYERS = 3
FRACTIONS = (0.1, 0.8)  # of the crop's side that the picked object takes
WINDOWS = (40.0, 480.0)  # source pixels: outside this, little is left to see in a crop
MOST_PADDED = 1.1  # window side over the image's shorter side
SHIFTED_IN = 0.9  # how often a window that fits is moved wholly into the image
LEAST_AREA = 30
MOST_LABELS = 255
TRIES = 20

Box = tuple[slice, slice]


def scaled(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image in [0, 1], much as the product shows it to a model.

    The product leaves 8-bit colour as it is; here its channels are stretched like all others.

    Parameters
    ----------
    image
        ``(y, x)`` or ``(y, x, channel)`` of any real type; channels after the third are dropped.

    Returns
    -------
    float32 ``(y, x, 3)`` in [0, 1]; each channel's percentiles 0.5 and 99.5 become 0 and 1.
    """
    channels = image if image.ndim == 3 else image[..., None]
    channels = channels[..., :3] if channels.shape[-1] >= 3 else channels[..., :1]
    flat = channels.reshape(-1, channels.shape[-1]).astype(np.float32)
    low, high = np.percentile(flat, [0.5, 99.5], axis=0)
    mapped = np.clip((channels - low) / np.maximum(high - low, 1e-9), 0, 1).astype(np.float32)
    return np.broadcast_to(mapped, (*mapped.shape[:2], 3)).copy()


def objects(labels: NDArray[Any]) -> list[Box]:
    """Return the bounding boxes of the objects that are large enough to be picked."""
    areas = np.bincount(labels.ravel())
    boxes = enumerate(ndi.find_objects(labels), 1)
    # An id that is not used has no box and no area.
    return [(box[0], box[1]) for value, box in boxes if areas[value] >= LEAST_AREA]


def window(
    rng: np.random.Generator, box: Box, shape: tuple[int, int]
) -> tuple[float, float, float]:
    """Draw a square window around an object.

    Returns
    -------
    First row, first column (edges, not centres) and side, in source pixels.
    """
    lengths = [s.stop - s.start for s in box]
    longest = max(lengths)
    side = longest / np.exp(rng.uniform(*np.log(FRACTIONS)))
    side = max(min(side, MOST_PADDED * min(shape), WINDOWS[1]), WINDOWS[0], longest)
    inside = bool(rng.random() < SHIFTED_IN)
    starts = []
    for part, length, extent in zip(box, lengths, shape, strict=True):
        start = part.start - rng.uniform(0, side - length)
        if side >= extent:
            start = rng.uniform(extent - side, 0)
        elif inside:
            start = float(np.clip(start, 0, extent - side))
        starts.append(float(start))
    return starts[0], starts[1], float(side)


def crop(
    image: NDArray[np.float32],
    labels: NDArray[Any],
    where: tuple[float, float, float],
    side: int = SIDE,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """Resample one window of an image and of its labels.

    Parameters
    ----------
    image
        ``(y, x, 3)`` in [0, 1].
    labels
        ``(y, x)`` instance ids, 0 is background.
    where
        First row, first column and side of the window; it may leave the image, which is reflected.

    Returns
    -------
    uint8 image ``(side, side, 3)`` and uint8 layers ``(3, side, side)`` of which the first holds
    ids from 1 without gaps; or None where the window shows more objects than ids exist.
    """
    rows, row_weights = _taps(where[0], where[2], image.shape[0], side)
    cols, col_weights = _taps(where[1], where[2], image.shape[1], side)
    patch = image[np.ix_(rows, cols)]
    smooth = np.tensordot(row_weights, patch, (1, 0))  # (side, cols, 3)
    smooth = np.tensordot(smooth, col_weights, (1, 1)).transpose(0, 2, 1)
    ids = labels[
        np.ix_(
            _nearest(where[0], where[2], labels.shape[0], side),
            _nearest(where[1], where[2], labels.shape[1], side),
        )
    ]
    ids = _renumbered(ids, _leaves(where, labels.shape))
    if ids.max() > MOST_LABELS:
        return None
    layers = np.zeros((LAYERS, side, side), np.uint8)
    layers[0] = ids
    return np.rint(np.clip(smooth, 0, 1) * 255).astype(np.uint8), layers


def crops(
    rng: np.random.Generator, image: NDArray[Any], labels: NDArray[Any], count: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return ``count`` random crops of one image (fewer where it has no object that fits).

    See Also
    --------
    crop : shape and type of one crop.
    """
    shown, found = scaled(image), objects(labels)
    out: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for _ in range(count * TRIES if found else 0):
        if len(out) == count:
            break
        box = found[rng.integers(len(found))]
        made = crop(shown, labels, window(rng, box, labels.shape))
        if made is not None:
            out.append(made)
    return out


def _centres(start: float, length: float, side: int) -> NDArray[np.float64]:
    return np.asarray(start + (np.arange(side) + 0.5) * length / side - 0.5)


def _reflected(index: NDArray[np.int64], extent: int) -> NDArray[np.int64]:
    folded = index % (2 * extent)
    return np.minimum(folded, 2 * extent - 1 - folded)


def _nearest(start: float, length: float, extent: int, side: int) -> NDArray[np.int64]:
    return _reflected(np.rint(_centres(start, length, side)).astype(np.int64), extent)


def _taps(
    start: float, length: float, extent: int, side: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the source pixels of a window and the triangle filter's weights ``(side, pixels)``."""
    centres, reach = _centres(start, length, side), max(1.0, length / side)
    pixels = np.arange(int(np.floor(centres[0] - reach)), int(np.ceil(centres[-1] + reach)) + 1)
    weights = np.maximum(0, 1 - np.abs(centres[:, None] - pixels) / reach)
    weights /= weights.sum(1, keepdims=True)
    return _reflected(pixels, extent), weights.astype(np.float32)


def _leaves(where: tuple[float, float, float], shape: tuple[int, ...]) -> bool:
    y, x, side = where
    return y < 0 or x < 0 or y + side > shape[0] or x + side > shape[1]


def _renumbered(ids: NDArray[Any], padded: bool) -> NDArray[np.int64]:
    """Return ids from 1; a reflected copy apart from its object is an object of its own."""
    if padded:
        ids = components(ids, connectivity=2)  # type: ignore[no-untyped-call]
    values, inverse = np.unique(ids, return_inverse=True)
    return np.asarray(inverse.reshape(ids.shape) + int(values[0] != 0), np.int64)
