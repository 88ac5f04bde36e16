"""What napari sets up for the first Labels layers of a process, before anyone waits for it.

It imports pandas and numba and compiles how labels are coloured: one to two seconds, which would
otherwise freeze the window at the first mask.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import numpy as np

SAFE_POOLS = ("numba.np.ufunc.tbbpool", "numba.np.ufunc.omppool")
"""Numba's pools of threads that two threads may use at once; its third one ends the program."""


@cache
def rehearse_labels() -> None:
    """Make a small layer of labels and one of a preview, in any thread; once per process."""
    from napari.layers import Labels
    from napari.utils.colormaps import DirectLabelColormap

    import_module("pandas")  # for what a layer keeps of its objects
    if _colors_in_any_thread():
        Labels(np.zeros((2, 2), np.uint32))
        colors = DirectLabelColormap(color_dict={1: "red", None: "transparent"})
        Labels(np.zeros((2, 2), np.uint8), colormap=colors)


def _colors_in_any_thread() -> bool:
    """Whether labels may be coloured here while the window colours others."""
    return not _has("numba") or any(_has(pool) for pool in SAFE_POOLS)


def _has(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
