"""Look at this machine and say what will not work, and what to do about it.

Nothing is changed. Exit status 0 means that segmentation works here; warnings name what does not.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from napari_ditto.cli import probes
from napari_ditto.cli.console import Console, size, table

PACKAGE = "napari-ditto"
OPTIONAL = ("napari", "npe2", "PyQt6", "PySide6", "torchvision")
BINDINGS = ("PyQt6", "PySide6")
MIN_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    name, found : str
        What was looked at, and what is there.
    status : str
        "ok", "warning" (something will not work) or "error" (nothing will).
    todo : str
        What to do about it.
    """

    name: str
    found: str
    status: Literal["ok", "warning", "error"] = "ok"
    todo: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options: there are none."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    checks = list(examine())
    errors = [c for c in checks if c.status == "error"]
    console.result({"usable": not errors, "checks": [asdict(c) for c in checks]}, text(checks))
    if errors:
        console.note(f"{PACKAGE}: not usable here: {'; '.join(c.name for c in errors)}")
    return 2 if errors else 0


def text(checks: list[Check]) -> str:
    """Return the report for a person; it ends with what to do."""
    marks = {"ok": "", "warning": "!", "error": "X"}
    rows = [(marks[c.status], c.name, c.found) for c in checks]
    problems = [f"- {c.name}: {c.todo}" for c in checks if c.status != "ok"]
    end = ["", "What to do:", *problems] if problems else ["", "All is well."]
    return "\n".join([table(rows), *end])


def examine() -> Iterator[Check]:
    """Yield every check."""
    yield Check("Python", f"{platform.python_version()}, {platform.platform()}")
    yield from requirements()
    yield from optional()
    answers = probes.ask_all(programs())
    yield torch(answers["torch"])
    yield transformers(answers["transformers"])
    yield from torchvision(answers.get("torchvision"))
    yield from window(answers)
    yield from cache()
    yield from models()
    yield bundled()


def programs() -> dict[str, str]:
    """Return the probes that make sense here."""
    chosen = {"torch": probes.TORCH, "transformers": probes.TRANSFORMERS}
    if installed("torchvision"):
        chosen["torchvision"] = probes.TORCHVISION
    if display():
        chosen |= {"Qt": probes.QT, "OpenGL": probes.OPENGL}
    return chosen


def installed(name: str) -> str:
    """Return the version of a distribution, empty if it is not there."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


# --- packages --------------------------------------------------------------------------------


def requirements() -> Iterator[Check]:
    """Yield what the package needs, each with the version that is here."""
    from importlib import metadata

    from packaging.requirements import Requirement

    yield Check(PACKAGE, f"{installed(PACKAGE)} in {Path(__file__).parents[1]}")
    for line in metadata.requires(PACKAGE) or ():
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate():
            yield requirement(need.name, str(need.specifier), installed(need.name))


def requirement(name: str, specifier: str, version: str) -> Check:
    """Judge one requirement."""
    from packaging.specifiers import SpecifierSet

    todo = f"pip install '{name}{specifier}'"
    if not version:
        return Check(name, "missing", "error", todo)
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return Check(name, f"{version}, needs {specifier}", "error", todo)
    return Check(name, version)


def optional() -> Iterator[Check]:
    """Yield what is needed only for the window, or not at all."""
    yield from (Check(name, installed(name) or "not installed") for name in OPTIONAL)
    if not installed("napari"):
        yield Check("window", "napari is missing", "warning", f"pip install '{PACKAGE}[all]'")
    elif not any(installed(name) for name in BINDINGS):
        yield Check("window", "no Qt binding", "warning", "pip install PyQt6")


def torch(answer: probes.Answer) -> Check:
    """Judge torch and name the devices."""
    if answer.fault:
        todo = "reinstall torch (https://pytorch.org/get-started); until then only classic runs"
        return Check("devices", f"torch: {answer.fault}", "warning", todo)
    found = answer.facts
    gpus = [*found["cuda"], *(["mps"] if found["mps"] else [])]  # type: ignore[misc]
    return Check("devices", ", ".join(["cpu", *gpus]) + f" ({found['threads']} threads)")


def transformers(answer: probes.Answer) -> Check:
    """Judge whether the SAM families can be loaded."""
    if answer.fault:
        todo = "pip install --upgrade transformers; until then sam and sam2 do not run"
        return Check("SAM classes", answer.fault, "warning", todo)
    return Check("SAM classes", "transformers has SamModel, SamHQModel and Sam2Model")


def torchvision(answer: probes.Answer | None) -> Iterator[Check]:
    """Judge a torchvision: one of another build than torch breaks transformers."""
    wanted, here = wanted_torch(), installed("torch")
    unfit = wanted and here and here.partition("+")[0] != wanted
    if answer and (answer.fault or unfit):
        fault = answer.fault or f"made for torch {wanted}, here is {here}"
        todo = "pip uninstall torchvision (it is not needed), or install the one for this torch"
        yield Check("torchvision fits torch", fault, "warning", todo)


def wanted_torch() -> str:
    """Return the torch version that the installed torchvision was built for."""
    from importlib import metadata

    from packaging.requirements import Requirement

    if not installed("torchvision"):
        return ""
    needs = [Requirement(line) for line in metadata.requires("torchvision") or ()]
    pins = [str(n.specifier) for n in needs if n.name == "torch"]
    return pins[0].removeprefix("==") if pins and pins[0].startswith("==") else ""


# --- window ----------------------------------------------------------------------------------


def display() -> str:
    """Return the display a window would open on."""
    if sys.platform != "linux":
        return sys.platform
    return os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or ""


def window(answers: dict[str, probes.Answer]) -> Iterator[Check]:
    """Yield display, Qt and OpenGL."""
    if not display():
        todo = "needed only for the window; 'xvfb-run -a' gives a virtual one"
        yield Check("display", "none", "warning", todo)
        return
    yield Check("display", display())
    yield probed("Qt", answers["Qt"], "pip install PyQt6; on Linux see scripts/system-libs.sh")
    yield probed(
        "OpenGL", answers["OpenGL"], "install a graphics driver (libgl1-mesa-dri on Linux)"
    )


def probed(name: str, answer: probes.Answer, todo: str) -> Check:
    """Turn the answer of a probe into a check."""
    if answer.fault:
        return Check(name, answer.fault, "warning", todo)
    return Check(name, ", ".join(str(v) for v in answer.facts.values()))


# --- disk ------------------------------------------------------------------------------------


def cache() -> Iterator[Check]:
    """Yield place, size and state of the embedding cache."""
    from napari_ditto.data.embeddings import EmbeddingCache, default_directory

    folder = default_directory()
    yield place("cache", folder, "set NAPARI_DITTO_CACHE to a folder that can be written")
    if folder.exists():
        stats = EmbeddingCache(directory=folder).stats()
        yield Check("cache content", f"{stats.entries} embeddings, {size(stats.nbytes)}")


def place(name: str, folder: Path, todo: str) -> Check:
    """Judge a folder that is to be written: permission and free space."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Check(name, f"{folder} cannot be written", "warning", todo)
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        return Check(name, f"{folder}, only {size(free)} free", "warning", "free some space")
    return Check(name, f"{folder}, {size(free)} free")


def models() -> Iterator[Check]:
    """Yield the folder of the weights, and which are there."""
    from napari_ditto.models import online, registry, weights

    folder = weights.models_dir()
    yield place("models", folder, "set NAPARI_DITTO_MODELS to a folder that can be written")
    known = registry.available_models()
    here = [e.id for e in known if e.installed and e.family not in ("ditto", "classic")]
    yield Check(
        "weights", ", ".join(["ditto (comes with the package)", "classic (needs none)", *here])
    )
    for gone in (e for e in known if e.added and not e.installed):
        todo = f"put it back, or: napari-ditto models remove {gone.id}"
        yield Check("your model", f"{gone.source} is not there", "warning", todo)
    yield Check("network", "never used" if online.is_offline() else "only when you download")


def bundled() -> Check:
    """Judge the weights of ditto: their hash is computed anew."""
    from napari_ditto.core.jobs import drain
    from napari_ditto.errors import DittoError
    from napari_ditto.models.verification import verify_steps

    try:
        found = drain(verify_steps("ditto"))
    except DittoError as error:
        todo = f"{error.todo}; until then only classic runs"
        return Check("ditto", f"{error.what} ({error.where})", "warning", todo)
    return Check("ditto", f"sha256 {found.sha256[:16]}..., as packed")
