"""Label images too large for memory: an OME-Zarr pyramid of which only the touched boxes change."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_ditto.data.labels import ArrayLabels, check_dtype
from napari_ditto.data.ngff_labels import (
    MAX_LABEL,
    OURS,
    label_attributes,
    level_shapes,
    read_levels,
)
from napari_ditto.data.regions import PlaneRegion, Region
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    import zarr

CHUNK = 256


class PyramidLabels(ArrayLabels):
    """A label image on disk with coarser levels, for planes past 16 Mpx.

    A write changes its box at level 0 and what lies above it in the coarser levels, where each
    pixel shows the largest id below it, so that thin and small objects stay visible. Make one
    with :meth:`create` or :meth:`open`.

    Parameters
    ----------
    group : zarr.Group
        The OME-Zarr image group.
    levels : sequence of zarr.Array
        Finest first.
    axes : sequence of str
        Names of the array axes.
    """

    def __init__(
        self, group: zarr.Group, levels: Sequence[zarr.Array[Any]], axes: Sequence[str]
    ) -> None:
        super().__init__(levels[0], axes)
        self._group = group
        self._levels = tuple(levels)
        self._steps = [_step(a.shape, b.shape) for a, b in itertools.pairwise(levels)]
        recorded = self._ours.get(MAX_LABEL)
        self._scanned = recorded if isinstance(recorded, int) else None

    @classmethod
    def create(
        cls,
        path: Path | None,
        shape: Sequence[int],
        axes: Sequence[str],
        *,
        dtype: DTypeLike = np.uint32,
        chunk: int = CHUNK,
        scale: Sequence[float] | None = None,
        provenance: Mapping[str, object] | None = None,
    ) -> Self:
        """Make an empty label image; nothing but metadata is written, whatever the shape.

        Parameters
        ----------
        path : Path or None
            A folder that does not exist yet; None takes a temporary one that lives until exit.
        shape, axes : sequence of int, sequence of str
            Size and name of each axis; the last two are halved from level to level.
        dtype : dtype
            Integer type of the ids.
        chunk : int
            Side of the square chunks along the last two axes; 1 along the others.
        scale : sequence of float, optional
            Pixel size along each axis.
        provenance : mapping, optional
            What made the labels (model, weights, licence); kept in the metadata, JSON types only.

        Raises
        ------
        LabelsError
            If the path exists or the labels cannot be of this type.
        StoreError
            If the disk refuses.
        """
        import zarr

        if path is not None and path.exists():
            raise LabelsError("there is something already", where=str(path), todo="Open it instead")
        dtype = np.dtype(dtype).newbyteorder("=")
        check_dtype(dtype)
        shapes = level_shapes(shape)
        try:
            group = zarr.create_group(str(path or _temporary()), zarr_format=3)
            group.attrs.put(label_attributes(axes, shapes, scale, provenance))
            levels = [_create_level(group, i, s, dtype, chunk) for i, s in enumerate(shapes)]
        except OSError as error:
            raise StoreError(
                f"the labels cannot be created: {error.strerror or error}", where=str(path)
            ) from error
        return cls(group, levels, axes)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the OME-Zarr label image at `path` for reading and writing.

        Raises
        ------
        LabelsError
            If there is none, or its levels are not whole multiples of each other.
        """
        return cls(*read_levels(path))

    @property
    def levels(self) -> list[zarr.Array[Any]]:
        """All levels, finest first: what a multiscale Labels layer takes."""
        return list(self._levels)

    @property
    def path(self) -> Path:
        """The folder."""
        store: Any = self._group.store
        return Path(store.root, self._group.path)

    @property
    def provenance(self) -> Mapping[str, object]:
        """What made the labels."""
        found: Mapping[str, object] = self._ours.get("provenance", {})
        return found

    def reserve(self, label: int) -> None:
        """Never hand out ids up to `label` again, in later sessions neither."""
        with self._lock:
            if label > max(self._reserved, self._highest()):
                self._group.attrs[OURS] = {**self._ours, MAX_LABEL: int(label)}
            super().reserve(label)

    @property
    def _ours(self) -> dict[str, Any]:
        attributes: Any = self._group.attrs.get(OURS, {})
        return dict(attributes)

    def _store(self, region: PlaneRegion, plane: NDArray[np.integer]) -> None:
        super()._store(region, plane)
        index = region.index
        for fine, coarse, step in zip(self._levels, self._levels[1:], self._steps, strict=False):
            index = _coarser(index, coarse.shape, step)
            block = np.asarray(fine[_finer(index, fine.shape, step)])
            if block.size:
                coarse[index] = _reduce(block, step)


def _temporary() -> Path:
    folder = tempfile.mkdtemp(prefix="napari-ditto-labels-")
    # Until exit, not until garbage collection: a viewer may hold the arrays longer than the store.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, "labels.ome.zarr")


def _create_level(
    group: zarr.Group, level: int, shape: Sequence[int], dtype: np.dtype[Any], chunk: int
) -> zarr.Array[Any]:
    from zarr.codecs import BloscCodec

    fixed = (1,) * (len(shape) - 2)
    return group.create_array(
        str(level),
        shape=tuple(shape),
        dtype=dtype,
        chunks=(*fixed, min(chunk, max(1, shape[-2])), min(chunk, max(1, shape[-1]))),
        compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
        fill_value=0,
    )


def _step(fine: Sequence[int], coarse: Sequence[int]) -> tuple[int, ...]:
    """Return how many fine pixels one coarse pixel covers along each axis."""
    step = tuple(max(1, round(f / max(1, c))) for f, c in zip(fine, coarse, strict=True))
    if any(abs(f / s - c) >= 1 for f, c, s in zip(fine, coarse, step, strict=True)):
        raise LabelsError(f"levels of {tuple(fine)} and {tuple(coarse)} are no whole multiples")
    return step


def _coarser(index: Region, shape: Sequence[int], step: Sequence[int]) -> Region:
    """Return the coarse pixels that a fine region touches."""
    return tuple(
        slice(min(i.start // s, n), min(-(-i.stop // s), n))
        for i, n, s in zip(index, shape, step, strict=True)
    )


def _finer(index: Region, shape: Sequence[int], step: Sequence[int]) -> Region:
    """Return the fine pixels under a coarse region."""
    return tuple(
        slice(i.start * s, min(i.stop * s, n)) for i, n, s in zip(index, shape, step, strict=True)
    )


def _reduce(block: NDArray[np.integer], step: Sequence[int]) -> NDArray[np.integer]:
    """Return the largest id of every cell of `step` pixels; cells at the end may be smaller."""
    for axis, size in enumerate(step):
        if size > 1:
            block = np.maximum.reduceat(block, np.arange(0, block.shape[axis], size), axis=axis)
    return block
