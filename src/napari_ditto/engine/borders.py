"""What borders of the user's objects look like, learnt from the planes that the user has labelled.

Borders are one more class to a model that learns from examples. Whether it has learnt anything is
tested on the same planes: labels that were blurred and moved must come back nearer to the truth.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.bounded import Bounded
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.numbering import boxes
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Seen
from napari_ditto.core.settling import settle
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.core.transfer import Transfer
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.recalling import recall_steps, tile_steps
from napari_ditto.models.protocols import UNKNOWN, ContextMap, ContextModel, Example, Memory

Floats = NDArray[np.float32]

NEAR = 12
"""Pixels around the objects where it is known that there is no other border."""

MOVED = 2
"""Rows and columns by which labels are moved for the test."""

BLURRED = 2.0
"""Standard deviation of the blur for the test, pixels."""

KEPT = 16
"""Memories of borders that are kept; anchors come and go along a stack."""

MOST_KNOWN = 8
"""Tiles of a plane whose borders are held, about 3 MB each at 512 pixels."""

Known = Bounded[Tile, ContextMap]
"""What a plane's tiles have shown."""


class Borders:
    """Learns borders once for each set of labelled planes, and sees them in others.

    Parameters
    ----------
    encoder : TileEncoder
        Reads and encodes tiles of the image.
    model : ContextModel
        The encoder's model.
    """

    def __init__(self, encoder: TileEncoder, model: ContextModel) -> None:
        self.encoder, self.model = encoder, model
        self._known: Bounded[str, Memory | None] = Bounded(KEPT)
        self._seen: tuple[PlaneAddress, Memory, Known] | None = None

    def learn_steps(self, anchors: Sequence[Seen]) -> Generator[Progress, None, Memory | None]:
        """Return what borders look like, None if that cannot be learnt here."""
        labelled = [a for a in anchors if a.labels.any()]
        key = "".join(sorted(a.digest for a in labelled))
        if labelled and key not in self._known:
            self._known[key] = yield from self._learn(labelled)
        return self._known.get(key)

    def see_steps(
        self, address: PlaneAddress, memory: Memory, box: Box
    ) -> Generator[Progress, None, Floats]:
        """Return how likely each pixel of a box is on a border."""
        found, _ = yield from recall_steps(self.encoder, self.model, memory, address, box)
        return np.asarray(found[0], np.float32)

    def see(self, address: PlaneAddress, memory: Memory, boxes: Sequence[Box]) -> list[Floats]:
        """Return what :meth:`see_steps` does for some boxes of a plane; for one thread only."""
        known = self._known_of(address, memory)
        steps = (
            recall_steps(self.encoder, self.model, memory, address, box, known) for box in boxes
        )
        return [np.asarray(drain(one)[0][0], np.float32) for one in steps]

    def foresee(self, address: PlaneAddress, memory: Memory, boxes: Sequence[Box]) -> None:
        """Do what :meth:`see` will need, as far as it can be kept."""
        known = self._known_of(address, memory)
        grid = Grid(self.encoder.source.plane_shape(address), self.encoder.tile_size)
        tiles = dict.fromkeys(tile for box in boxes for tile in grid.covering(box))
        for tile in list(tiles)[:MOST_KNOWN]:
            drain(tile_steps(self.encoder, self.model, memory, address, tile, known))

    def _known_of(self, address: PlaneAddress, memory: Memory) -> Known:
        if self._seen is None or self._seen[0] != address or self._seen[1] is not memory:
            self._seen = address, memory, Bounded(MOST_KNOWN)
        return self._seen[2]

    def _learn(self, anchors: Sequence[Seen]) -> Generator[Progress, None, Memory | None]:
        examples = []
        for seen in anchors:
            known = border_labels(seen.labels)
            grid = Grid(known.shape, self.encoder.tile_size, 0)
            for tile in grid.touching(bounding_box(known != UNKNOWN)):
                (embedding,) = yield from self.encoder.embed_steps(seen.address, [tile])
                examples.append(Example(embedding, known[tile.box.slices]))
        yield Progress("encode", 0, 0, "learning what borders look like")
        memory = self.model.remember(examples)
        gain = 0.0
        for seen in anchors:
            box = (
                bounding_box(seen.labels > 0).grow(NEAR).intersect(Box.of_shape(seen.labels.shape))
            )
            borders = yield from self.see_steps(seen.address, memory, box)
            gain += restored(seen.labels[box.slices], borders)
        return memory if gain > 0 else None


def border_labels(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return 1 on borders of labels, 0 near them, and UNKNOWN elsewhere."""
    from scipy.ndimage import binary_dilation
    from skimage.segmentation import find_boundaries

    borders = find_boundaries(labels, mode="thick")  # type: ignore[no-untyped-call]
    near = binary_dilation(labels > 0, iterations=NEAR)
    return np.where(borders, 1, np.where(near, 0, UNKNOWN)).astype(np.int64)


def restored(labels: NDArray[np.integer], borders: Floats) -> float:
    """Return how much IoU moved and blurred labels win when they settle between borders."""
    from scipy.ndimage import gaussian_filter

    plane = Box.of_shape(labels.shape)
    chances = {}
    for label, box in boxes(labels):
        around = box.grow(3 * MOVED + int(3 * BLURRED)).intersect(plane)
        mask = (labels[around.slices] == label).astype(np.float32)
        moved = np.roll(mask, (MOVED, MOVED), (0, 1))
        chances[label] = (around, np.asarray(gaussian_filter(moved, BLURRED), np.float32))
    disturbed = Transfer(chances)
    before, after = (t.paint(labels.shape) for t in (disturbed, settle(disturbed, borders)))
    return float(np.mean([_iou(after, labels, n) - _iou(before, labels, n) for n in chances]))


def _iou(found: NDArray[np.integer], true: NDArray[np.integer], label: int) -> float:
    a, b = found == label, true == label
    return float((a & b).sum() / max(1, (a | b).sum()))
