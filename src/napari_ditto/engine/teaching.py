"""What an example teaches: which of its pixels are known, and its tiles as a model reads them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import bounding_box, place
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import open_source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.errors import SourceError
from napari_ditto.models.protocols import UNKNOWN, ContextModel, Example, PromptModel

RING = 1.0
"""How far around labelled objects of a partial example the background is known, in radii."""

SAME_SIZE = 1.1
"""Pixel sizes that differ by less than this factor are taken for equal."""

MAX_PIXELS = 1 << 26
"""Largest example that is resampled at once."""

Labels = NDArray[np.int64]


def taught(example: PlaneExample, *, instances: bool = False) -> Labels:
    """Return the labels that a model may learn from, -1 where nothing is known.

    Parameters
    ----------
    example : PlaneExample
        Its flags `ids`, `negative` and `partial` are obeyed.
    instances : bool
        Whether all labels are objects of one kind, which becomes class 1.

    Returns
    -------
    ndarray of int64, shape ``example.where.shape``
    """
    labels = np.maximum(example.labels.astype(np.int64), UNKNOWN)
    if example.ids is not None:
        labels[(labels > 0) & ~np.isin(labels, example.ids)] = UNKNOWN
    if example.negative:
        return np.where(labels > 0, 0, UNKNOWN)
    if example.partial:
        labels[(labels == 0) & ~_near(labels)] = UNKNOWN
    if instances:
        labels[labels > 0] = 1
    return labels


def object_labels(example: PlaneExample) -> Labels:
    """Return the labels of an example that are objects, 0 elsewhere."""
    labels = taught(replace(example, partial=False, negative=False))
    return np.maximum(labels, 0)


def _near(labels: Labels) -> NDArray[np.bool_]:
    """Return the pixels that are at most a radius away from their nearest object."""
    from scipy.ndimage import distance_transform_edt

    near = np.zeros(labels.shape, dtype=bool)
    objects = labels > 0
    if not objects.any():
        return near
    areas = np.unique(labels[objects], return_counts=True)[1]
    width = max(2.0, RING * float(np.sqrt(np.median(areas) / np.pi)))
    box = bounding_box(objects).grow(int(width) + 1).intersect(Box.of_shape(labels.shape))
    near[box.slices] = distance_transform_edt(~objects[box.slices]) <= width
    return near


def pixel_size(source: Source, address: PlaneAddress) -> tuple[float, float] | None:
    """Return the physical size of a plane's pixels (rows, columns), None where not known."""
    scale = dict(zip(source.axes, getattr(source, "scale", ()), strict=False))
    size = float(scale.get(address.rows, 1.0)), float(scale.get(address.columns, 1.0))
    return None if 1.0 in size or min(size) <= 0 else size


def at_pixel_size(example: PlaneExample, size: tuple[float, float] | None) -> PlaneExample:
    """Return an example with pixels of another size; itself if either size is not known.

    Pixels are averaged or interpolated, labels take the nearest. What is far from the labels is
    cut off.
    """
    own = pixel_size(example.source, example.address)
    if own is None or size is None:
        return example
    ratio = own[0] / size[0], own[1] / size[1]
    if max(*ratio, 1 / ratio[0], 1 / ratio[1]) < SAME_SIZE:
        return example
    from skimage.transform import resize

    where = example.where
    shape = tuple(max(1, round(n * r)) for n, r in zip(where.shape, ratio, strict=True))
    if max(where.area, shape[0] * shape[1]) > MAX_PIXELS:
        raise SourceError(
            f"its pixels of {own[0]:g} are to become {size[0]:g}, which makes it too large",
            where=example.name or example.source.name,
            todo="Cut out a smaller example",
        )
    pixels = example.source.read(example.address, where)
    shrinks = min(ratio) < 1
    scaled = resize(pixels, (*shape, 3), order=1, anti_aliasing=shrinks, mode="edge")  # type: ignore[no-untyped-call]
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) / r, old - 1).astype(np.intp)
        for n, r, old in zip(shape, ratio, where.shape, strict=True)
    )
    source = open_source(
        np.clip(scaled, 0, 1).astype(np.float32), axes="yxc", window=((0, 1),) * 3,
        name=example.source.name,
    )  # fmt: skip
    labels = example.labels[np.ix_(rows, columns)]
    return replace(example, source=source, address=source.plane(), labels=labels, box=None)


def tiles_of(example: PlaneExample, known: NDArray[np.bool_], size: int) -> list[Tile]:
    """Return the tiles that show what is known: one, if one shows all of it."""
    shape = example.source.plane_shape(example.address)
    corner = example.where
    box = bounding_box(known).shift(corner.y0, corner.x0)
    if box.is_empty:
        return []
    middle = Grid(shape, size).nearest(*box.center)
    return [middle] if middle.box.covers(box) else list(Grid(shape, size, 0).touching(box))


def encode_steps(
    example: PlaneExample,
    model: PromptModel | ContextModel,
    cache: EmbeddingStore | None,
    *,
    instances: bool = False,
    weight: float = 1.0,
) -> Generator[Progress, None, list[Example]]:
    """Return an example as tiles with labels; tiles without anything known are left out.

    Raises
    ------
    SourceError
        If the labels do not fit the plane.
    """
    example.check()
    labels = taught(example, instances=instances)
    encoder = TileEncoder(example.source, model, cache)
    found = []
    for tile in tiles_of(example, labels != UNKNOWN, encoder.tile_size):
        shown = np.full(tile.box.shape, UNKNOWN, dtype=np.int64)
        common = tile.box.intersect(example.where)
        shown[common.shift(-tile.box.y0, -tile.box.x0).slices] = place(
            labels, example.where, common
        )
        if (shown != UNKNOWN).any():
            (embedding,) = yield from encoder.embed_steps(example.address, [tile])
            found.append(Example(embedding, shown, weight))
    return found
