"""Pictures of the labelled mosaic: all of it small, and some objects on the seams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.cli.demo_large_figures import Meetings, crossing, seams
from napari_ditto.cli.pictures import overlay
from napari_ditto.core.geometry import Box

if TYPE_CHECKING:
    from napari_ditto.cli.demo_large_mosaic import Mosaic
    from napari_ditto.core.run_plan import Plan

OVERVIEW = 1200
"""Most pixels along a side of the overview."""

CROP = 400
DASH = 8
LINE = (0, 255, 255)

Picture = NDArray[np.uint8]


def overview(levels: Any, mosaic: Mosaic, plan: Plan) -> Picture:  # noqa: ANN401
    """Return the whole plane with its labels and the tiles."""
    step = -(-max(mosaic.shape) // OVERVIEW)
    level = next(k for k, labels in enumerate(levels) if max(labels.shape) <= 2 * OVERVIEW)
    small = np.vstack([_mean(mosaic, y, step) for y in range(0, mosaic.shape[0], step)])
    scale = mosaic.shape[0] / levels[level].shape[0]
    at = (
        ((np.arange(len(small)) + 0.5) * step / scale)
        .astype(int)
        .clip(0, levels[level].shape[0] - 1)
    )
    labels = np.asarray(levels[level])[np.ix_(at, at)]
    picture = overlay(_grey(small, mosaic.window), labels)
    return _dashed(picture, *(lines // step for lines in seams(plan)))


def _mean(mosaic: Mosaic, y: int, step: int) -> NDArray[np.float32]:
    """Return one row of the overview."""
    rows = mosaic.image[y : y + step, : mosaic.shape[1]].mean(axis=0, dtype=np.float32)
    sums = np.add.reduceat(rows, np.arange(0, len(rows), step))
    return np.asarray(sums / step, dtype=np.float32)[None]


def seam_crops(labels: Any, mosaic: Mosaic, plan: Plan, met: Meetings) -> list[Picture]:  # noqa: ANN401
    """Return six pictures: labels on most seams first, then any, the same ones every time."""
    return [crop(labels, mosaic, plan, box) for box in _boxes(mosaic, plan, met)]


def crop(labels: Any, mosaic: Mosaic, plan: Plan, box: Box) -> Picture:  # noqa: ANN401
    """Return a part of the plane with outlines, and its seams as dashed lines."""
    image = _grey(mosaic.image[box.slices], mosaic.window)
    picture = overlay(image, np.asarray(labels[box.slices]))
    rows, columns = seams(plan)
    return _dashed(picture, rows - box.y0, columns - box.x0)


def sheet(pictures: list[Picture], columns: int = 3, gap: int = 6) -> Picture:
    """Return pictures of one size side by side."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    out = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = (number // columns) * (height + gap), (number % columns) * (width + gap)
        out[y : y + height, x : x + width] = picture
    return out


def _boxes(mosaic: Mosaic, plan: Plan, met: Meetings, count: int = 6) -> Iterator[Box]:
    """Yield where to look; no two of them overlap."""
    side = min(CROP, mosaic.shape[0])
    ids = crossing(met.label, met.tile)
    on = np.isin(met.label, ids)
    found, first = np.unique(met.label[on], return_index=True)
    order = np.random.default_rng(0).permutation(len(found))
    corners = _corners_first(met, plan)
    places = np.concatenate([corners, met.places[on][first[order]]])
    taken: list[Box] = []
    for y, x in places.tolist():
        y0, x0 = (int(np.clip(v - side // 2, 0, mosaic.shape[0] - side)) for v in (y, x))
        box = Box(y0, x0, y0 + side, x0 + side)
        if all(box.intersect(other).is_empty for other in taken):
            taken.append(box)
            yield box
        if len(taken) == count:
            return


def _corners_first(met: Meetings, plan: Plan) -> NDArray[np.int64]:
    """Return the corners of four cores with labels of all four near by, half of the pictures."""
    rows, columns = seams(plan)
    labelled = met.places[met.label > 0]
    corners = np.array([(y, x) for y in rows for x in columns], dtype=np.int64).reshape(-1, 2)
    if not len(labelled):
        return corners[:0]
    near = [(np.abs(labelled - corner).max(axis=1) < CROP // 2).sum() for corner in corners]
    return corners[np.argsort(near, kind="stable")[::-1][:3]]


def _grey(pixels: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float32]:
    low, high = window
    level = np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1)
    return np.repeat(level[..., None], 3, axis=2)


def _dashed(picture: Picture, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Picture:
    height, width, _ = picture.shape
    for y in rows[(rows >= 0) & (rows < height)].tolist():
        picture[y, np.arange(width) % DASH < DASH // 2] = LINE
    for x in columns[(columns >= 0) & (columns < width)].tolist():
        picture[np.arange(height) % DASH < DASH // 2, x] = LINE
    return picture
