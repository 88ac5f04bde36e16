"""Single objects of the examples' kind: found by the model itself, judged by the map of the kind.

What the model suggests of itself is kept where the kind is likely and the size is as in the
examples. Where the map shows the kind and nothing was found, the ground is parted at its waists and
between the model's centres, and each piece becomes a prompt: a point first, and where that finds
nothing and the map is sure, its box and shape. What is found twice is kept once, the surest first,
as in "segment everything".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, Frame, MaskPrompt, PointPrompt, PromptSet
from napari_ditto.core.tiling import Tile
from napari_ditto.engine.candidates import Settings, choose, decode_all
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.everything import Sweep, paint
from napari_ditto.models.protocols import AutoPromptModel, PromptModel

Map = NDArray[np.float32]

APART = 0.6
"""Least distance of two objects' middles, in radii of the examples' smaller objects."""

CENTERS = 1.0
"""Weight of the model's centres against the depth of a pixel in its piece, in typical radii."""

SMALLEST = 0.3
"""Least area of an object, in areas of the examples' smaller objects."""

LARGEST = 4.0
"""Greatest area of an object, in areas of the examples' larger objects."""

LEAST_SHARE, MOST_SHARE = 0.15, 0.5
"""Bounds of the least mean probability of the kind inside a mask, see :func:`veto`.

Objects dimmer than the examples have as little as .13 on held-out training images: at .5 a third
of the fluorescent nuclei is lost.
"""

ABOVE_OTHERS = 1.25
"""How much likelier than anything that the examples show beside the kind a mask must be.

With blobs of two brightnesses, textures, rims or colours, all 20 of the kind are found with and
without it, and of the 20 others 15 without and 2 with it, in the mean.
"""

LEAST_SCORE = 0.5
"""Least IoU by the model's own estimate."""

LEAST_FREE = 0.5
"""A piece of the map is asked about if so much of it is not yet painted."""

SURE_SHARE, SURE_CONTRAST = 0.7, 0.5
"""Least mean probability of a piece that is asked about by its shape, and least contrast.

An answer to a box is good where there is an object and as confident where there is none: with six
coins as the only example in turn, 21.3 of 24 are found with and 19.7 without it, but the accuracy
at IoU .5 on training nuclei falls from .826 to .796 if every piece is asked about so, and to .813
with these limits.
"""

CONTRAST = 0.3
"""How much of the score goes with the contrast of the kind to a ring around the mask."""

COVERED = 0.8
"""A window shows background if so much of it is known to be."""

GUESSED = 16
"""Pixels of the smallest piece of a map that is taken for an object."""

RING = 0.2
"""Width of the ring, in radii of the mask."""


@dataclass(frozen=True)
class Sizes:
    """Areas of the examples' objects, pixels, that a fifth, half, four fifths are smaller than."""

    small: float
    typical: float
    large: float

    @classmethod
    def of(cls, labels: Sequence[NDArray[np.integer]]) -> Sizes | None:
        """Measure the objects of label images, None if there is no object."""
        counts = [np.unique(x[x > 0], return_counts=True)[1] for x in labels]
        return cls._of_areas(np.concatenate(counts)) if any(map(len, counts)) else None

    @classmethod
    def guess(cls, probability: Map) -> Sizes:
        """Measure the connected pieces of a map, where no object is known."""
        from scipy.ndimage import label

        areas = np.bincount(label(probability > 0.5)[0].ravel())[1:]
        return cls._of_areas(areas[areas >= GUESSED] if (areas >= GUESSED).any() else np.ones(1))

    @classmethod
    def _of_areas(cls, areas: NDArray[np.number]) -> Sizes:
        return cls(*(float(q) for q in np.quantile(areas, (0.2, 0.5, 0.8))))


@dataclass(frozen=True, eq=False)
class Piece:
    """One object as the maps show it, and a point deep inside."""

    mask: PlacedMask
    point: tuple[int, int]

    @property
    def by_point(self) -> PromptSet:
        """What the decoder is asked first, pixels of the plane."""
        point = PointPrompt(float(self.point[0]), float(self.point[1]))
        return PromptSet((point,), diameter=float(max(self.mask.box.shape)))

    @property
    def by_shape(self) -> PromptSet:
        """What the decoder is asked where the point did not do, pixels of the plane."""
        box = self.mask.box
        frame = BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)
        return PromptSet(box=frame, mask=MaskPrompt(box, self.mask.mask))

    def shifted(self, dy: int, dx: int) -> Piece:
        """Return the piece moved by whole pixels."""
        y, x = self.point
        return Piece(replace(self.mask, box=self.mask.box.shift(dy, dx)), (y + dy, x + dx))


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
            yield Piece(PlacedMask(box, own), (int(y) + box.y0, int(x) + box.x0))


def veto(chances: Sequence[Map], labels: Sequence[NDArray[np.integer]], sizes: Sizes) -> float:
    """Return the least mean probability of the kind that a mask must have.

    It lies above that of any window of half an object's size that the examples show as background,
    so objects of a similar kind are told apart as well as they are in the examples.

    Parameters
    ----------
    chances : sequence of ndarray of float32, shape (h, w)
        The kind's probability in tiles of the examples.
    labels : sequence of ndarray of int, shape (h, w)
        What is known of these tiles: 0 is background.
    sizes : Sizes
        Of the examples' objects.
    """
    from scipy.ndimage import uniform_filter

    side, likeliest = max(3, int(np.sqrt(sizes.small / 2))), 0.0
    for chance, label in zip(chances, labels, strict=True):
        ground = (label == 0).astype(np.float32)
        part = uniform_filter(ground, side, mode="constant")
        mean = uniform_filter(chance * ground, side, mode="constant")
        known = part >= COVERED
        likeliest = max(likeliest, float((mean[known] / part[known]).max(initial=0.0)))
    return float(np.clip(ABOVE_OTHERS * likeliest, LEAST_SHARE, MOST_SHARE))


@dataclass(frozen=True, eq=False)
class Kind:
    """Judges masks by the map of the examples' kind and by the sizes of the examples.

    Attributes
    ----------
    probability : ndarray of float32, shape ``box.shape``
        Of the kind.
    box : Box
        Where the map lies in the plane; nothing outside of it is wanted.
    sizes : Sizes
        Of the examples' objects.
    least : float
        Least mean probability inside a mask.
    """

    probability: Map
    box: Box
    sizes: Sizes
    least: float = LEAST_SHARE

    def __call__(self, mask: PlacedMask) -> float:
        """Return the mask's score weighted by its share of the kind, 0 if it is of another."""
        area = mask.area
        if not SMALLEST * self.sizes.small <= area <= LARGEST * self.sizes.large:
            return 0.0
        inside = self._inside(mask)
        if inside < self.least:
            return 0.0
        contrast = max(0.0, 1 - self._around(mask) / inside)
        return float(mask.score * np.sqrt(inside) * (1 - CONTRAST + CONTRAST * contrast))

    def strict(self, mask: PlacedMask) -> float:
        """Return the same for a mask that is surely of the kind, 0 for any other."""
        inside = self._inside(mask)
        sure = inside >= SURE_SHARE and self._around(mask) <= (1 - SURE_CONTRAST) * inside
        return self(mask) if sure else 0.0

    def _inside(self, mask: PlacedMask) -> float:
        """Return the mean probability in a mask, 0 outside of the map."""
        shown = mask.in_box(self.box.intersect(mask.box))
        return float(self._map(mask.box)[shown].mean()) if shown.any() else 0.0

    def _around(self, mask: PlacedMask) -> float:
        """Return the mean probability in a ring around a mask."""
        from scipy.ndimage import distance_transform_edt

        width = 1 + int(RING * np.sqrt(mask.area / np.pi))
        box = mask.box.grow(width).intersect(self.box)
        away = distance_transform_edt(~mask.in_box(box))
        ring = (away > 0) & (away <= width)
        return float(self._map(box)[ring].mean()) if ring.any() else 0.0

    def _map(self, box: Box) -> Map:
        """Return the part of the map that lies in a box of the plane."""
        return self.probability[box.intersect(self.box).shift(-self.box.y0, -self.box.x0).slices]


def objects_steps(
    encoder: TileEncoder,
    address: PlaneAddress,
    box: Box,
    probability: Map,
    center: Map | None,
    sizes: Sizes,
    least_share: float = LEAST_SHARE,
) -> Generator[Progress, None, tuple[list[PlacedMask], Settings]]:
    """Return the objects of a kind, also those found twice, and what tells them apart.

    What the model suggests of itself comes first; pieces of the map that are still free are asked
    about one by one. A model without prompts has the pieces themselves for objects.

    Parameters
    ----------
    encoder : TileEncoder
        Of the image and the model.
    address : PlaneAddress
        The plane.
    box : Box
        The part of the plane to be done.
    probability, center : ndarray of float32, shape ``box.shape``
        Of the kind, and of centres of objects where the model sees them.
    sizes : Sizes
        Of the examples' objects.
    least_share : float
        Least mean probability inside an object.
    """
    least = max(1, int(SMALLEST * sizes.small))
    settings = Settings(min_area=least, score_threshold=LEAST_SCORE)
    kind = Kind(probability, box, sizes, least_share)
    numbered, height = part(probability, center, sizes)
    found = [p.shifted(box.y0, box.x0) for p in pieces(numbered, height, sizes)]
    if not isinstance(encoder.model, PromptModel):
        return [replace(p.mask, score=kind(p.mask)) for p in found], settings
    sweep = Sweep(encoder, address, box, settings, kind)
    if isinstance(encoder.model, AutoPromptModel):
        yield from sweep.find()
        yield from sweep.follow()
    missed = _not_found(found, sweep)
    yield from _ask_steps(sweep, missed, [p.by_point for p in missed])
    yield from sweep.follow()
    sweep.judge = kind.strict
    missed = _not_found([p for p in missed if kind.strict(p.mask)], sweep)
    yield from _ask_steps(sweep, missed, [p.by_shape for p in missed])
    yield from sweep.follow()
    yield Progress("merge", 0, 1, "painting labels")
    return sweep.finished, settings


def _not_found(found: Sequence[Piece], sweep: Sweep) -> list[Piece]:
    """Return the pieces that are not painted yet."""
    box = sweep.box
    free = paint(sweep.finished, box, sweep.settings)[0] == 0
    parts = (free[p.mask.box.shift(-box.y0, -box.x0).slices][p.mask.mask].mean() for p in found)
    return [p for p, part in zip(found, parts, strict=True) if part >= LEAST_FREE]


def _ask_steps(
    sweep: Sweep, missed: Sequence[Piece], prompts: Sequence[PromptSet]
) -> Generator[Progress, None, None]:
    """Ask the model about pieces of the map; keep the answers that are of the kind."""
    groups: dict[Tile, list[PromptSet]] = defaultdict(list)
    for piece, prompt in zip(missed, prompts, strict=True):
        groups[sweep.grid.nearest(*piece.mask.box.center)].append(prompt)
    done = 0
    for tile, group in groups.items():
        yield Progress("decode", done, len(missed), f"object {done + 1} of {len(missed)}")
        (embedding,) = yield from sweep.encoder.embed_steps(sweep.address, [tile])
        frame = Frame(origin=(tile.box.y0, tile.box.x0))
        asked = [prompt.to_frame(frame) for prompt in group]
        answers = decode_all(sweep.model, embedding, asked, every=False)
        sweep.keep(list(choose(answers, tile, sweep.grid, sweep.settings, sweep.judge)))
        done += len(group)
