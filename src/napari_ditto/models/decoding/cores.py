"""One prompt per core: its products are too small for several cores to share.

PyTorch's number of threads belongs to the thread that computes, but setting it changes the number
that new threads begin with, too. So decoding has threads of its own, made once, that compute alone;
nobody else's number changes, and answers do not depend on how many cores there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.two_way import Each

Result = TypeVar("Result")


def one_prompt_per_core(work: Callable[[Each], Result], device: torch.device) -> Result:
    """Return what `work` makes of a ``map`` that goes through the images of prompts."""
    if device.type != "cpu":
        return work(map)
    leaders, others = _leaders(), _others()
    return leaders.submit(work, others.map).result()


@lru_cache(maxsize=1)
def _leaders() -> ThreadPoolExecutor:
    """Return threads that wait for the others, and must not be among them."""
    return _alone("decode")


@lru_cache(maxsize=1)
def _others() -> ThreadPoolExecutor:
    return _alone("decode-image")


def _alone(name: str) -> ThreadPoolExecutor:
    """Return a thread for each core, each with one PyTorch thread."""
    count, before = os.cpu_count() or 1, torch.get_num_threads()
    begun = Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        begun.wait()

    pool = ThreadPoolExecutor(count, name, begin)
    for _ in range(count):  # no thread is idle before all have begun, so each is a new one
        pool.submit(int)
    begun.wait()
    torch.set_num_threads(before)
    return pool
