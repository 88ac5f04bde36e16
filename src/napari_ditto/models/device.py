"""Where a network runs: choose the device, count its memory, survive a lack of it."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

from napari_ditto.core.free_memory import free_memory
from napari_ditto.errors import DeviceError

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAMES = re.compile(r"cpu|mps|cuda(:\d+)?")


def choose_device(name: str = "auto") -> str:
    """Return the device to use: ``"cpu"``, ``"mps"`` or ``"cuda:<n>"``.

    Parameters
    ----------
    name : str
        ``"auto"`` takes the first that works of CUDA, MPS and CPU; any other name must work.

    Raises
    ------
    DeviceError
        If `name` is no device, or that device does not work here.
    """
    if name == "auto":
        return next((d for d in ("cuda:0", "mps") if _problem(d) is None), "cpu")
    device = "cuda:0" if name == "cuda" else name
    if not _NAMES.fullmatch(device):
        raise DeviceError(f"there is no device {name!r}", todo="Use auto, cpu, cuda, cuda:1 or mps")
    if problem := _problem(device):
        raise DeviceError(f"device {name!r} cannot be used: {problem}", todo="Use auto or cpu")
    return device


def usable_devices() -> list[str]:
    """Return every device that works here, the fastest first, ``"cpu"`` last."""
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [d for d in [*found, "mps"] if _problem(d) is None] + ["cpu"]


def _problem(device: str) -> str | None:
    """Return why a device does not work; a driver can be there and still refuse to run."""
    import torch

    if device == "mps" and not torch.backends.mps.is_available():
        return "this machine or this PyTorch has no MPS"
    if device.startswith("cuda") and not _cuda_available():
        return "this machine or this PyTorch has no CUDA"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return None


def _cuda_available() -> bool:
    import torch

    with warnings.catch_warnings():
        # An old driver is reported as a UserWarning; here it is simply a device that is not there.
        warnings.simplefilter("ignore", UserWarning)
        return bool(torch.cuda.is_available())


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Run a block with `count` PyTorch threads (None leaves the number as it is)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Run a block whose new threads compute with one PyTorch thread each.

    Sums then have one order, so that results do not depend on the cores of a machine.
    """
    if "torch" not in sys.modules:  # a model without a network; torch takes seconds to import
        yield
        return
    with threads(1):
        yield


def one_thread(work: Callable[[], Result]) -> Callable[[], Result]:
    """Return work that is computed with one PyTorch thread, for a thread beside others."""

    def alone() -> Result:
        with one_thread_each():
            return work()

    return alone


def lone_threads(name: str) -> ThreadPoolExecutor:
    """Return a thread for each core, each of which computes with one PyTorch thread.

    PyTorch's number of threads belongs to the thread that computes, but setting it changes the
    number that new threads begin with, too. So it is set once, and put back for all others.
    """
    import torch

    count, before = os.cpu_count() or 1, torch.get_num_threads()
    begun = Barrier(count + 1)

    def begin() -> None:
        torch.get_num_threads()  # else the thread's first product would set it anew
        torch.set_num_threads(1)
        begun.wait()

    pool = ThreadPoolExecutor(count, name, begin)
    for _ in range(count):  # no thread is idle before all have begun, so each is a new one
        pool.submit(int)
    begun.wait()
    torch.set_num_threads(before)
    return pool


_shared = cache(lone_threads)
_MAKING = Lock()


def shared_threads(name: str) -> ThreadPoolExecutor:
    """Return :func:`lone_threads` that a process makes once for each name."""
    with _MAKING:
        return _shared(name)


if hasattr(os, "register_at_fork"):  # the threads of a process are not those of its children
    os.register_at_fork(after_in_child=_shared.cache_clear)


def has_accelerator() -> bool:
    """Whether a model that has been loaded may run on a GPU."""
    return "torch" in sys.modules and choose_device() != "cpu"


def available_memory(device: str = "cpu") -> int | None:
    """Return the bytes that can still be had on a device; None if nobody knows."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()


def in_batches(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], size: int
) -> list[Result]:
    """Return the results of `work` on batches of `items`, halving the batch when memory runs out.

    Raises
    ------
    DeviceError
        If even a single item does not fit.
    """
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            results += work(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise out_of_memory() from error
            size = len(batch) // 2
    return results


@contextmanager
def memory_watched() -> Iterator[None]:
    """Run a block whose lack of memory is to be a DeviceError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise out_of_memory() from error
        raise


def out_of_memory() -> DeviceError:
    """Return the error that says what to do when memory runs out."""
    return DeviceError(
        "the device is out of memory for this model",
        todo="Close other programs, choose a smaller model, or use device cpu",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; CPU and MPS raise a plain RuntimeError."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


@contextmanager
def one_core_free() -> Iterator[None]:
    """Let torch leave a core to others, in this thread: two that wait for each other are slow.

    For who answers while a window is painted or another thread computes. Masks are the same;
    logits of a network may differ in their last bits.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
