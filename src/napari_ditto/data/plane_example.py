"""A labelled plane of an image, as something to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import Source
from napari_ditto.errors import SourceError


@dataclass(frozen=True, eq=False)
class PlaneExample:
    """A plane of any image, or a box of it, with labels.

    Attributes
    ----------
    source : Source
        The image; each has its own window, so channels and pixel types may differ from others.
    address : PlaneAddress
        The plane.
    labels : ndarray of int, shape of `box`
        0 is background, other values are classes or instances, -1 is not known.
    box : Box or None
        Where the labels lie; None is the whole plane. Outside of it nothing is known.
    name : str
        For lists and messages.
    enabled : bool
        Whether it is used.
    negative : bool
        "None of this": what is labelled is background, nothing else is known.
    partial : bool
        Only some objects are labelled: the background is known only near them.
    ids : tuple of int or None
        The labels that count; what has another label is not known. None is all of them.
    """

    source: Source
    address: PlaneAddress
    labels: NDArray[np.integer]
    box: Box | None = None
    name: str = ""
    enabled: bool = True
    negative: bool = False
    partial: bool = False
    ids: tuple[int, ...] | None = None

    @property
    def where(self) -> Box:
        """The part of the plane that the labels cover."""
        return self.box or Box.of_shape(self.source.plane_shape(self.address))

    def check(self) -> None:
        """Raise :class:`SourceError` if the labels do not fit."""
        plane = Box.of_shape(self.source.plane_shape(self.address))
        where = self.name or self.source.name
        if self.labels.dtype.kind not in "iub":
            raise SourceError(f"labels are whole numbers, not {self.labels.dtype}", where=where)
        if self.labels.shape != self.where.shape:
            raise SourceError(
                f"labels of shape {self.labels.shape} for a plane of {self.where.shape}",
                where=where,
                todo="Choose labels of the same image and plane",
            )
        if not plane.covers(self.where):
            raise SourceError(f"the labels lie outside the plane of {plane.shape}", where=where)
