"""Bars as SVG, for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, LABELS, ROW, BAR = 760, 290, 24, 15
OURS, OTHERS, FLOOR = "#00897b", "#90a4ae", "#cfd8dc"


def bars(title: str, rows: Sequence[tuple[str, float, str, str]]) -> str:
    """Return horizontal bars from 0.

    Parameters
    ----------
    title : str
    rows : sequence of (label, value, colour, what to write at the end of the bar)
    """
    most = max((value for _, value, _, _ in rows), default=1) or 1
    room = WIDTH - LABELS - 130
    drawn = [
        _row(n, label, LABELS, max(1.0, value / most * room), color, told)
        for n, (label, value, color, told) in enumerate(rows)
    ]
    return _picture(title, len(rows), drawn)


def ratios(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """Return bars of ratios round 1 on a logarithmic scale; to the left of it is slower."""
    far = max([math.log2(1.5), *(abs(math.log2(r)) for _, r in rows)])
    room = (WIDTH - LABELS - 120) / 2
    one = LABELS + room
    drawn = [f'<path d="M{one} 34V{40 + ROW * len(rows)}" stroke="#888"/>']
    for n, (label, ratio) in enumerate(rows):
        long = abs(math.log2(ratio)) / far * room
        left = one if ratio >= 1 else one - long
        color = OURS if ratio >= 1 else "#e57373"
        drawn.append(_row(n, label, left, max(1.0, long), color, f"{ratio:.2f}"))
    return _picture(title, len(rows), drawn)


def _row(n: int, label: str, left: float, long: float, color: str, told: str) -> str:
    y = 40 + ROW * n
    return (
        f'<text x="{LABELS - 10}" y="{y + 12}" text-anchor="end" fill="#777">{escape(label)}</text>'
        f'<rect x="{left:.1f}" y="{y}" width="{long:.1f}" height="{BAR}" fill="{color}"/>'
        f'<text x="{left + long + 6:.1f}" y="{y + 12}" fill="#777">{escape(told)}</text>'
    )


def _picture(title: str, rows: int, drawn: Sequence[str]) -> str:
    height = 52 + ROW * rows
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
        f'<text x="10" y="20" font-weight="bold" fill="#777">{escape(title)}</text>\n'
        f"{body}\n</svg>\n"
    )
