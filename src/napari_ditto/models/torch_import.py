"""Import torch from a background thread without stopping the others.

Most of the import is one call of ``dlopen`` for 0.4 GB of library, which Python makes while it
holds its lock: a window freezes meanwhile. Through ctypes the same call lets go of the lock, and
what is loaded already costs the import nothing. Measured in a second thread on two busy cores:
the longest wait of the main thread falls from 1.4 s to 0.2 s.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from napari_ditto.errors import ModelError


def import_torch() -> None:
    """Import torch, unless it is there already.

    Raises
    ------
    ModelError
        If it cannot be imported; a reason in one line.
    """
    if sys.modules.get("torch"):
        return
    _load_library()
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise ModelError(
            f"torch cannot be imported: {error}",
            todo="Install it again (https://pytorch.org/get-started); classic runs without it",
        ) from error


def _load_library() -> None:
    """Load the largest library of torch's CPU build on Linux; other builds have more to heed."""
    spec = find_spec("torch")
    if sys.platform != "linux" or spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    library = folder / "libtorch_cpu.so"
    if library.exists() and not (folder / "libtorch_cuda.so").exists():
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
        # Where it fails the import will say why.
        dlopen(os.fsencode(library), os.RTLD_NOW | os.RTLD_LOCAL)
