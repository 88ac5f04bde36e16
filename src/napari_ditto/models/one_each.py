"""Parts of one tile, each computed by one core from beginning to end.

Two cores that share every operation wait for each other after every one, thousands of times per
tile, and hand on what the other's cache holds. Parts that do not depend on each other need neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import wait

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.device import shared_threads


def one_each(works: Iterable[Callable[[], object]]) -> None:
    """Do all works, in any order, as many at once as the caller may compute with.

    Each is done with one PyTorch thread and without gradients, so that results do not depend on how
    many there are.
    """
    todo = deque(works)
    count = min(torch.get_num_threads(), len(todo))
    if count <= 1:
        _work_off(todo)
        return
    threads = shared_threads("encode")
    runs = [threads.submit(_work_off, todo) for _ in range(count)]
    wait(runs)
    for run in runs:
        run.result()


def _work_off(todo: deque[Callable[[], object]]) -> None:
    with torch.inference_mode():
        while todo:
            try:
                work = todo.popleft()
            except IndexError:  # another thread was faster
                return
            work()
