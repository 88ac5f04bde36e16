"""Label images too large for memory: an OME-Zarr pyramid of which only the touched boxes change."""

from __future__ import annotations

import atexit
import itertools
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.chunk_files import ChunkFiles, chunk_files
from napari_ditto.data.coarsening import level_step, write_coarser
from napari_ditto.data.labels import ArrayLabels, check_dtype
from napari_ditto.data.ngff_labels import (
    OURS,
    Ngff,
    check_ngff,
    image_of,
    label_attributes,
    level_shapes,
    read_levels,
    register_labels,
)
from napari_ditto.data.regions import PlaneRegion, Region
from napari_ditto.data.write_log import WriteLog, left_logs
from napari_ditto.data.zarr_attributes import read_attributes, update_attributes
from napari_ditto.errors import LabelsError, StoreError

if TYPE_CHECKING:
    import zarr

RunState = Literal["running", "finished", "incomplete"]
log = logging.getLogger(__name__)

CHUNK = 256
IDLE_SECONDS = 0.2
MAX_STALE = 64
"""Writes after which the coarser levels do not wait any longer."""
_MAX_LABEL = "max_label"


class PyramidLabels(ArrayLabels):
    """A label image on disk with coarser levels, for planes past 16 Mpx.

    A write changes its box at level 0. What lies above it in the coarser levels, where each pixel
    shows the largest id below it, so that thin and small objects stay visible, follows on
    :meth:`flush`, which :attr:`levels` calls and which is called when nothing was written for a
    moment. A write that was begun is done as a whole: what a killed program has left of one is
    finished when the labels are opened next. Make one with :meth:`create` or :meth:`open`.

    Parameters
    ----------
    path : Path
        The OME-Zarr image group.
    levels : sequence of zarr.Array
        Finest first.
    axes : sequence of str
        Names of the array axes.

    Attributes
    ----------
    is_temporary : bool
        Whether the folder goes when the program ends.
    """

    def __init__(self, path: Path, levels: Sequence[zarr.Array[Any]], axes: Sequence[str]) -> None:
        super().__init__(levels[0], axes)
        self._path = Path(path).absolute()
        self._levels = tuple(levels)
        self._chunks = [chunk_files(level) for level in levels]
        self._steps = [level_step(a.shape, b.shape) for a, b in itertools.pairwise(levels)]
        self._log = WriteLog.new(self._path)
        self._stale: list[Region] = []
        self._flusher: threading.Thread | None = None
        self._written_at = 0.0
        # zarr's own threads may be gone when ours flushes at the end of the program.
        self._can_wait = all(isinstance(chunks, ChunkFiles) for chunks in self._chunks)
        self.is_temporary = False

    @classmethod
    def create(
        cls,
        path: Path | None,
        shape: Sequence[int],
        axes: Sequence[str],
        *,
        dtype: DTypeLike = np.uint32,
        ngff: Ngff = "0.5",
        chunk: int = CHUNK,
        scale: Sequence[float] | None = None,
        provenance: Mapping[str, object] | None = None,
        register: bool = True,
        **about: Any,  # noqa: ANN401 - as label_attributes has it
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
        ngff : "0.4" or "0.5"
            Version of OME-Zarr: 0.4 (in zarr 2) for older readers.
        chunk : int
            Side of the square chunks along the last two axes; 1 along the others.
        scale : sequence of float, optional
            Pixel size along each axis.
        provenance : mapping, optional
            What made the labels (model, weights, licence); kept in the metadata, JSON types only.
        register : bool
            In the folder ``labels`` of an OME-Zarr image, add the name to the image's list.
        **about
            ``translate``, ``units``, ``name`` and ``about``, see
            :func:`~napari_ditto.data.ngff_labels.label_attributes`.

        Raises
        ------
        LabelsError
            If the path exists or the labels cannot be of this type or version.
        StoreError
            If the disk refuses.
        """
        import zarr

        if path is not None and path.exists():
            raise LabelsError("there is something already", where=str(path), todo="Open it instead")
        dtype = np.dtype(dtype).newbyteorder("=")
        check_dtype(dtype)
        temporary = path is None
        path = (path or temporary_path()).absolute()
        check_ngff(path, ngff)
        shapes = level_shapes(shape)
        ours = {_MAX_LABEL: 0, "provenance": dict(provenance or {})}
        of_image = image_of(path) is not None
        attributes = label_attributes(
            axes, shapes, scale, ours, ngff=ngff, of_image=of_image, **about
        )
        try:
            group = zarr.create_group(str(path), zarr_format=3 if ngff == "0.5" else 2)
            group.attrs.put(attributes)
            levels = [_create_level(group, i, s, dtype, chunk, axes) for i, s in enumerate(shapes)]
            if register:
                register_labels(path)
        except OSError as error:
            raise StoreError(
                f"the labels cannot be created: {error.strerror or error}", where=str(path)
            ) from error
        made = cls(path, levels, axes)
        made.is_temporary = temporary
        return made

    @classmethod
    def open(cls, path: Path, *, axes: Sequence[str] | None = None) -> Self:
        """Open the OME-Zarr label image at `path` for reading and writing.

        Parameters
        ----------
        path : Path
            The group.
        axes : sequence of str, optional
            Other names of the array axes than those in the file.

        Raises
        ------
        LabelsError
            If there is none, its levels are no whole multiples of each other, or it is not safe.
        StoreError
            If what a killed program has left cannot be finished.
        """
        levels, names = read_levels(path)
        labels = cls(path, levels, axes or names)
        for left in left_logs(labels.path):
            labels._finish(left)
        return labels

    @property
    def levels(self) -> list[zarr.Array[Any]]:
        """All levels, finest first and up to date: what a multiscale Labels layer takes."""
        self.flush()
        return list(self._levels)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def provenance(self) -> Mapping[str, object]:
        """What made the labels."""
        found: Mapping[str, object] = self._ours().get("provenance", {})
        return found

    @property
    def run_state(self) -> RunState | None:
        """How far the run is that writes these labels; None if there was none."""
        return cast("RunState | None", self._ours().get("run"))

    def set_run_state(self, state: RunState) -> None:
        """Record how far the run is, at once and for good."""
        self._record(run=state)

    @property
    def is_edited(self) -> bool:
        """Whether something was written through this class after a run had ended."""
        return bool(self._ours().get("edited"))

    def paint(self, address: PlaneAddress, box: Box, labels: NDArray[np.integer]) -> None:
        """Put labels into a box on all levels, whatever is there, without a way back.

        For a run that owns the image; a user's writes go through :meth:`write`.
        """
        region = self._region(address, box)
        with self._lock:
            self._write_block(region.index, region.to_block(labels))
            write_coarser(self._chunks, self._steps, [region.index])

    def reserve(self, label: int) -> None:
        """Never hand out ids up to `label` again, in later sessions neither."""
        with self._lock:
            if label > max(self._reserved, self._highest()):
                self._record(**{_MAX_LABEL: int(label)})
            super().reserve(label)

    def release(self, label: int) -> None:
        """Hand out ids above `label` again, in later sessions too."""
        with self._lock:
            super().release(label)
            self._record(**{_MAX_LABEL: int(label)})

    def flush(self) -> None:
        """Bring the coarser levels up to date with level 0, where it was written.

        Raises
        ------
        StoreError
            If the disk refuses; what is left to do is kept.
        """
        with self._lock:
            if self._stale:
                try:
                    write_coarser(self._chunks, self._steps, self._stale)
                    self._log.clear()
                except OSError as error:
                    raise StoreError(
                        f"the coarser levels cannot be written: {error.strerror or error}",
                        where=str(self._path),
                        todo="Free some space; labels at full size are safe",
                    ) from error
                self._stale = []

    # -- private -----------------------------------------------------------------------------

    def _ours(self) -> dict[str, Any]:
        """Return what we keep in the attributes, as others may just have written it."""
        return dict((read_attributes(self._path) or {}).get(OURS) or {})

    def _record(self, **entries: object) -> None:
        update_attributes(self._path, {OURS: {**self._ours(), **entries}})

    def _highest(self, fresh: bool = False) -> int:
        recorded = self._ours().get(_MAX_LABEL)
        return recorded if isinstance(recorded, int) and not fresh else super()._highest(fresh)

    def _fetch_block(self, index: Region) -> NDArray[np.integer]:
        return np.asarray(self._chunks[0][index])

    def _write_block(self, index: Region, block: NDArray[np.integer]) -> None:
        self._chunks[0][index] = block

    def _store(
        self, region: PlaneRegion, new: NDArray[np.integer], old: NDArray[np.integer]
    ) -> None:
        """Write a box at level 0, and leave the coarser levels for later."""
        ours = self._ours()
        if ours.get("run") in ("finished", "incomplete") and not ours.get("edited"):
            self._record(edited=True)
        before = self._log.add(region.index, region.to_block(new))
        self._stale.append(region.index)
        try:
            super()._store(region, new, old)
        except (OSError, StoreError):
            self._log.cut(before)
            raise
        self._written_at = time.monotonic()
        if len(self._stale) > MAX_STALE or not self._can_wait:
            self._flush_quietly()
        else:
            self._flush_soon()

    def _flush_soon(self) -> None:
        """Flush once nothing was written for a moment; the program does not end before."""
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_when_idle, name="ditto labels")
            self._flusher.start()

    def _flush_when_idle(self) -> None:
        while (rest := self._written_at + IDLE_SECONDS - time.monotonic()) > 0:
            time.sleep(rest)
        with self._lock:
            self._flusher = None
            self._flush_quietly()

    def _flush_quietly(self) -> None:
        """Flush after a write that is done; if that fails, who looks at the levels is told."""
        try:
            self.flush()
        except StoreError as error:
            log.warning("%s", error)

    def _finish(self, left: WriteLog) -> None:
        """Do what a killed program has left to do."""
        stale, block = [], None
        for index, block in left.read(self.shape, self.dtype):  # noqa: B007  # the last counts
            stale.append(index)
        if block is not None:
            self._chunks[0][stale[-1]] = block
        write_coarser(self._chunks, self._steps, stale)
        left.clear()


def temporary_path() -> Path:
    """Return where labels can be made that go when the program ends."""
    folder = tempfile.mkdtemp(prefix="napari-ditto-labels-")
    # Until exit, not until garbage collection: a viewer may hold the arrays longer than the store.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder, "labels.ome.zarr")


def _create_level(
    group: zarr.Group,
    level: int,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    chunk: int,
    axes: Sequence[str],
) -> zarr.Array[Any]:
    fixed = (1,) * (len(shape) - 2)
    return group.create_array(
        str(level),
        shape=tuple(shape),
        dtype=dtype,
        chunks=(*fixed, min(chunk, max(1, shape[-2])), min(chunk, max(1, shape[-1]))),
        fill_value=0,
        **(_ngff_05(axes) if group.metadata.zarr_format == 3 else _ngff_04()),
    )


def _ngff_05(axes: Sequence[str]) -> dict[str, Any]:
    from zarr.codecs import BloscCodec, Crc32cCodec

    blosc = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    return {"compressors": [blosc, Crc32cCodec()], "dimension_names": tuple(axes)}


def _ngff_04() -> dict[str, Any]:
    """Return the one compressor that every reader of zarr 2 has, round streams with checksums."""
    from numcodecs import Blosc  # type: ignore[import-untyped]

    slashes = {"name": "v2", "separator": "/"}
    return {"compressors": [Blosc("zlib", 1, Blosc.NOSHUFFLE)], "chunk_key_encoding": slashes}
