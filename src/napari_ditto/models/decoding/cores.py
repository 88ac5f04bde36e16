"""One prompt per core: its products are too small for several cores to share.

PyTorch's number of threads belongs to the thread that computes, but setting it changes the number
that new threads begin with, too. So decoding has threads of its own, made once, that compute alone;
nobody else's number changes, and answers do not depend on how many cores there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.two_way import Each

Result = TypeVar("Result")

_MAKING = Lock()


def one_prompt_per_core(work: Callable[[Each], Result], device: torch.device) -> Result:
    """Return what `work` makes of a ``map`` that goes through the images of prompts."""
    if device.type != "cpu":
        return work(map)
    with _MAKING:
        leaders, others = _threads()
    return leaders.submit(work, others.map).result()


@cache
def _threads() -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """Return threads for whole questions, which wait for the others, and for their images."""
    return _alone("decode"), _alone("decode-image")


if hasattr(os, "register_at_fork"):  # the threads of a process are not those of its children
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _alone(name: str) -> ThreadPoolExecutor:
    """Return a thread for each core, each with one PyTorch thread."""
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
