"""One prompt per core: its products are too small for several cores to share.

Decoding has threads of its own, made once, that compute alone; nobody else's number of threads
changes, and answers do not depend on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch  # noqa: TID253  # imported with a family

from napari_ditto.models.decoding.two_way import Each
from napari_ditto.models.device import shared_threads

Result = TypeVar("Result")


def one_prompt_per_core(
    works: Sequence[Callable[[Each], Result]], device: torch.device
) -> list[Result]:
    """Return what each of `works` makes of a ``map`` that goes through the images of prompts.

    While the tokens of some prompts are computed, which are few, the images of others are.
    """
    if device.type != "cpu":
        return [work(map) for work in works]
    # Threads for whole questions, which mostly wait, and for their images.
    leaders, others = shared_threads("decode"), shared_threads("decode-image")
    return list(leaders.map(lambda work: work(others.map), works))
