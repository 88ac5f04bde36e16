"""How masks are made of the model's logits, as the user has chosen it in the dock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.refinement import Pieces, Refinement, checked
from napari_ditto.ui.part import Part
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import Session
from napari_ditto.ui.settings import Settings

NOTCH = 0.5
"""Logits per notch of the wheel: from a chance of .5 to .62."""

FURTHEST = 8.0
"""Beyond this logit, chances of 1 in 3,000, hardly a model has an opinion."""

STORED = {
    "smooth": "smooth_px",
    "fill_holes": "fill_holes",
    "pieces": "pieces",
    "min_area": "min_piece_px",
}
"""What persists, and what the setting is called; a threshold is for one object."""


def refinement_of(chosen: Settings) -> Refinement:
    """Return how a session begins."""
    stored = {name: getattr(chosen, setting) for name, setting in STORED.items()}
    return Refinement(**stored)


class Refining(Part):
    """Keeps the refinement of all proposals.

    Parameters
    ----------
    session, proposing
        What is refined.
    how : Refinement
        As the user's settings say.
    remember : callable
        Called with ``name=value`` when a setting that persists was changed.
    """

    name = "refine"

    def __init__(
        self,
        session: Session,
        proposing: Proposing,
        how: Refinement,
        remember: Callable[..., object],
    ) -> None:
        self._session, self._proposing, self._remember = session, proposing, remember
        proposing.refine(how)
        self._had_prompts = False
        session.events.prompts.connect(self._on_prompts)

    def shown(self) -> Refinement:
        """Return what is done to every mask."""
        return self._proposing.refinement

    def kept(self) -> Mapping[str, object]:
        """Return what a saved session keeps: all but the threshold of the object in hand."""
        return {name: getattr(self._proposing.refinement, name) for name in STORED}

    def put_back(self, kept: Mapping[str, object]) -> None:
        """Refine as another session did; what makes no sense is left out."""
        known = {name: value for name, value in kept.items() if name in STORED}
        try:
            self._take(checked(known))
        except ValueError as error:
            self._session.hint = f"Masks are refined as before: {error}"

    def choose(self, field: str, value: object) -> None:
        """Take over ``"refine.threshold"``, ``"refine.smooth"`` and so on."""
        name = field.partition(".")[2]
        how = self._proposing.refinement
        if name == "threshold":
            how = replace(how, threshold=float(str(value)))
        elif name == "smooth":
            how = replace(how, smooth=float(str(value)))
        elif name == "fill_holes":
            how = replace(how, fill_holes=bool(value))
        elif name == "pieces":
            how = replace(how, pieces=cast("Pieces", value))
        else:
            how = replace(how, min_area=int(str(value)))
        self._take(how)
        if name in STORED:
            self._remember(**{STORED[name]: getattr(how, name)})

    def turn(self, notches: int) -> None:
        """Take more in (up) or less (down)."""
        threshold = self._proposing.refinement.threshold - NOTCH * notches
        threshold = min(FURTHEST, max(-FURTHEST, threshold))
        self._take(replace(self._proposing.refinement, threshold=threshold))

    def _take(self, how: Refinement) -> None:
        if how != self._proposing.refinement:
            self._proposing.refine(how)
            self.changed.emit()

    def _on_prompts(self, prompts: PromptSet) -> None:
        """Begin each object at the model's own threshold."""
        ended, self._had_prompts = self._had_prompts and prompts.is_empty, not prompts.is_empty
        if ended:
            self._take(replace(self._proposing.refinement, threshold=0.0))
