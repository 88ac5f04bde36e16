"""Parts of a tile are done by one core each, all of them, and errors come out."""

from __future__ import annotations

from functools import partial
from threading import Event, get_ident

import pytest
import torch

from napari_ditto.models.device import threads
from napari_ditto.models.one_each import one_each


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("works", [0, 1, 7])
def test_every_work_is_done_once_with_one_thread(works, count):
    found = []

    def work(n):
        found.append((n, torch.get_num_threads() if count > 1 < works else 1))
        assert torch.is_inference_mode_enabled()

    with threads(count):
        one_each(partial(work, n) for n in range(works))
        assert torch.get_num_threads() == count
    assert sorted(found) == [(n, 1) for n in range(works)]


def test_as_many_at_once_as_the_caller_computes_with():
    """Each of two waits for the other; alone, the caller does all itself."""
    met, own = [Event(), Event()], []

    def meet(n):
        met[n].set()
        assert met[1 - n].wait(20)

    with threads(2):
        one_each([partial(meet, 0), partial(meet, 1)])
    with threads(1):
        one_each([lambda: own.append(get_ident())] * 3)
    assert own == [get_ident()] * 3


def test_an_error_comes_out_when_nobody_works_any_more():
    done = []

    def fail():
        raise ValueError("broken")

    with threads(2), pytest.raises(ValueError, match="broken"):
        one_each([fail, *[partial(done.append, n) for n in range(20)]])
    assert done == list(range(20))
