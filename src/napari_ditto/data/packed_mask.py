"""A mask as a line of text: its box, and its pixels as deflated bits."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.masks import bounding_box
from napari_ditto.data.checked import Facts, Misfit

MAX_PIXELS = 1 << 28
_LEVEL = 1  # masks shrink well at once


@dataclass(frozen=True, slots=True)
class PackedMask:
    """Some pixels of a plane.

    Attributes
    ----------
    box : Box
        Smallest box around them; empty if there are none.
    bits : str
        Which pixels of the box, row by row, eight to a byte, deflated, in base 64; ``""`` for all.
    """

    box: Box
    bits: str = ""

    @classmethod
    def of(cls, mask: NDArray[np.bool_], box: Box) -> PackedMask:
        """Pack a mask that lies in `box` of its plane."""
        inner = bounding_box(mask)
        crop, where = mask[inner.slices], inner.shift(box.y0, box.x0)
        if crop.all():
            return cls(where)
        packed = zlib.compress(np.packbits(crop).tobytes(), _LEVEL)
        return cls(where, base64.b64encode(packed).decode("ascii"))

    def unpack(self) -> NDArray[np.bool_]:
        """Return the mask, shape ``box.shape``.

        Raises
        ------
        Misfit
            If the text does not hold as many pixels as the box.
        """
        if not self.bits:
            return np.ones(self.box.shape, dtype=bool)
        count = -(-self.box.area // 8)
        inflate = zlib.decompressobj()
        try:
            raw = inflate.decompress(base64.b64decode(self.bits, validate=True), count + 1)
        except (binascii.Error, ValueError, zlib.error) as error:
            raise Misfit(f"a mask is damaged: {error}") from error
        if len(raw) != count:
            raise Misfit("a mask does not fill its box")
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=self.box.area)
        return bits.reshape(self.box.shape).view(np.bool_)

    def to_json(self) -> dict[str, Any]:
        """Return the mask as JSON types."""
        box = self.box
        return {"box": [box.y0, box.x0, box.y1, box.x1], "bits": self.bits}

    @classmethod
    def from_json(cls, told: Facts) -> PackedMask:
        """Check and return a mask; its pixels are checked by :meth:`unpack`."""
        corners = told.wholes("box", 4, low=-MAX_PIXELS)
        if len(corners) != 4:
            raise Misfit("a mask has no box")
        box = Box(*corners)
        if box.y1 < box.y0 or box.x1 < box.x0 or box.area > MAX_PIXELS:
            raise Misfit(f"a mask of {box.height} x {box.width} pixels")
        return cls(box, told.text("bits", "", most=MAX_PIXELS // 4))
