"""Decoding has one PyTorch thread per core, whatever others have."""

from __future__ import annotations

import pytest
import torch

from napari_ditto.models import device
from napari_ditto.models.decoding import cores
from napari_ditto.models.device import threads

CPU = torch.device("cpu")


@pytest.fixture
def fresh_threads():
    """As in a process that has not decoded yet, and has two threads for everything else."""
    device._shared.cache_clear()
    with threads(2):
        yield
    device._shared.cache_clear()


@pytest.mark.usefixtures("fresh_threads")
def test_every_thread_computes_alone():
    def counts(each):
        torch.ones(8) @ torch.ones(8)  # a thread that has computed nothing knows no number yet
        return [torch.get_num_threads(), *each(lambda _: torch.get_num_threads(), range(8))]

    found = cores.one_prompt_per_core([counts] * 3, CPU)
    assert {n for some in found for n in some} == {1}
    assert torch.get_num_threads() == 2
