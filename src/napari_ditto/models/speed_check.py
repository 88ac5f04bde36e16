"""How fast a model is on this machine: measured once in a process of its own, and remembered.

A process of its own neither slows down who asks, nor takes their memory with it if there is too
little, and its peak of memory is that of the model alone. It ends when the asking ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.config_folder import config_folder, write_whole
from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import Frame
from napari_ditto.errors import DittoError, ModelError, StoreError
from napari_ditto.models.estimate import click_for
from napari_ditto.models.machine import this_machine
from napari_ditto.models.protocols import ContextModel, Example, PromptModel
from napari_ditto.models.registry import find_weights, load_model, parse
from napari_ditto.models.transformers_guard import transformers

if TYPE_CHECKING:
    from napari_ditto.core.embedding import Embedding

T = TypeVar("T")

MAX_FILE = 1 << 20
LEAST, MOST, ENOUGH_SECONDS = 3, 6, 1.0
"""How often a call is repeated, at most until so much time has gone by.

The quickest counts: what others do on the machine, and what a first call sets up, only adds.
"""

LONG_SECONDS = 5.0
"""What takes longer is timed once, at its first call."""

ASK_EVERY = 0.1
"""Seconds between two looks at the process."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of a model.

    Attributes
    ----------
    model, weights_sha256, device : str
        Which model, where; the time of other weights under the same name is another.
    machine : str
        Which machine, :func:`~napari_ditto.models.machine.this_machine`.
    tile : int
        Side of the tile, pixels.
    encode_ms, decode_ms : float
        Milliseconds for a tile, and then for a prompt; for a model that takes only examples, for
        one example.
    load_seconds : float
        From the files to a model that is ready.
    memory_bytes : int
        Peak that loading, one tile and one prompt take beyond the libraries; 0 is not known.
    gpu_bytes : int
        Peak on the device; 0 is none, or not known.
    measured : str
        When, UTC.
    """

    model: str
    weights_sha256: str
    device: str
    machine: str
    tile: int
    encode_ms: float
    decode_ms: float
    load_seconds: float
    memory_bytes: int = 0
    gpu_bytes: int = 0
    measured: str = ""


# --- ask ---------------------------------------------------------------------------------------


def speed_steps(name: str, device: str = "auto") -> Generator[Progress, None, Speed]:
    """Measure a model in another process and remember what was found.

    Parameters
    ----------
    name, device : str
        As for :func:`napari_ditto.load_model`.

    Yields
    ------
    Progress
        A place to cancel, several times a second; the process is ended then.

    Raises
    ------
    DittoError
        What the model raises, or that the process ended without an answer.
    """
    family, which = parse(name)
    if family.takes == "weights":
        find_weights(family, which)
    command = [sys.executable, "-m", __name__, name, device]
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603  # ourselves
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        try:
            while child.poll() is None:
                seconds = time.monotonic() - began
                yield Progress("read", text=f"measuring {name}, {seconds:.0f} s so far")
                time.sleep(ASK_EVERY)
        finally:
            child.kill()
        assert child.stdout is not None  # noqa: S101  # a pipe was asked for
        speed = _answer(child.stdout.read(), name, child.returncode)
    remember(speed)
    return speed


def _answer(said: bytes, name: str, status: int) -> Speed:
    lines = said.decode("utf-8", "replace").splitlines() or [""]
    try:
        told = json.loads(lines[-1])
        if "error" in told:
            raise ModelError(told["error"], todo=str(told.get("todo", "")))
        return Speed(**told)
    except (ValueError, TypeError) as error:
        killed = " (out of memory, perhaps)" if status in (-9, 137) else ""
        raise ModelError(
            f"measuring ended without an answer, status {status}{killed}",
            where=name,
            todo="Close other programs, or choose a smaller model",
        ) from error


# --- remember ------------------------------------------------------------------------------------


def remembered(name: str, sha256: str = "") -> Speed | None:
    """Return the latest that was measured of a model on this machine, None if nothing was.

    Parameters
    ----------
    name : str
        The model.
    sha256 : str
        Hash of its weights, where it is known: what was measured of others does not count.
    """
    machine = this_machine()
    for speed in reversed(_all()):
        if (speed.model, speed.machine) == (name, machine):
            return speed if sha256 in ("", speed.weights_sha256) else None
    return None


def remember(speed: Speed) -> None:
    """Keep what was measured in the place of what was measured before.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    key = (speed.model, speed.machine, speed.device)
    others = [s for s in _all() if (s.model, s.machine, s.device) != key]
    try:
        write_whole(
            _file(), json.dumps({"speeds": [asdict(s) for s in [*others, speed]]}, indent=1)
        )
    except OSError as error:
        raise StoreError(
            f"the speed cannot be written: {error.strerror}", where=str(_file())
        ) from error


def _file() -> Path:
    return config_folder() / "speeds.json"


def _all() -> list[Speed]:
    """Return what is remembered; a damaged file counts as empty, for it can be measured again."""
    try:
        return [Speed(**s) for s in json.loads(read_plain(_file(), MAX_FILE))["speeds"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []


# --- measure, in the other process -------------------------------------------------------------


def measure_here(name: str, device: str = "auto") -> Speed:
    """Return the speed of a model, measured in this process."""
    before = _resident(name)
    began = time.perf_counter()
    model: PromptModel | ContextModel = load_model(name, device)
    loaded = time.perf_counter() - began
    side = model.spec.input_size
    tile = _tile(side)
    encode, embedding = _time(lambda _: model.encode(tile)[0])
    decode, _ = _time(_question(model, embedding, side))
    spec = model.spec
    return Speed(
        name, spec.weights_sha256, spec.device, this_machine(), side,
        1000 * encode, 1000 * decode, loaded,
        max(0, _peak() - before) if before else 0, _gpu_peak(spec.device),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def _question(
    model: PromptModel | ContextModel, embedding: Embedding, side: int
) -> Callable[[int], object]:
    """Return what asks a model about a tile: a click, or what an example has shown.

    Each click is elsewhere, for a model may remember its answers.
    """
    if isinstance(model, PromptModel):
        first = click_for(model.spec, side)
        return lambda i: model.decode(embedding, [first.to_frame(Frame(origin=(7.0 * i, 5.0 * i)))])
    labels = np.zeros(embedding.tile_shape, dtype=np.int32)
    labels[side // 4 : side // 2, side // 4 : side // 2] = 1
    memory = model.remember([Example(embedding, labels)])
    return lambda _: model.recall(embedding, memory)


def _time(call: Callable[[int], T]) -> tuple[float, T]:
    """Return the seconds of a call, and its result; a short one is repeated once it is warm."""
    seconds: list[float] = []
    while True:
        start = time.perf_counter()
        result = call(len(seconds))
        seconds.append(time.perf_counter() - start)
        enough = len(seconds) >= LEAST and (sum(seconds) > ENOUGH_SECONDS or len(seconds) >= MOST)
        if enough or seconds[0] > LONG_SECONDS:
            return min(seconds), result


def _tile(side: int) -> NDArray[np.float32]:
    """Return a bright disc on noise, shape (1, side, side, 3)."""
    rows, columns = np.ogrid[:side, :side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 10) ** 2
    noise = np.random.default_rng(0).random((side, side), dtype=np.float32)
    grey = np.where(disc, 0.7, 0.1) + 0.2 * noise
    return np.repeat(grey[None, ..., None], 3, axis=-1).astype(np.float32)


def _resident(name: str) -> int:
    """Return the bytes of memory in use once its libraries are there, 0 if nobody knows."""
    takes = parse(name)[0].takes
    with suppress(ImportError):
        if takes != "nothing":
            import torch  # noqa: F401
        if takes == "weights":
            transformers()
    return _status("VmRSS") or _used()


def _peak() -> int:
    return _status("VmHWM") or _used()


def _status(field: str) -> int:
    """Return what Linux says of this process; ``ru_maxrss`` would count who started it as well."""
    try:
        table = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    found = [line.split() for line in table.splitlines() if line.startswith(f"{field}:")]
    return int(found[0][1]) * 1024 if found else 0


def _used() -> int:
    """Return the peak as macOS tells it, in bytes; 0 elsewhere."""
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0


def _gpu_peak(device: str) -> int:
    if not device.startswith("cuda"):
        return 0
    import torch

    return int(torch.cuda.max_memory_allocated(device))


def main(name: str, device: str) -> None:
    """Measure, and print one line of JSON."""
    try:
        told = asdict(measure_here(name, device))
    except DittoError as error:
        told = {"error": error.what, "todo": error.todo}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
