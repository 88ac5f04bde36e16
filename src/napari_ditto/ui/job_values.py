"""What the background jobs of a dock are given, and what those that write give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_ditto.data.protocols import LabelDelta, LabelStore, Source

if TYPE_CHECKING:
    from napari_ditto.data.session_steps import PromptStep


@dataclass(frozen=True, slots=True)
class Setup:
    """Which image, which model, where: what every job needs.

    Attributes
    ----------
    source : Source
        The image.
    model, device : str
        As for :func:`napari_ditto.load_model`.
    """

    source: Source
    model: str
    device: str


@dataclass(frozen=True, eq=False)
class Written:
    """What a job wrote.

    Attributes
    ----------
    store : LabelStore
        Where; a new one if none was given.
    deltas : tuple of LabelDelta
        The writes, in order.
    provenance : tuple of dict
        Where each label comes from.
    made : tuple of PromptStep
        How objects came about that prompts alone have made.
    became : mapping of int to tuple of int
        The ids under which objects that were there before can be found now.
    text : str
        What was done, in a word or two; ``""`` if labels were written.
    """

    store: LabelStore
    deltas: tuple[LabelDelta, ...]
    provenance: tuple[dict[str, object], ...] = ()
    made: tuple[PromptStep, ...] = ()
    became: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    text: str = ""
