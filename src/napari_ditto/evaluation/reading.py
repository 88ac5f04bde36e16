"""Pairs of images and masks from folders, checked before anything is measured."""

from __future__ import annotations

from collections.abc import Iterator
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
        shape = _levels(self.mask)[0].shape
        raw = _levels(self.image)[0]
        return _channels_last(self, np.asarray(_plane(raw, self.plane, shape)), shape[-2:])

    def read_mask(self) -> NDArray[np.int64]:
        """Return the ids, shape (h, w)."""
        raw = _levels(self.mask)[0]
        return _whole(self.mask, np.asarray(_plane(raw, self.plane, raw.shape)))


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
    shape = _levels(mask)[0].shape
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


def _checked(picture: Picture, shape: tuple[int, ...]) -> Picture:
    _axes(picture, _levels(picture.image)[0].shape, shape)
    return picture


def _axes(picture: Picture, image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    spatial = len(mask)
    fits = image == mask or (
        len(image) == spatial + 1 and mask in (image[:-1], image[1:], image[:1] + image[2:])
    )
    if not fits:
        raise SourceError(
            f"an image of shape {image} does not fit its mask of shape {mask}",
            where=str(picture.image),
        )


def _levels(path: Path) -> tuple[Any, ...]:
    return open_path(path).levels


def _plane(raw: Any, plane: int | None, mask: tuple[int, ...]) -> Any:  # noqa: ANN401
    if plane is None:
        return raw[...]
    return raw[plane] if raw.shape[0] == mask[0] else raw[:, plane]


def _channels_last(picture: Picture, pixels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if pixels.shape == shape:
        return pixels
    if pixels.shape[:2] != shape:
        pixels = np.moveaxis(pixels, 0, -1)
    bands = picture.bands or tuple(range(min(3, pixels.shape[-1])))
    picked = pixels[..., bands]
    return picked[..., 0] if len(bands) < 3 else picked


def _whole(path: Path, ids: NDArray[Any]) -> NDArray[np.int64]:
    if ids.dtype.kind == "f" and not (np.isfinite(ids).all() and (ids == np.rint(ids)).all()):
        raise SourceError("a mask must hold whole numbers", where=str(path))
    if ids.dtype.kind not in "biuf" or (ids.dtype.kind in "if" and ids.size and ids.min() < 0):
        raise SourceError("a mask must hold whole numbers, 0 and above", where=str(path))
    return ids.astype(np.int64)
