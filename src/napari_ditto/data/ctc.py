"""Tracks in the format of the Cell Tracking Challenge (celltrackingchallenge.net/datasets).

A folder with one 16-bit TIFF of labels per frame, and a text file with a line ``L B E P`` per
track: label, first frame, last frame, parent or 0. A track is there in every frame from B to E.
Where one of ours is missing for a while, the part behind the gap is a track of its own, and the
part before the gap is its parent; a parent with one child is a gap, one with two a division.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.lineage import Lineage
from napari_ditto.data.whole_or_nothing import whole_or_nothing
from napari_ditto.errors import StoreError

MOST = int(np.iinfo(np.uint16).max)
RESULT, TRUTH = ("res_track.txt", "mask"), ("man_track.txt", "man_track")
"""Names of the text file and of the masks, for results and for ground truth."""


@dataclass(frozen=True, slots=True)
class Run:
    """A line of the text file, and which of our tracks it is.

    Attributes
    ----------
    label, begin, end, parent : int
        As in the file.
    track : int
        Our id.
    """

    label: int
    begin: int
    end: int
    parent: int
    track: int


def runs(lineage: Lineage) -> list[Run]:
    """Return the tracks without their gaps, labelled from 1 in the order of our ids."""
    parts = list(_parts(lineage))
    last = {track: number for number, (track, _, _) in enumerate(parts, 1)}
    found = []
    for number, (track, begin, end) in enumerate(parts, 1):
        goes_on = number > 1 and parts[number - 2][0] == track
        mothers = lineage.parents.get(track, ())
        parent = number - 1 if goes_on else last[mothers[0]] if mothers else 0
        found.append(Run(number, begin, end, parent, track))
    return found


def write_ctc(
    folder: Path | str,
    frames: Sequence[NDArray[np.integer]],
    lineage: Lineage,
    *,
    truth: bool = False,
) -> Path:
    """Write tracks for the tools of the Cell Tracking Challenge.

    Parameters
    ----------
    folder : Path
        A new folder; it appears when all is written.
    frames : sequence of ndarray of int
        Labels of each frame under the ids of `lineage`, read one at a time.
    lineage : Lineage
        The tracks; labels that are no track are left out.
    truth : bool
        Use the names of ground truth (``man_track.txt``) in place of those of results.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    StoreError
        If there are more than 65,535 tracks, which 16 bits cannot number, the folder exists, or
        the disk refuses.
    """
    target = Path(folder).expanduser().absolute()
    lines = runs(lineage)
    if len(lines) > MOST:
        raise StoreError(
            f"{len(lines)} tracks, but the CTC format numbers {MOST} at most",
            where=str(target),
            todo="Export as GEFF, or fewer frames",
        )
    with whole_or_nothing(target, what="the tracks", folder=True) as partial:
        partial.mkdir()
        _write(partial, frames, lines, *(TRUTH if truth else RESULT))
    return target


def _write(
    folder: Path, frames: Sequence[NDArray[np.integer]], lines: Sequence[Run], text: str, mask: str
) -> None:
    import tifffile

    digits = max(3, len(str(len(frames) - 1)))
    for number in range(len(frames)):
        frame = np.asarray(frames[number])
        present = [run for run in lines if run.begin <= number <= run.end]
        path = folder / f"{mask}{number:0{digits}}.tif"
        tifffile.imwrite(path, _relabel(frame, present), compression="zlib")
    rows = "".join(f"{r.label} {r.begin} {r.end} {r.parent}\n" for r in lines)
    (folder / text).write_text(rows, encoding="ascii")


def _relabel(frame: NDArray[np.integer], present: Sequence[Run]) -> NDArray[np.uint16]:
    tracks = np.array([0, *(r.track for r in present)], dtype=np.int64)
    labels = np.array([0, *(r.label for r in present)], dtype=np.uint16)
    order = np.argsort(tracks)
    at = np.searchsorted(tracks, frame, sorter=order).clip(max=len(tracks) - 1)
    known = tracks[order][at] == frame
    new: NDArray[np.uint16] = np.where(known, labels[order][at], 0).astype(np.uint16)
    return new


def _parts(lineage: Lineage) -> Iterator[tuple[int, int, int]]:
    """Yield track, first and last frame of each stretch without a gap."""
    order = np.lexsort((lineage.points[:, 1], lineage.points[:, 0]))
    tracks, frames = lineage.points[order, :2].astype(np.int64).T
    breaks = np.flatnonzero((np.diff(tracks) != 0) | (np.diff(frames) != 1)) + 1
    begins = np.concatenate([[0], breaks]) if len(tracks) else breaks
    for begin, end in zip(begins, np.append(breaks, len(tracks)) - 1, strict=False):
        yield int(tracks[begin]), int(frames[begin]), int(frames[end])
