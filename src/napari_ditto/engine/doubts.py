"""Which accepted objects want a second look, the most doubtful first."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt
from napari_ditto.data.arrays import wrap
from napari_ditto.data.object_extents import Extents, scan
from napari_ditto.data.object_records import ObjectRecord, ObjectTable
from napari_ditto.engine.objects import LabelImage

SMALL, LARGE = 0.25, 4.0
"""Parts of the usual size below and above which an object is odd."""

AT_BORDER, ODD_SIZE, IN_PIECES = 0.95, 0.6, 0.5
"""What such a sign leaves of the confidence in an object."""

MOST_IN_PIECES = 2000
"""So many objects, the most doubtful ones, are looked at for pieces."""

LARGEST_BOX = 1 << 22


def find_doubts(
    image: LabelImage, table: ObjectTable, plane: PlaneAddress, found: Extents | None = None
) -> Generator[Progress, None, tuple[Doubt, ...]]:
    """Return the objects about which something speaks against them, the worst first.

    The confidence in an object is its score when it was accepted, 1 if it has none, less for each
    sign that something is wrong: it touches the border of the image, it is a quarter as large as
    usual (the median) or four times as large, or it is in several pieces.

    Parameters
    ----------
    image : LabelImage
        The labels.
    table : ObjectTable
        What is known of the objects.
    plane : PlaneAddress
        How planes are looked at; each doubt names the middle one of its object.
    found : Extents, optional
        Where the objects are, if that is known.
    """
    if found is None:
        found = yield from scan(wrap(image.store.data, "labels"), image.axes)
    usual = float(np.median(found.counts)) if found.ids.size else 0.0
    doubts = [_doubt(found, i, image, table, usual, plane) for i in range(found.ids.size)]
    order = sorted(range(len(doubts)), key=lambda i: doubts[i].confidence)
    for done, i in enumerate(order[:MOST_IN_PIECES]):
        if done % 50 == 0:
            yield Progress("read", done, len(order), "looking for pieces")
        pieces = _pieces(found, i, image)
        if pieces > 1:
            worse = doubts[i].confidence * IN_PIECES
            doubts[i] = replace(
                doubts[i],
                confidence=worse,
                reasons=(*doubts[i].reasons, f"in {pieces} pieces"),
            )
    return tuple(sorted((d for d in doubts if d.confidence < 1), key=lambda d: d.confidence))


def _doubt(
    found: Extents,
    row: int,
    image: LabelImage,
    table: ObjectTable,
    usual: float,
    plane: PlaneAddress,
) -> Doubt:
    label, count = int(found.ids[row]), float(found.counts[row])
    low, high = found.low[row], found.high[row]
    record = table.records.get(label, ObjectRecord(label))
    score = 1.0 if record.score is None or record.by_hand else min(1.0, record.score)
    signs = [(f"score {score:.2f}", score)] if score < 1 else []
    sides = zip(low[-2:], high[-2:], image.store.shape[-2:], strict=True)
    if any(a == 0 or b == n for a, b, n in sides):
        signs.append(("at the border", AT_BORDER))
    if count < SMALL * usual:
        signs.append(("small", ODD_SIZE))
    if count > LARGE * usual:
        signs.append(("large", ODD_SIZE))
    middle = dict(zip(image.axes, ((low + high - 1) // 2).tolist(), strict=True))
    reasons = tuple(text for text, _ in signs)
    return Doubt(plane.with_index(middle), label, math.prod(share for _, share in signs), reasons)


def _pieces(found: Extents, row: int, image: LabelImage) -> int:
    from scipy.ndimage import label

    box = found.index(row)
    if math.prod(s.stop - s.start for s in box) > LARGEST_BOX:
        return 1
    mask = wrap(image.store.data, "labels").read(box) == found.ids[row]
    return int(label(mask, structure=np.ones((3,) * mask.ndim))[1])
