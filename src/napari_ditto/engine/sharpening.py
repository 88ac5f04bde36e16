"""Rough labels made sharp: each becomes a prompt, and the answer takes its place."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, bounding_box, deepest_pixels, iou, place
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.predict import Predictor
from napari_ditto.engine.teaching import object_labels
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, ContextModel, PromptModel

CLOSED = 1.5
"""A label that grows by this factor when its holes are filled is a line round the thing."""

THIN = 0.25
"""A label whose greatest width is less than this part of its length is a stroke across."""

SQUARE = 0.97
"""A label that fills so much of its bounding box is a drawn box."""

STROKE_POINTS = 6
"""Points that a stroke becomes."""

LEAST_IOU = 0.2
"""An answer that has less in common with a rough mask is not what was meant."""


def sharpen_steps(
    example: PlaneExample,
    model: PromptModel | ContextModel,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, PlaneExample]:
    """Return the example with each label replaced by what the model makes of it.

    A stroke across the thing is read as points on it, a line round it or a filled rectangle as a
    box, and anything else as a rough mask. A label that the model makes nothing of stays.

    Raises
    ------
    ModelError
        If the model takes no prompts.
    """
    if not isinstance(model, PromptModel):
        raise ModelError(
            f"{model.spec.id} takes no prompts, so it cannot sharpen an example",
            todo="Sharpen it with another model, e.g. ditto",
        )
    example.check()
    predictor = Predictor(model, TileEncoder(example.source, model, cache))
    rough = object_labels(example)
    ids = np.unique(rough[rough > 0]).tolist()
    sharp = []
    for i, label in enumerate(ids):
        yield Progress("decode", i, len(ids), f"example object {i + 1} of {len(ids)}")
        drawn = _placed(rough == label, example.where)
        sharp.append((yield from _sharpen(drawn, predictor, example.address)))
    return _with_masks(example, rough > 0, dict(zip(ids, sharp, strict=True)))


def _placed(mask: NDArray[np.bool_], where: Box) -> PlacedMask:
    inner = bounding_box(mask)
    return PlacedMask(inner.shift(where.y0, where.x0), mask[inner.slices])


def _sharpen(
    drawn: PlacedMask, predictor: Predictor, address: PlaneAddress
) -> Generator[Progress, None, PlacedMask]:
    prompts, meant = read_drawing(drawn)
    found = yield from predictor.predict_steps(prompts, address)
    masks = [
        PlacedMask(found.box, m, float(s)) for m, s in zip(found.masks, found.scores, strict=True)
    ]
    best = masks[found.best]
    if meant is None:
        fits = bool((best.in_box(drawn.box) & drawn.mask).any())
    else:
        fits = iou(best, meant) >= LEAST_IOU
    return best.cropped() if fits and best.area else (meant or drawn)


def read_drawing(drawn: PlacedMask) -> tuple[PromptSet, PlacedMask | None]:
    """Return what a rough label says as prompts, and its area where that says how large it is."""
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    box, filled = drawn.box, np.asarray(binary_fill_holes(drawn.mask), dtype=bool)
    area = PlacedMask(box, filled)
    frame = BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)
    if area.area > CLOSED * drawn.area:
        return PromptSet(box=frame, mask=MaskPrompt(box, filled)), area
    if area.area >= SQUARE * box.area and min(box.shape) > 4:
        return PromptSet(box=frame), area
    width = 2 * float(distance_transform_edt(np.pad(filled, 1)).max())
    if width < THIN * max(box.shape) or area.area < 16:
        spots = deepest_pixels(filled, STROKE_POINTS)
        points = tuple(PointPrompt(float(y + box.y0), float(x + box.x0)) for y, x in spots)
        return PromptSet(points=points), None
    return PromptSet(box=frame, mask=MaskPrompt(box, filled)), area


def _with_masks(
    example: PlaneExample, drawn: NDArray[np.bool_], masks: dict[int, PlacedMask]
) -> PlaneExample:
    """Return the example with new masks; what they add to its box is not known elsewhere."""
    box = example.where
    for mask in masks.values():
        box = box.union(mask.box)
    known = place(np.ones(example.where.shape, dtype=bool), example.where, box)
    old = place(np.where(drawn, 0, example.labels.astype(np.int64)), example.where, box)
    labels = np.where(known, old, UNKNOWN)
    for label, mask in masks.items():
        view = labels[mask.box.shift(-box.y0, -box.x0).slices]
        view[mask.mask & (view <= 0)] = label
    return replace(example, labels=labels, box=None if example.box is None else box)
