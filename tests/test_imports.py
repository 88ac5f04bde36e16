"""Importing the package is cheap, and so is asking the command for help, or opening the dock.

Budgets are in units of `import numpy`, measured in the same run: what slows the machine slows both.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap

import pytest

# OpenBLAS starts a thread per core; their start would count as work.
ONE_THREAD = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "QT_QPA_PLATFORM": "offscreen"}
HEAVY = ("torch", "transformers", "napari", "qtpy", "zarr", "dask", "scipy", "skimage", "tifffile")
ROUNDS = 3


def cpu_seconds(*commands: tuple[str, ...]) -> list[float]:
    """Return the least processor time of fresh interpreters, in turns, above a bare one.

    Wall time is no less without other work on the machine, and says more about that work with it.
    """
    every = (("-c", "pass"), *commands)
    rounds = [[_cpu_seconds(arguments) for arguments in every] for _ in range(ROUNDS)]
    bare, *found = (min(times) for times in zip(*rounds, strict=True))
    return [seconds - bare for seconds in found]


def _cpu_seconds(arguments: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=ONE_THREAD)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(code: str) -> object:
    """Return what a script prints as JSON in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True, capture_output=True, text=True, env=ONE_THREAD,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def loaded_by(statement: str, arguments: tuple[str, ...] = ()) -> set[str]:
    """Return which packages a statement loads in a fresh interpreter."""
    listed = "import json, sys\nprint(json.dumps(list(sys.modules)))"
    argv = f"import sys; sys.argv[1:] = {list(arguments)!r}"
    return {name.partition(".")[0] for name in run(f"{argv}\n{statement}\n{listed}")}


COMMAND = """
from contextlib import suppress
from napari_ditto.cli import main
with suppress(SystemExit):
    main()
"""


@pytest.mark.parametrize(
    "statement",
    [
        "import napari_ditto.cli.encode, napari_ditto.cli.label",
        "import napari_ditto.data.protocols, napari_ditto.models.protocols",
        "import napari_ditto.data.embeddings, napari_ditto.engine.encode",
    ],
)
def test_nothing_heavy_is_imported(statement: str) -> None:
    assert not loaded_by(statement) & set(HEAVY)


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import skimage, numpy") >= {"skimage", "numpy"}


def test_the_package_and_the_list_of_commands_need_no_numpy() -> None:
    assert not loaded_by("import napari_ditto") & {*HEAVY, "numpy"}
    for arguments in (["--help"], ["--version"], ["nonsense"]):
        assert not loaded_by(COMMAND, tuple(arguments)) & {*HEAVY, "numpy"}


@pytest.mark.parametrize("command", ["info", "encode", "cache", "all"])
def test_help_on_a_command_loads_nothing_heavy(command: str) -> None:
    assert not loaded_by(COMMAND, (command, "--help")) & set(HEAVY)


def test_starting_is_within_its_budget() -> None:
    budgets = {
        ("-c", "import napari_ditto"): 0.5,
        ("-m", "napari_ditto.cli", "--help"): 1.0,
        ("-m", "napari_ditto.cli", "encode", "--help"): 2.5,
    }
    numpy, *found = cpu_seconds(("-c", "import numpy"), *budgets)
    print(f"import numpy: {1000 * numpy:.0f} ms above a bare interpreter")
    for (arguments, budget), seconds in zip(budgets.items(), found, strict=True):
        print(f"{' '.join(arguments)}: {1000 * seconds:.0f} ms, {seconds / numpy:.2f} of it")
        assert seconds < budget * numpy


WIDGET = """
import json, sys
from importlib import import_module
from time import process_time

def seconds(name):
    start = process_time()
    import_module(name)
    return process_time() - start

numpy = seconds("numpy")
import napari, napari.layers, napari.viewer, napari.utils.notifications
import magicgui.widgets, superqt
from qtpy import QtCore, QtGui, QtWidgets
before = set(sys.modules)
dock = seconds("{module}")
new = sorted(set(sys.modules) - before)
print(json.dumps([dock / numpy, new]))
"""


@pytest.mark.parametrize("dock", ["dock", "objects_dock"])
def test_opening_a_dock_imports_little_beside_napari(dock: str) -> None:
    """No model, no reader and no writer; what of ours it takes is the widgets' own modules."""
    cost, new = run(WIDGET.replace("{module}", f"napari_ditto.ui.widgets.{dock}"))
    ours = [name for name in new if name.startswith("napari_ditto")]
    others = len(new) - len(ours)
    print(f"{dock}: {cost:.1f} times numpy, {len(ours)} modules of ours, {others} more")
    assert not {name.partition(".")[0] for name in new} & (set(HEAVY) - {"qtpy"})
    assert not [name for name in ours if name.startswith("napari_ditto.models.ditto")]
    assert others < 20
    assert len(ours) < 230
    assert cost < 12


FIRST_CLICK = """
import json, sys
import numpy as np
from napari_ditto.core.jobs import drain
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.data.source import open_source
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.workshop import Workshop

image = np.zeros((80, 90), np.uint8)
image[20:50, 30:60] = 200
setup, workshop = Setup(open_source(image, "yx"), "classic", "cpu"), Workshop()
drain(workshop.prepare(setup))
before = set(sys.modules)
prompts = PromptSet((PointPrompt(35.0, 45.0),))
found = drain(workshop.predict(setup, prompts, setup.source.plane()))
drain(workshop.accept(setup, None, found, found.best, "keep"))
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_first_click_and_the_first_label_find_everything_imported(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(ONE_THREAD, "NAPARI_DITTO_CACHE", str(tmp_path))
    assert run(FIRST_CLICK) == []
