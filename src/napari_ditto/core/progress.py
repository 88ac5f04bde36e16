"""What a long job yields: a place to cancel and a line for the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal[
    "read", "encode", "decode", "grow", "merge", "write", "download",
    "tiles", "pairs", "join", "paint", "pyramid",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job.

    Attributes
    ----------
    stage : str
        What is about to be done.
    done, total : int
        Finished steps of this stage, and how many there are (0 = not known).
    text : str
        One short line for the user, e.g. ``"encoding tile 1 of 1"``.
    partial : object or None
        A finished part of the result that can be shown already.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    text: str = ""
    partial: object | None = None
