"""What the engine asks of images, embedding stores and label images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.window import Window

OverlapPolicy = Literal["keep", "replace"]


@runtime_checkable
class Source(Protocol):
    """An image as we read it: lazily, by plane and box, at a pyramid level.

    ``axes`` and ``shape`` leave the channel axis out: channels are always composed to three.
    Levels are counted from the finest. Behind the stored levels there are virtual ones, each half
    the size, computed from the coarsest stored level when read; ``levels`` counts both.
    """

    @property
    def name(self) -> str:
        """For messages: a path, a layer's name."""
        ...

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names without the channel axis, e.g. ``("t", "z", "y", "x")``."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Level-0 size along `axes`."""
        ...

    @property
    def channels(self) -> int:
        """Number of raw channels that are read (before composing to three)."""
        ...

    @property
    def window(self) -> Window:
        """The intensity window, one pair per raw channel; the same for every read."""
        ...

    @property
    def levels(self) -> int:
        """Number of levels, stored and virtual."""
        ...

    def plane(
        self, index: Mapping[str, int] | None = None, displayed: tuple[str, str] | None = None
    ) -> PlaneAddress:
        """Return a checked address; missing indices are 0, default axes are the last two."""
        ...

    def plane_shape(self, address: PlaneAddress, level: int = 0) -> tuple[int, int]:
        """Height and width of a plane at a level."""
        ...

    def factor(self, address: PlaneAddress, level: int) -> tuple[float, float]:
        """Level-0 pixels per pixel of `level`, along the plane's rows and columns."""
        ...

    def read(self, address: PlaneAddress, box: Box, level: int = 0) -> NDArray[np.float32]:
        """Return the windowed pixels of a box, shape (h, w, 3) in [0, 1].

        The box (pixels of `level`) must lie inside the plane. One channel is repeated, two are
        padded with zeros. Only the chunks that the box touches are read.
        """
        ...

    def with_window(self, window: Window) -> Source:
        """Return the same image with another window; nothing is read."""
        ...


@runtime_checkable
class EmbeddingStore(Protocol):
    """Keeps embeddings by content key; anything damaged or missing is ``None``, never data."""

    def get(self, key: str) -> Embedding | None:
        """Return the embedding of this key, or None."""
        ...

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding; raises :class:`StoreError` if the disk refuses."""
        ...


@runtime_checkable
class DeferringStore(EmbeddingStore, Protocol):
    """An embedding store that need not make an encoder wait for its disk."""

    def put_soon(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding; :meth:`get` finds it at once, later processes a little later."""
        ...

    def flush(self) -> None:
        """Return when nothing is left to be written."""
        ...


@dataclass(frozen=True, eq=False)
class LabelDelta:
    """One write to a label image: what undo, the journal and tests need.

    Attributes
    ----------
    address : PlaneAddress
        The plane that was written.
    box : Box
        Smallest box around the changed pixels.
    old, new : ndarray of int, shape ``box.shape``
        Labels before and after.
    label : int
        The id that was written.
    """

    address: PlaneAddress
    box: Box
    old: NDArray[np.integer]
    new: NDArray[np.integer]
    label: int

    @property
    def nbytes(self) -> int:
        """Memory that the delta takes."""
        return int(self.old.nbytes + self.new.nbytes)


@runtime_checkable
class LabelStore(Protocol):
    """A label image of a source's shape, read and written by plane and box."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along the source's axes."""
        ...

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """Integer type of the ids."""
        ...

    @property
    def data(self) -> object:
        """The level-0 array itself (numpy or zarr), in the source's axis order."""
        ...

    def read(self, address: PlaneAddress, box: Box) -> NDArray[np.integer]:
        """Return the labels of a box, shape ``box.shape``."""
        ...

    def write(
        self,
        address: PlaneAddress,
        box: Box,
        mask: NDArray[np.bool_],
        label: int,
        overlap: OverlapPolicy = "keep",
    ) -> LabelDelta:
        """Write `label` where `mask`; "keep" leaves every other object's pixels alone."""
        ...

    def apply(self, delta: LabelDelta) -> None:
        """Put ``delta.new`` back (redo)."""
        ...

    def revert(self, delta: LabelDelta) -> None:
        """Put ``delta.old`` back (undo)."""
        ...

    def next_label(self) -> int:
        """Return a free id; raises :class:`LabelsError` at the dtype's end."""
        ...


class Recorder(Protocol):
    """Is told of every write to a label image before it is made."""

    def wrote(
        self,
        labels: LabelStore,
        index: tuple[slice, ...],
        old: NDArray[np.integer] | None,
        new: NDArray[np.integer],
        label: int,
    ) -> None:
        """Take note of a write.

        Parameters
        ----------
        labels : LabelStore
            What is written.
        index : tuple of slice
            Where, one slice per axis of ``labels.data``.
        old, new : ndarray of int, shape of the region
            Before and after; `old` is None where only the present is known.
        label : int
            The id that was written.
        """
        ...
