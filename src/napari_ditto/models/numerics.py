"""Which numbers a network computes with: asked for, or measured once and remembered.

Half precision and bytes are fast on some machines, slow on others, and some weights do not bear
them. So ``"auto"`` lets a family try each on a small seeded picture, with the weights that were
loaded, and takes less than float32 only where it was faster and the masks were the same.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.config_folder import config_folder, write_whole
from napari_ditto.core.plain_file import read_plain
from napari_ditto.errors import ModelError
from napari_ditto.models.machine import this_machine

Precision = Literal["float32", "bfloat16", "float16", "int8"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
CHOICES = ("auto", *PRECISIONS)

LEAST_IOU = 0.99
"""Between the masks of a precision and of float32, on average over the prompts of the trial."""

LEAST_GAIN = 1.1
"""How many times faster than all with more bits a precision must be; less is noise."""

MAX_FILE = 1 << 20


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a trial found with one precision.

    Attributes
    ----------
    seconds : float
        What encoding took, warm.
    masks : ndarray of bool, shape (n, h, w)
        Of prompts on the seeded picture; every trial asks the same ones.
    """

    seconds: float
    masks: NDArray[np.bool_]


Trial = Callable[[Precision], Outcome]


def choose_precision(
    wanted: str,
    device: str,
    weights: str,
    trial: Trial,
    offered: Collection[str] = PRECISIONS,
) -> Precision:
    """Return what to compute with.

    Parameters
    ----------
    wanted : str
        One of :data:`CHOICES`; what is not ``"auto"`` is taken as it is.
    device : str
        Where the network runs.
    weights : str
        What tells these weights, and the version of the code that runs them, from others.
    trial : callable
        Encodes and decodes the seeded picture. It is called with ``"float32"`` and with what the
        device may be faster with, once per machine, version of torch, and weights.
    offered : collection of str
        Precisions that the family knows.

    Raises
    ------
    ModelError
        If there is no such choice.
    """
    if wanted != "auto":
        if wanted not in offered:
            known = ", ".join(("auto", *(p for p in PRECISIONS if p in offered)))
            raise ModelError(f"there is no precision {wanted!r} here", todo=f"Use {known}")
        return cast("Precision", wanted)
    lower = [p for p in lower_precisions(device) if p in offered]
    if not lower:
        return "float32"
    what = f"{weights} in {', '.join(lower)}"
    return cast(
        "Precision", remembered(device, what, ("float32", *lower), lambda: _best(lower, trial))
    )


def _best(lower: Sequence[Precision], trial: Trial) -> Precision:
    """Try precisions of ever fewer bits, each of which must be clearly faster than the best."""
    best: Precision = "float32"
    single = trial("float32")
    seconds = single.seconds
    for precision in lower:
        found = trial(precision)
        if found.seconds * LEAST_GAIN <= seconds and agrees(single, found):
            best, seconds = precision, found.seconds
    return best


def agrees(single: Outcome, lower: Outcome) -> bool:
    """Whether the masks are those of float32."""
    return agreement(single.masks, lower.masks) >= LEAST_IOU


def agreement(expected: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Return the mean IoU of masks (n, h, w) with those expected; empty ones agree with empty."""
    both = (expected & found).sum(axis=(1, 2))
    either = (expected | found).sum(axis=(1, 2))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).mean())


def lower_precisions(device: str) -> tuple[Precision, ...]:
    """Return what a device may be faster with than with float32, most bits first."""
    half = half_precision(device)
    bytewise: tuple[Precision, ...] = ("int8",) if device == "cpu" and _cpu_has_bytes() else ()
    return (*(() if half is None else (half,)), *bytewise)


def real_type(precision: str, device: str) -> str:
    """Return what is computed with where bytes are not."""
    return precision if precision != "int8" else half_precision(device) or "float32"


def half_precision(device: str) -> Precision | None:
    """Return the half precision that a device may be fast with, None if there is none."""
    if device == "cpu":
        return "bfloat16" if _cpu_multiplies_bfloat16() else None
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "float16"


def of_key(key: str) -> Precision:
    """Return the precision that :attr:`ModelSpec.key` tells."""
    last = key.rpartition("+")[2]
    return last if last in PRECISIONS else "float32"


def _cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for it; emulation is slow even to try."""
    import torch

    if platform.machine().lower() in ("arm64", "aarch64"):
        return bool(getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)())
    tells = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in tells)


def _cpu_has_bytes() -> bool:
    """Whether the CPU multiplies bytes faster than float32."""
    from napari_ditto.models.int8 import is_fast

    return is_fast()


# --- remember ----------------------------------------------------------------------------------


def remembered(device: str, what: str, choices: Sequence[str], measure: Callable[[], str]) -> str:
    """Return one of some choices: as it was measured on this machine before, or measured now.

    All processes of a machine then choose the same, and their results are the same.
    """
    place = _place(device, what)
    known = _remembered().get(place)
    if known is not None and known in choices:
        return known
    chosen = measure()
    _remember(place, chosen)
    return chosen


def _place(device: str, weights: str) -> str:
    import torch

    if device.startswith("cuda"):
        device = torch.cuda.get_device_name(device)
    return " | ".join((this_machine(), f"torch {torch.__version__}", device, weights))


def _file() -> Path:
    return config_folder() / "precisions.json"


def _remembered() -> dict[str, str]:
    """Return what is remembered; a damaged file counts as empty, for it can be measured again."""
    try:
        return dict(json.loads(read_plain(_file(), MAX_FILE)))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _remember(place: str, chosen: str) -> None:
    with suppress(OSError):  # a folder that cannot be written to costs a trial each time, no more
        write_whole(_file(), json.dumps(_remembered() | {place: chosen}, indent=1))
