"""What a propagation in columns keeps in the folder of its labels, to go on after a kill.

``<labels>.zarr/.ditto-run/`` holds the plan (``columns.json``), the labelled planes that were
given (``examples-*.zarr``), for each column what it has found in each plane and, written last, a
record that it is done, and for each plane of the labels from which columns it was painted. Columns
lie under names made from all that their results depend on, so another plan finds those that it
need not do again.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.propagation import Doubt
from napari_ditto.data.blocks import DamagedBlock, pack, unpack
from napari_ditto.data.run_files import NO_FILE, TMP, RunFiles
from napari_ditto.data.run_lock import run_lock
from napari_ditto.data.run_records import seal, unseal
from napari_ditto.data.scratch import scratch_name
from napari_ditto.data.steps import DiskSteps, doubt_from_json, doubt_to_json
from napari_ditto.data.zarrs import open_zarr
from napari_ditto.errors import SourceError, StoreError

if TYPE_CHECKING:
    import zarr

FOLDER = ".ditto-run"
PLAN = "columns.json"
MOST_PLAN = 256 << 20
MOST_PART = 1 << 30
MOST_MARK = 1 << 10
"""Bytes of the largest files that are read."""

CHUNK = 512
STEPS_CARRY = 1 << 30
"""Most bytes that the steps of a column in progress hand on."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What a column has found of its own objects in one plane.

    Attributes
    ----------
    box : Box
        Where, in the plane.
    labels : ndarray of uint32, shape ``box.shape``
        0 where there is none of its own.
    """

    box: Box
    labels: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Finished:
    """What is told of a finished column.

    Attributes
    ----------
    planes : tuple of int
        The planes, by position, in which there is a :class:`Piece`.
    confidence : ndarray of float32, shape (ids, planes)
        Of each object in each plane.
    doubts : tuple of Doubt
        What wants a look.
    """

    planes: tuple[int, ...]
    confidence: NDArray[np.float32]
    doubts: tuple[Doubt, ...]


class PartLost(StoreError):
    """What a finished column has found is damaged; it counts as done no more."""


class ColumnFolder:
    """The folder of a propagation in columns.

    Parameters
    ----------
    target : Path
        The label image; there must be one when something is written.
    """

    def __init__(self, target: Path) -> None:
        self.root = Path(target) / FOLDER
        self._files = RunFiles(self.root)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only coordinator while inside, and remove what dead ones have left half written.

        Raises
        ------
        StoreError
            If another one lives, or the disk refuses.
        """
        self._make(TMP)
        with run_lock(self.root):
            self._files.sweep()
            yield

    # -- plan and examples ---------------------------------------------------------------------

    @property
    def has_plan(self) -> bool:
        """Whether there is a plan, whole or not."""
        return self._files.exists(PLAN)

    def read_plan(self) -> dict[str, Any] | None:
        """Return the plan, None if there is none; raises StoreError if it is damaged."""
        try:
            told: dict[str, Any] = unseal("plan", self._files.read(PLAN, MOST_PLAN))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, DamagedBlock) as error:
            raise StoreError(
                f"the plan cannot be read: {error}",
                where=str(self.root / PLAN),
                todo="Start again with the examples: what is finished is kept",
            ) from error
        return told

    def write_plan(self, told: Mapping[str, Any]) -> None:
        """Keep a plan in place of the one before."""
        self._write(PLAN, seal("plan", dict(told)))

    def keep_examples(self, planes: Sequence[Any], band: int) -> str:
        """Copy labelled planes, some rows at a time; return the name to ask for them by.

        Parameters
        ----------
        planes : sequence of array-like of int, shape (height, width)
            All of one shape, ids up to 4294967295.
        band : int
            Rows that are read at once.
        """
        import zarr
        from zarr.codecs import BloscCodec

        height, width = planes[0].shape
        scratch = self._make(TMP) / scratch_name()
        total = hashlib.sha256(str((len(planes), height, width)).encode())
        rows = max(CHUNK, band // CHUNK * CHUNK)
        try:
            kept: zarr.Array[Any] = zarr.create_array(
                str(scratch),
                shape=(len(planes), height, width),
                chunks=(1, min(CHUNK, height), min(CHUNK, width)),
                dtype=np.uint32,
                compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")],
                fill_value=0,
            )
            for number, plane in enumerate(planes):
                for top in range(0, height, rows):
                    block = np.asarray(plane[top : top + rows]).astype(np.uint32)
                    total.update(np.ascontiguousarray(block, "<u4").data)
                    if block.any():
                        kept[number, top : top + rows] = block
            name = f"examples-{total.hexdigest()[:24]}.zarr"
            # One of this name shows the same, unless it is damaged.
            shutil.rmtree(self.root / name, ignore_errors=True)
            scratch.rename(self.root / name)
        except OSError as error:
            raise self._error(error) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return name

    def examples(self, name: str, box: Box) -> Iterator[NDArray[np.uint32]]:
        """Yield a box of each labelled plane."""
        try:
            kept: Any = open_zarr(self.root / Path(name).name)
        except SourceError as error:
            raise StoreError(
                "the examples of this propagation are gone or damaged",
                where=str(self.root / name),
                todo="Start it again with its examples",
            ) from error
        for number in range(kept.shape[0]):
            yield np.asarray(kept[number, box.y0 : box.y1, box.x0 : box.x1])

    def drop_examples(self, but: str) -> None:
        """Remove what other plans were made from."""
        for path in self.root.glob("examples-*.zarr"):
            if path.name != but:
                shutil.rmtree(path, ignore_errors=True)

    # -- columns -------------------------------------------------------------------------------

    def steps(self, key: str) -> DiskSteps:
        """Return where a column in progress keeps its steps."""
        return DiskSteps(self.root / _column(key) / "steps", STEPS_CARRY)

    def put_piece(self, key: str, plane: int, piece: Piece) -> None:
        """Keep what a column has found in a plane."""
        raw = zlib.compress(np.ascontiguousarray(piece.labels, "<u4").tobytes(), 1)
        b = piece.box
        block = pack({"box": [b.y0, b.x0, b.y1, b.x1]}, {"labels": np.frombuffer(raw, np.uint8)})
        self._write(_piece(key, plane), block)

    def piece(self, key: str, plane: int) -> Piece:
        """Return what a finished column has found in a plane.

        Raises
        ------
        PartLost
            If that is not exactly what was written; the column counts as done no more.
        """
        name = _piece(key, plane)
        try:
            head, arrays = unpack(self._files.read(name, MOST_PART))
            box = Box(*(int(v) for v in head["box"]))
            plain = zlib.decompressobj().decompress(arrays["labels"].tobytes(), 4 * box.area + 1)
            return Piece(box, np.frombuffer(plain, "<u4").reshape(box.shape).astype(np.uint32))
        except (OSError, DamagedBlock, KeyError, TypeError, ValueError, zlib.error) as error:
            self._files.remove(_done(key))
            raise PartLost(
                "what a finished part has found is damaged",
                where=str(self.root / name),
                todo="Run again: that part is done anew",
            ) from error

    def finish(self, key: str, found: Finished) -> None:
        """Say that a column is done, and forget its steps."""
        head = {"planes": found.planes, "doubts": [doubt_to_json(d) for d in found.doubts]}
        self._write(_done(key), pack(head, {"confidence": found.confidence}))
        shutil.rmtree(self.root / _column(key) / "steps", ignore_errors=True)

    def finished(self, key: str) -> Finished | None:
        """Return what is told of a column, None if it is not done, or that is damaged."""
        try:
            head, arrays = unpack(self._files.read(_done(key), MOST_PART))
            doubts = tuple(doubt_from_json(d) for d in head["doubts"])
            planes = tuple(int(i) for i in head["planes"])
            return Finished(planes, arrays["confidence"].astype(np.float32), doubts)
        except NO_FILE:
            return None
        except (DamagedBlock, KeyError, TypeError, ValueError):
            return None
        except OSError as error:
            raise self._error(error) from error

    # -- planes of the labels ------------------------------------------------------------------

    def painted(self, plane: Sequence[int]) -> tuple[str, str]:
        """Return how far a plane is painted ("", "begun" or "done"), and from what."""
        try:
            state, digest = self._files.read(_painted(plane), MOST_MARK).decode().split()
        except (*NO_FILE, ValueError):
            return "", ""
        except OSError as error:
            raise self._error(error) from error
        return state, digest

    def mark_painted(self, plane: Sequence[int], state: str, digest: str) -> None:
        """Note how far the plane at an index is painted."""
        self._write(_painted(plane), f"{state} {digest}".encode())

    # -- private -------------------------------------------------------------------------------

    def _write(self, name: str, block: bytes) -> None:
        """Write a file that appears whole or not at all."""
        self._make(TMP)
        self._make(str(Path(name).parent))
        try:
            self._files.write(name, block)
        except OSError as error:
            raise self._error(error) from error

    def _make(self, name: str) -> Path:
        folder = self.root / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._error(error) from error
        return folder

    def _error(self, error: OSError) -> StoreError:
        return StoreError(
            f"what is finished cannot be kept: {error.strerror or error}",
            where=str(self.root),
            todo="Free some space there, then run again: it goes on where it stopped",
        )


def _column(key: str) -> str:
    return f"columns/{key[:32]}"


def _done(key: str) -> str:
    return f"{_column(key)}/done"


def _piece(key: str, plane: int) -> str:
    return f"{_column(key)}/{plane}.piece"


def _painted(plane: Sequence[int]) -> str:
    return f"painted/{'-'.join(map(str, plane))}"
