"""Whole images: "segment everything", and "more like this" after one labelled image."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like
from napari_ditto.engine.everything import segment_all
from napari_ditto.evaluation.cases import objects
from napari_ditto.evaluation.metrics import accuracy, match_ious, mean_accuracy
from napari_ditto.evaluation.reading import Picture, find_pictures
from napari_ditto.evaluation.sets import EvalSet
from napari_ditto.models.protocols import ContextModel, PromptModel


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image and one model.

    Attributes
    ----------
    group, image, model, task : str
        Set, image, model; ``everything`` or ``like``.
    objects, found : int
        True objects, and those of the model.
    ap50, msa : float
        TP / (TP + FP + FN) at IoU .5, and its mean over IoU .50, .55 to .95.
    """

    group: str
    image: str
    model: str
    task: str
    objects: int
    found: int
    ap50: float
    msa: float


def spread(pictures: Sequence[Picture], most: int) -> list[Picture]:
    """Return at most `most` pictures, evenly spread."""
    places = np.linspace(0, len(pictures) - 1, min(most, len(pictures)))
    return [pictures[round(k)] for k in places.tolist()]


def measure_everything(given: EvalSet, model: PromptModel, images: int = 10) -> Iterator[ImageRow]:
    """Yield a row per image for :func:`napari_ditto.segment_all`."""
    for picture in spread(find_pictures(given), images):
        pixels = picture.read_image()
        source = open_source(pixels, axes="yxc" if pixels.ndim == 3 else "yx")
        yield _row(given, picture, model.spec.id, "everything", segment_all(source, model))


def measure_like(
    given: EvalSet, model: ContextModel, images: int = 10, seed: int = 0
) -> Iterator[ImageRow]:
    """Yield a row per image for :func:`napari_ditto.segment_like` with objects.

    The one example is another image of the same size, drawn with a seed; images that are alone in
    their size are left out.
    """
    pictures = find_pictures(given)
    sizes = {p: p.read_mask().shape for p in pictures}
    for picture in spread(pictures, images):
        others = [p for p in pictures if p != picture and sizes[p] == sizes[picture]]
        if others:
            name = zlib.crc32(f"{given.name}/{picture.name}".encode())
            other = others[int(np.random.default_rng([seed, name]).integers(len(others)))]
            pixels = picture.read_image()
            source = open_source(pixels, axes="yxc" if pixels.ndim == 3 else "yx")
            shown = other.read_image(), objects(given, other.read_mask())
            found = segment_like(source, [shown], model, instances=True)
            yield _row(given, picture, model.spec.id, "like", found)


def _row(
    given: EvalSet, picture: Picture, model: str, task: str, found: NDArray[np.integer]
) -> ImageRow:
    truth = objects(given, picture.read_mask())
    ious = match_ious(found, truth)
    return ImageRow(
        given.name,
        picture.name,
        model,
        task,
        ious.shape[0],
        ious.shape[1],
        accuracy(ious, 0.5),
        mean_accuracy(ious),
    )
