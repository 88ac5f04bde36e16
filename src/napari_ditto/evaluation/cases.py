"""Objects to be segmented, each in the tile that a model sees, with its simulated prompts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import PromptSet
from napari_ditto.data.source import open_source
from napari_ditto.evaluation.clicks import centre_click, exact_box, noisy_box, random_click
from napari_ditto.evaluation.reading import Picture, find_pictures
from napari_ditto.evaluation.sets import EvalSet

TILE = 512
LEAST_AREA = 30
"""Pixels of the smallest object that is measured."""

JITTER, NOISE = 0.07, 0.10
"""How far the edges of the boxes "box" and "box_10" are off, as a part of the side."""


@dataclass(frozen=True, slots=True)
class Target:
    """One object of a set.

    Attributes
    ----------
    picture : Picture
        Where it is.
    number : int
        Its component, counted from 1.
    box : Box
        Around it, pixels of the image.
    """

    picture: Picture
    number: int
    box: Box


@dataclass(frozen=True, eq=False)
class Case:
    """One object in its tile.

    Attributes
    ----------
    group, picture : str
        Names of the set and of the image.
    number : int
        The object's component.
    view : (Box, int)
        The window of the image that became the tile, and how many times it was reduced.
    tile : ndarray of float32, shape (h, w, 3)
        As the engine gives it to a model.
    truth : ndarray of bool, shape (h, w)
        The object.
    area : int
        Pixels of the object in the image.
    nested : bool
        Whether it lies in another labelled object.
    prompts : dict of str to PromptSet
        ``click``, ``centre``, ``box``, ``box_exact``, ``box_10``, in pixels of the tile.
    """

    group: str
    picture: str
    number: int
    view: tuple[Box, int]
    tile: NDArray[np.float32]
    truth: NDArray[np.bool_]
    area: int
    nested: bool
    prompts: dict[str, PromptSet]

    @property
    def diameter(self) -> float:
        """Diameter of the disc of the same area, pixels of the image."""
        return float(2 * np.sqrt(self.area / np.pi))


def objects(given: EvalSet, ids: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the connected components of every id (or of the target class), counted from 1."""
    from skimage.measure import label

    wanted = ids != 0 if given.target is None else ids == given.target
    if given.ignore is not None:
        wanted &= ids != given.ignore
    parts = label(np.where(wanted, ids, 0), connectivity=2)  # type: ignore[no-untyped-call]
    return np.asarray(parts, dtype=np.int32)


@lru_cache(maxsize=64)
def choose(given: EvalSet, most: int, seed: int = 0) -> tuple[Target, ...]:
    """Return at most `most` objects of a set, spread evenly over its images, sorted by image."""
    rng = np.random.default_rng([seed, zlib.crc32(given.name.encode())])
    ranked: list[tuple[int, float, Target]] = []
    for picture in find_pictures(given):
        found = _targets(given, picture)
        turn = float(rng.random())
        order = rng.permutation(len(found)).tolist()
        ranked += [(rank, turn, found[k]) for rank, k in enumerate(order)]
    ranked.sort(key=lambda entry: entry[:2])
    chosen = [target for _, _, target in ranked[:most]]
    return tuple(sorted(chosen, key=lambda t: (t.picture.name, t.number)))


def _targets(given: EvalSet, picture: Picture) -> list[Target]:
    from scipy.ndimage import find_objects

    numbered = objects(given, picture.read_mask())
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    if given.largest and sizes.any():
        sizes[np.arange(len(sizes)) != int(sizes.argmax())] = 0
    places = find_objects(numbered)
    return [
        Target(picture, k, Box(rows.start, columns.start, rows.stop, columns.stop))
        for k, (rows, columns) in enumerate(places, 1)
        if sizes[k] >= LEAST_AREA
    ]


def cases(
    given: EvalSet, targets: Sequence[Target], seed: int = 0, tile: int = TILE
) -> Iterator[Case]:
    """Yield the chosen objects with their prompts; every model gets the same ones.

    The tile is the window of at most `tile` pixels a side round the object. An object that is
    larger is seen in a window of twice its size, reduced by a whole number (means of pixels) as by
    a coarser level of a pyramid, and is scored at that level. Intensities are mapped by the
    image's own window, as :func:`napari_ditto.open_source` does it.
    """
    picture: Picture | None = None
    for target in targets:
        if target.picture != picture:
            picture = target.picture
            pixels = picture.read_image()
            numbered = objects(given, picture.read_mask())
            source = open_source(pixels, axes="yxc" if pixels.ndim == 3 else "yx")
            whole = source.read(source.plane(), Box.of_shape(numbered.shape), 0)
            seen: dict[tuple[Box, int], NDArray[np.float32]] = {}
        view = choose_view(target.box, numbered.shape, tile)
        if view not in seen:
            seen[view] = reduced(whole[view[0].slices], view[1])
        mask = numbered[view[0].slices] == target.number
        truth = reduced(mask[..., None].astype(np.float32), view[1])[..., 0] > 0.5
        yield Case(
            given.name,
            picture.name,
            target.number,
            view,
            seen[view],
            truth,
            int(np.count_nonzero(mask)),
            given.nested,
            simulate(truth, _rng(seed, given, target)),
        )


def choose_view(box: Box, shape: tuple[int, ...], tile: int = TILE) -> tuple[Box, int]:
    """Return the window of an image that shows an object, and its reduction to a tile."""
    size = max(box.shape)
    step = 1 if size <= tile else -(-2 * size // tile)
    rows = _window(box.y0, box.y1, shape[0], tile * step)
    columns = _window(box.x0, box.x1, shape[1], tile * step)
    return Box(rows[0], columns[0], rows[1], columns[1]), step


def _window(low: int, high: int, length: int, size: int) -> tuple[int, int]:
    start = int(np.clip((low + high - size) // 2, 0, max(0, length - size)))
    return start, min(length, start + size)


def reduced(pixels: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return means over squares of `step` pixels; what does not fill a square is left out."""
    if step == 1:
        return pixels
    h, w = pixels.shape[0] // step, pixels.shape[1] // step
    cut = pixels[: h * step, : w * step].reshape(h, step, w, step, -1)
    return np.asarray(cut.mean(axis=(1, 3)), dtype=np.float32)


def simulate(truth: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, PromptSet]:
    """Return the first prompts of a simulated user."""
    return {
        "click": PromptSet((random_click(truth, rng),)),
        "centre": PromptSet((centre_click(truth),)),
        "box": PromptSet(box=noisy_box(truth, JITTER, rng)),
        "box_exact": PromptSet(box=exact_box(truth)),
        "box_10": PromptSet(box=noisy_box(truth, NOISE, rng)),
    }


def _rng(seed: int, given: EvalSet, target: Target) -> np.random.Generator:
    text = f"{given.name}/{target.picture.name}/{target.number}"
    return np.random.default_rng([seed, zlib.crc32(text.encode())])
