"""Objects from COCO instance annotations: polygons, and run lengths compressed or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.run_lengths import decode, mask_of
from napari_ditto.data.checked import Facts, Misfit, parse
from napari_ditto.data.exporting.coco import UNNAMED
from napari_ditto.data.importing.foreign import (
    LARGEST_FILE,
    MOST_SHAPES,
    Foreign,
    Shape,
    index_from,
    label_from,
    plain_grid,
    ring_of,
    score_from,
)
from napari_ditto.errors import SourceError

LARGEST_PLANE = 1 << 28
"""Pixels of an image whose run lengths are decoded."""

Images = dict[int, tuple[tuple[tuple[str, int], ...], tuple[int, int]]]
"""Plane and size by the number of the image."""


def read(path: Path, image: str = "") -> Foreign:
    """Return the objects of one image.

    Parameters
    ----------
    path : Path
        The annotations.
    image : str
        Name of the image's file, for annotations of several images.

    Raises
    ------
    SourceError
        If it is no COCO, or not told of which image.
    """
    try:
        told = parse(read_plain(path, LARGEST_FILE))
        images, shape = _images(told, image)
        names = {c.whole("id"): c.text("name") for c in told.rows("categories", MOST_SHAPES)}
        rows = told.rows("annotations", MOST_SHAPES)
        shapes = [_object(row, images, names) for row in rows if row.whole("image_id") in images]
        axes = tuple(axis for axis, _ in next(iter(images.values()))[0])
        return Foreign(shapes, grid=plain_grid((*axes, "y", "x"), shape))
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise SourceError(
            f"this COCO file cannot be read: {getattr(error, 'strerror', None) or error}",
            where=str(path),
        ) from error


def _images(told: Facts, wanted: str) -> tuple[Images, tuple[int, ...]]:
    """Return the planes of one image, and the shape of all of them together."""
    rows = told.rows("images", MOST_SHAPES)
    named = [row for row in rows if not wanted or row.text("file_name", "") == wanted]
    rows = named or (rows if len(rows) == 1 else [])
    if not rows or (len({row.text("file_name", "") for row in rows}) > 1):
        names = ", ".join(sorted({r.text("file_name", "") for r in told.rows("images")})[:3])
        raise Misfit(f"it is about several images ({names}, ...); give the image by its name")
    found: Images = {}
    for row in rows:
        index = index_from(row.facts("plane").told, ("t", "z", *row.facts("plane").told))
        size = row.whole("height", 1), row.whole("width", 1)
        found[row.whole("id")] = (tuple(dict(index).items()), size)
    axes = {tuple(axis for axis, _ in index) for index, _ in found.values()}
    sizes = {size for _, size in found.values()}
    if len(axes) != 1 or len(sizes) != 1 or len({i for i, _ in found.values()}) != len(found):
        raise Misfit("its images are no planes of one stack")
    ends = zip(*([i for _, i in index] for index, _ in found.values()), strict=True)
    return found, (*(max(end) + 1 for end in ends), *sizes.pop())


def _object(row: Facts, images: Images, names: Mapping[int, str]) -> Shape:
    index, size = images[row.whole("image_id")]
    kind = names.get(row.whole("category_id"), "") if "category_id" in row else ""
    about: dict[str, Any] = {
        "label": label_from(row.told.get("label")),
        "kind": "" if kind == UNNAMED else kind,
        "score": score_from(row.told.get("score")),
        "index": index,
    }
    outline = row.told.get("segmentation")
    if isinstance(outline, list):
        return Shape(tuple((_ring(flat),) for flat in outline), **about)
    counts = Facts(outline, "segmentation").told.get("counts")
    if tuple(Facts(outline).wholes("size", 2)) != size or size[0] * size[1] > LARGEST_PLANE:
        raise Misfit("a mask is not of the image's size, or too large")
    runs = decode(counts) if isinstance(counts, str) else _runs(counts)
    return Shape(placed=mask_of(runs, size), **about)


def _ring(flat: object) -> Any:  # noqa: ANN401
    if not isinstance(flat, list) or len(flat) % 2:
        raise Misfit("a polygon is no list of numbers")
    return ring_of([flat[i : i + 2] for i in range(0, len(flat), 2)])


def _runs(counts: object) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not isinstance(counts, list) or not all(type(n) is int and 0 <= n < 2**62 for n in counts):
        raise Misfit("run lengths are whole numbers")
    return np.array(counts, dtype=np.int64)
