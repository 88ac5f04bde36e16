"""What a number was measured on: processor, memory, versions; nothing that names the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "asimd",
    "bf16",
)
"""Instructions that matter to matrix products, the later the faster within one architecture."""

PACKAGES = ("torch", "transformers", "numpy", "zarr", "napari")


@dataclass(frozen=True)
class Machine:
    """What may be told of a machine.

    Attributes
    ----------
    system, processor : str
        ``"Linux x86_64"``, and the maker's name of the processor.
    cores : int
        That this process may use.
    flags : list of str
        Those of :data:`FLAGS` that it has.
    memory_gb : float
    gpu : str
        Its name, ``""`` for none.
    python : str
    packages : dict of str to str
        Their versions.
    """

    system: str
    processor: str
    cores: int
    flags: list[str]
    memory_gb: float
    gpu: str
    python: str
    packages: dict[str, str]

    @property
    def kind(self) -> str:
        """The class of machines within which numbers may be compared."""
        best = self.flags[-1] if self.flags else "no vector instructions known"
        return ", ".join(filter(None, (self.system, f"{self.cores} cores", best, self.gpu)))

    def as_record(self) -> dict[str, object]:
        return asdict(self) | {"kind": self.kind}


def this_machine() -> Machine:
    """Look at this machine."""
    about = _cpuinfo()
    known = set(about.get("flags", about.get("Features", "")).split())
    return Machine(
        f"{platform.system()} {platform.machine()}",
        about.get("model name", platform.processor() or "unknown"),
        _cores(),
        [flag for flag in FLAGS if flag in known],
        _memory(),
        _gpu(),
        platform.python_version(),
        {name: found for name in PACKAGES if (found := _version(name))},
    )


def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor; empty elsewhere."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return {}
    first = file.read_text().split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> float:
    import psutil

    return round(psutil.virtual_memory().total / 2**30, 1)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def measured_code() -> str:
    """Return the commit of the package that is imported, with ``+`` if its source was changed."""
    spec = find_spec("napari_ditto")
    assert spec is not None
    assert spec.origin is not None
    folder = str(Path(spec.origin).parent)

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = "+" if git("status", "--porcelain", "--untracked-files=no", ".") else ""
    return (git("rev-parse", "--short=7", "HEAD") or "unknown") + changed
