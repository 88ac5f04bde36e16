"""Importing the package is cheap, and so is asking the command for help."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "transformers", "napari", "qtpy", "zarr", "dask", "scipy", "skimage", "tifffile")


def seconds(*arguments: str) -> float:
    """Return the median wall time of a fresh interpreter."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def loaded_by(statement: str) -> set[str]:
    """Return which heavy packages a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_ditto",
        "import napari_ditto.cli",
        "import napari_ditto.data.protocols, napari_ditto.models.protocols",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import skimage") >= {"skimage"}


@pytest.mark.parametrize(
    "arguments", [("-c", "import napari_ditto"), ("-m", "napari_ditto.cli", "--help")]
)
def test_starting_costs_less_than_300_ms(arguments: tuple[str, ...]) -> None:
    cost = seconds(*arguments) - seconds("-c", "pass")
    print(f"{' '.join(arguments)}: {1000 * cost:.0f} ms above a bare interpreter")
    assert cost < 0.3
