"""Pairs of images and masks from folders, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.opening import open_path
from napari_ditto.errors import SourceError
from napari_ditto.evaluation.sets import EvalSet

DARK = 100
"""A grey image whose mean is at most this (of 255) counts as dark."""


@dataclass(frozen=True)
class Picture:
    """One plane of an image with its mask, on disk.

    Attributes
    ----------
    name : str
        Stem of the file, with the plane's number where there are several.
    image, mask : Path
        The files.
    plane : int or None
        Index in a stack.
    bands : tuple of int, or None
        Channels to read.
    """

    name: str
    image: Path
    mask: Path
    plane: int | None = None
    bands: tuple[int, ...] | None = None

    def read_image(self) -> NDArray[Any]:
        """Return the pixels, shape (h, w) or (h, w, c), c at most 3."""
        mask = _shape(self.mask)
        with _opened(self.image) as raw:
            # A stack's channels may come before its planes.
            axis = 0 if raw.shape[0] == mask[0] else 1
            pixels = _read(raw, axis, self.plane)
        return _channels_last(pixels, mask[-2:], self.bands)

    def read_mask(self) -> NDArray[np.int64]:
        """Return the ids, shape (h, w)."""
        with _opened(self.mask) as raw:
            return _whole(self.mask, _read(raw, 0, self.plane))


def find_pictures(given: EvalSet) -> list[Picture]:
    """Return the pictures of a set, sorted by name; each has a mask of its size.

    Raises
    ------
    SourceError
        If a folder or a mask is missing, or a file is no image, naming it.
    """
    pictures = [p for pair in _pairs(given) for p in _planes(given, *pair)]
    if given.tone == "any":
        return pictures
    return [p for p in pictures if is_dark(p.read_image()) == (given.tone == "dark")]


def has_stacks(given: EvalSet) -> bool:
    """Whether any mask is a stack."""
    return any(len(_shape(mask)) > 2 for _, mask in _pairs(given))


def is_dark(image: NDArray[Any]) -> bool:
    """Whether an 8-bit image is grey and dark, as fluorescence is."""
    grey = image.ndim == 2 or not np.ptp(image, axis=-1).any()
    return bool(grey and image.mean() <= DARK)


def _pairs(given: EvalSet) -> Iterator[tuple[Path, Path]]:
    images, masks = _files(given.images, "images"), _files(given.masks, "masks")
    if given.pair:
        yield given.images / given.pair[0], given.masks / given.pair[1]
        return
    by_stem = {path.stem: path for path in masks}
    for image in images:
        if image.stem not in by_stem:
            raise SourceError(
                "this image has no mask",
                where=str(image),
                todo=f"Put a mask of the same name into {given.masks}",
            )
        yield image, by_stem[image.stem]


def _files(folder: Path, kind: str) -> list[Path]:
    if not folder.is_dir():
        raise SourceError(
            f"there is no folder of {kind}",
            where=str(folder),
            todo="Give a folder with images/ and masks/, or name both by --images and --masks",
        )
    found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    if not found:
        raise SourceError(f"the folder of {kind} is empty", where=str(folder))
    return found


def _planes(given: EvalSet, image: Path, mask: Path) -> Iterator[Picture]:
    shape = _shape(mask)
    if len(shape) == 2:
        yield _checked(Picture(image.stem, image, mask, None, given.bands), shape)
    elif len(shape) == 3 and shape[-1] > 4:
        for z in range(0, shape[0], given.planes):
            yield _checked(Picture(f"{image.stem}/{z}", image, mask, z, given.bands), shape)
    else:
        raise SourceError(
            f"a mask must have two axes, or three for a stack, not shape {shape}",
            where=str(mask),
            todo="Save one number per pixel: the object's id or the class",
        )


def _checked(picture: Picture, mask: tuple[int, ...]) -> Picture:
    image, spatial = _shape(picture.image), len(mask)
    fits = image == mask or (
        len(image) == spatial + 1 and mask in (image[:-1], image[1:], image[:1] + image[2:])
    )
    if not fits:
        raise SourceError(
            f"an image of shape {image} does not fit its mask of shape {mask}",
            where=str(picture.image),
        )
    return picture


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Give the finest level of an image file, and close the file."""
    opened = open_path(path)
    try:
        yield opened.levels[0]
    finally:
        if opened.close:
            opened.close()


def _shape(path: Path) -> tuple[int, ...]:
    with _opened(path) as raw:
        return tuple(raw.shape)


def _read(raw: Any, axis: int, plane: int | None) -> NDArray[Any]:  # noqa: ANN401
    """Return all of an array, or one plane along an axis."""
    index = [slice(0, n) for n in raw.shape]
    if plane is None:
        return np.asarray(raw[tuple(index)])
    index[axis] = slice(plane, plane + 1)
    return np.asarray(raw[tuple(index)]).squeeze(axis)


def _channels_last(
    pixels: NDArray[Any], shape: tuple[int, ...], bands: tuple[int, ...] | None
) -> NDArray[Any]:
    if pixels.shape == shape:
        return pixels
    if pixels.shape[:2] != shape:
        pixels = np.moveaxis(pixels, 0, -1)
    chosen = bands or tuple(range(min(3, pixels.shape[-1])))
    picked = pixels[..., chosen]
    return picked[..., 0] if len(chosen) < 3 else picked


def _whole(path: Path, ids: NDArray[Any]) -> NDArray[np.int64]:
    if ids.dtype.kind == "f" and not (np.isfinite(ids).all() and (ids == np.rint(ids)).all()):
        raise SourceError("a mask must hold whole numbers", where=str(path))
    if ids.dtype.kind not in "biuf" or (ids.dtype.kind in "if" and ids.size and ids.min() < 0):
        raise SourceError("a mask must hold whole numbers, 0 and above", where=str(path))
    return ids.astype(np.int64)
