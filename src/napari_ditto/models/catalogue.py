"""What each model is good at, in words for people, and how to cite it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resource
from typing import Any

from napari_ditto import __version__
from napari_ditto.models.registry import ModelEntry


@dataclass(frozen=True, slots=True)
class About:
    """A model in words.

    Attributes
    ----------
    good_at, less_good_at : str
        What to take it for, and what not.
    evidence : str
        What that is based on: our own figures, or whose word.
    figures : tuple of (str, float, float)
        What was measured by us: the images, then the mean IoU after one click, and with a box.
    reads : str
        What the user can tell it.
    citation, bibtex : str
        For a list of references, and for a program that makes one.
    """

    good_at: str
    less_good_at: str
    evidence: str
    figures: tuple[tuple[str, float, float], ...]
    reads: str
    citation: str
    bibtex: str


def about(entry: ModelEntry) -> About:
    """Return what is known about a model: of its own, else of its family."""
    texts = _texts()
    told = texts["about"].get(entry.id) or texts["about"][entry.family]
    bibtex = texts["bibtex"][told["cite"]].replace("{version}", __version__)
    citation = entry.citation or _OURS
    good_at, evidence = told["good_at"], told["evidence"]
    if entry.added:
        good_at = f"Your own weights, of the family {entry.family}. {_WORD[told['cite']]}"
        evidence = "Only you know what they were trained on."
        citation = f"Whoever trained them, and {_FAMILY[told['cite']]}"
    figures = tuple((name, click, box) for name, click, box in told.get("figures", ()))
    return About(good_at, told["less_good_at"], evidence, figures, told["reads"], citation, bibtex)


_OURS = f"napari-ditto {__version__}"
_FAMILY = {
    "sam": "Kirillov et al. 2023, arXiv:2304.02643",
    "sam_hq": "Ke et al. 2023, arXiv:2306.01567",
    "sam2": "Ravi et al. 2024, arXiv:2408.00714",
    "seggpt": "Wang et al. 2023, arXiv:2304.03284",
    "sam3": "Carion et al. 2025, arXiv:2511.16719",
}
_WORD = {
    "sam": "Clicks and boxes.",
    "sam_hq": "Clicks and boxes, with sharp borders.",
    "sam2": "Clicks and boxes, and following through stacks and movies.",
    "seggpt": "Examples only.",
    "sam3": "Finds what a word names.",
}


@cache
def _texts() -> dict[str, Any]:
    text = (resource("napari_ditto.models") / "catalogue.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
