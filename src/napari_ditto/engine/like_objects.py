"""Single objects out of a map of their kind, each outlined by the model's own decoder.

Where the examples' kind is likely, the ground is parted at its waists and between the model's
centres. Each piece becomes a prompt, a point and a box; what the decoder answers is averaged with
the map of the kind, so that a wrong answer cannot lead far and a good one sharpens the outline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, Frame, PointPrompt, PromptSet
from napari_ditto.core.routing import translate
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.models.protocols import PromptModel

Map = NDArray[np.float32]

APART = 0.6
"""Least distance of two objects' middles, in radii of the examples' smaller objects."""

CENTERS = 1.0
"""Weight of the model's centres against the depth of a pixel in its piece, in typical radii."""

SMALLEST = 0.3
"""Least area of an object, in areas of the examples' smaller objects."""

MARGIN = 0.3
"""How far a mask may leave the box of its piece, in sides of the box."""

AT_ONCE = 16
TRUST = 0.5
"""Weight of the decoder's answer against the map of the kind."""


@dataclass(frozen=True)
class Sizes:
    """Areas of the examples' objects, pixels: the fifth part is smaller, and half of them."""

    small: float
    typical: float

    @classmethod
    def of(cls, labels: Sequence[NDArray[np.integer]]) -> Sizes:
        """Measure the objects of label images."""
        counts = [np.unique(x[x > 0], return_counts=True)[1] for x in labels]
        areas = np.concatenate(counts)
        return cls(float(np.quantile(areas, 0.2)), float(np.median(areas)))


@dataclass(frozen=True)
class Piece:
    """One object as the maps show it: its number, its box and a point deep inside."""

    number: int
    box: Box
    point: tuple[int, int]

    @property
    def prompt(self) -> PromptSet:
        """What the decoder is asked, pixels of the plane."""
        b = self.box
        said = BoxPrompt(b.y0 - 0.5, b.x0 - 0.5, b.y1 - 0.5, b.x1 - 0.5)
        return PromptSet((PointPrompt(float(self.point[0]), float(self.point[1])),), box=said)


def part(probability: Map, center: Map | None, sizes: Sizes) -> tuple[NDArray[np.int32], Map]:
    """Return pieces, numbered from 1, and the height whose maxima they surround.

    Parameters
    ----------
    probability : ndarray of float32, shape (h, w)
        Of the objects' kind.
    center : ndarray of float32, shape (h, w), optional
        Where the model sees centres of objects.
    sizes : Sizes
        Of the examples' objects.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, label
    from skimage import feature, segmentation

    inside = probability > 0.5
    radius = np.sqrt(sizes.typical / np.pi)
    height = gaussian_filter(distance_transform_edt(inside), 1.0) / radius
    if center is not None:
        height = height + CENTERS * gaussian_filter(center, max(1.0, radius / 8))
    height = np.asarray(height, np.float32)
    apart = max(2, int(APART * np.sqrt(sizes.small / np.pi)))
    peaks = feature.peak_local_max(  # type: ignore[no-untyped-call]
        height, min_distance=apart, labels=label(inside)[0], exclude_border=False
    )
    markers = np.zeros(inside.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = segmentation.watershed(-height, markers, mask=inside)  # type: ignore[no-untyped-call]
    return np.asarray(found, dtype=np.int32), height


def pieces(numbered: NDArray[np.int32], height: Map, sizes: Sizes) -> Iterator[Piece]:
    """Yield the pieces that are not too small to be objects."""
    from scipy.ndimage import find_objects

    for number, window in enumerate(find_objects(numbered), 1):
        own = numbered[window] == number
        if np.count_nonzero(own) >= SMALLEST * sizes.small:
            y, x = np.unravel_index(np.where(own, height[window], -1).argmax(), own.shape)
            rows, columns = window
            box = Box(rows.start, columns.start, rows.stop, columns.stop)
            yield Piece(number, box, (int(y) + box.y0, int(x) + box.x0))


def outline_steps(
    encoder: TileEncoder,
    model: PromptModel,
    address: PlaneAddress,
    numbered: NDArray[np.int32],
    wanted: Sequence[Piece],
    probability: Map,
) -> Generator[Progress, None, NDArray[np.uint32]]:
    """Return the pieces with the outlines on which map and decoder agree."""
    best = np.full(probability.shape, 0.5, np.float32)
    labels = np.zeros(probability.shape, np.uint32)
    groups = _by_tile(wanted, Grid(probability.shape, encoder.tile_size))
    done = 0
    for tile, group in groups.items():
        (embedding,) = yield from encoder.embed_steps(address, [tile])
        frame = Frame(origin=(tile.box.y0, tile.box.x0))
        for start in range(0, len(group), AT_ONCE):
            yield Progress("decode", done, len(wanted), f"object {done + 1} of {len(wanted)}")
            some = group[start : start + AT_ONCE]
            asked = [translate(p.prompt.to_frame(frame), model.spec.capabilities) for p in some]
            decoded = model.decode(embedding, asked)
            for piece, logits, choice in zip(some, decoded.logits, decoded.best, strict=True):
                _paint(piece, logits[choice], tile, numbered, probability, best, labels)
            done += len(some)
    return labels


def _by_tile(wanted: Sequence[Piece], grid: Grid) -> dict[Tile, list[Piece]]:
    groups: dict[Tile, list[Piece]] = defaultdict(list)
    for piece in wanted:
        groups[grid.nearest(*piece.box.center)].append(piece)
    return groups


def _paint(
    piece: Piece,
    logits: Map,
    tile: Tile,
    numbered: NDArray[np.int32],
    probability: Map,
    best: Map,
    labels: NDArray[np.uint32],
) -> None:
    """Paint one object where it is surer than its rivals."""
    labels[piece.box.slices][numbered[piece.box.slices] == piece.number] = piece.number
    margin = int(MARGIN * max(piece.box.shape)) + 1
    window = piece.box.grow(margin).intersect(tile.box)
    view = window.slices
    labels[view][labels[view] == piece.number] = 0  # beyond the tile only the map has a say
    answer = logits[window.shift(-tile.box.y0, -tile.box.x0).slices]
    chance = 1 / (1 + np.exp(-np.clip(answer, -20, 20)))
    others = (numbered[view] != 0) & (numbered[view] != piece.number)
    kind = np.where(others, 1 - probability[view], probability[view])
    joined = TRUST * chance + (1 - TRUST) * kind
    mine = joined > best[view]
    best[view][mine] = joined[mine]
    labels[view][mine] = piece.number
