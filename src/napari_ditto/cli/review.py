"""What a propagation is not sure of: on the screen, as CSV, as JSON."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.cli.console import table
from napari_ditto.core.propagation import Doubt
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    from napari_ditto.engine.propagate import PropagationResult

SHOWN = 10
"""Doubts that are listed on the screen."""


def write_review(path: Path, found: PropagationResult) -> None:
    """Write all doubts as CSV, the worst first."""
    names = [name for name, _ in found.review[0].address.fixed] if found.review else found.axes
    try:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "label", "confidence", "reasons"])
            for d in found.review:
                place = [i for _, i in d.address.fixed]
                writer.writerow([*place, d.label, f"{d.confidence:.4f}", "; ".join(d.reasons)])
    except OSError as error:
        raise StoreError(
            f"the review cannot be written: {error.strerror or error}", where=str(path)
        ) from error


def listed(found: PropagationResult) -> str:
    """Return the worst doubts for a person, nothing if there are none."""
    rows = [(_place(d), d.label, f"{d.confidence:.2f}", "; ".join(d.reasons)) for d in found.review]
    return f"\n\n{table(rows[:SHOWN], ('plane', 'object', 'sure', 'why'))}" if rows else ""


def told(found: PropagationResult) -> list[dict[str, object]]:
    """Return all doubts for a program."""
    return [
        {**d.address.index, "label": d.label, "confidence": d.confidence, "reasons": d.reasons}
        for d in found.review
    ]


def _place(doubt: Doubt) -> str:
    return ", ".join(f"{name}={i}" for name, i in doubt.address.fixed)
