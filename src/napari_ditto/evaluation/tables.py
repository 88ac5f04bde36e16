"""Markdown tables, and how numbers are put into them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

from napari_ditto.evaluation.summary import Estimate

T = TypeVar("T")


def number(value: float) -> str:
    """Return two decimals, nothing for what was not measured."""
    return "" if math.isnan(value) else f"{value:.2f}"


def strong(found: Estimate) -> str:
    """Return an estimate, bold where its interval excludes zero."""
    return f"**{found}**" if found.beyond_zero else str(found)


def ordered(names: Iterable[T]) -> list[T]:
    """Return names in the order of their first use, each once."""
    return list(dict.fromkeys(names))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
