"""Tracks as a task of the evaluation: its sets, its rows, its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from napari_ditto.evaluation.tables import number, table
from napari_ditto.evaluation.tracking import TrackingRow, synthetic_rows, timelapse_row
from napari_ditto.models.protocols import ContextModel

REAL, SYNTHETIC = "usiigaci_timelapse", "synthetic_cells"
SEEDS = tuple(range(5))
"""One synthetic movie each."""

MEANING = """\
Movies whose frame 0 is given. *given masks*: the true masks of all frames are linked, so only the
linking is measured; else every frame is segmented by the example of frame 0 first. Links count
between objects that agree at an IoU of .5; DET, TRA, CHOTA, and F1 of divisions in the very frame
and one frame off at most."""


@dataclass(frozen=True)
class TrackSet:
    """Movies with tracked masks.

    Attributes
    ----------
    name : str
        For tables.
    root : Path or None
        Folder that holds the real movie's folder.
    seeds : tuple of int
        A synthetic movie each.
    """

    name: str
    root: Path | None = None
    seeds: tuple[int, ...] = ()


def track_sets(root: Path) -> dict[str, TrackSet]:
    """Return the named sets; the real one only where it is."""
    real = {REAL: TrackSet(REAL, root)} if (root / REAL).is_dir() else {}
    return {**real, SYNTHETIC: TrackSet(SYNTHETIC, seeds=SEEDS)}


def missing_traccuracy() -> str:
    """Return one line on why tracks cannot be measured here, or an empty string."""
    if find_spec("traccuracy"):
        return ""
    return "'track' is left out: no traccuracy here; pip install 'napari-ditto[evaluate]'"


def measure_tracks(given: TrackSet, model: ContextModel | None) -> Iterator[TrackingRow]:
    """Yield a row per movie; without a model the true masks are linked."""
    if given.root is not None:
        yield timelapse_row(given.root, model)
    yield from synthetic_rows(given.seeds, model)


def tracks(rows: Sequence[TrackingRow]) -> str:
    """Return the table."""
    lines = []
    for r in rows:
        links = number(r.link_recall), number(r.link_precision), str(r.id_switches)
        field = number(r.det), number(r.tra), number(r.chota)
        divided = f"{r.found_divisions} of {r.divisions}", number(r.division_f1)
        found = f"{r.found_tracks} of {r.tracks}"
        near = number(r.division_f1_near)
        lines.append([r.image, r.model, found, *links, *field, *divided, near])
    head = ("movie", "model", "tracks", "link recall", "precision", "id switches")
    more = ("DET", "TRA", "CHOTA", "divisions", "F1", "one off")
    return table((*head, *more), lines)
