"""Importing the package is cheap, and so is asking the command for help."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys

import pytest

# OpenBLAS starts a thread per core; their start would count as work.
ONE_THREAD = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
HEAVY = ("torch", "transformers", "napari", "qtpy", "zarr", "dask", "scipy", "skimage", "tifffile")


def cpu_seconds(*arguments: str) -> float:
    """Return the least processor time of a fresh interpreter.

    Wall time is no less without other work on the machine, and says more about that work with it.
    """
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments], check=True, capture_output=True, env=ONE_THREAD
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


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
    cost = cpu_seconds(*arguments) - cpu_seconds("-c", "pass")
    print(f"{' '.join(arguments)}: {1000 * cost:.0f} ms above a bare interpreter")
    assert cost < 0.3
