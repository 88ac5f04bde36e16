"""Draw the losses and the validation of a run.

``python -m training.curves --run RUN --out PICTURE.svg``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from training.validate import COLUMNS

WIDTH, HEIGHT, MARGIN = 360, 220, 36
COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


def panel(
    title: str, lines: dict[str, Sequence[tuple[float, float]]], left: int, high: float
) -> str:
    """Return one plot as SVG: named lines of (x, y) with y from 0 to `high`."""
    most = max((x for line in lines.values() for x, _ in line), default=1)
    wide, tall = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def place(x: float, y: float) -> str:
        down = HEIGHT - MARGIN - min(y / high, 1) * tall
        return f"{left + MARGIN + x / most * wide:.1f},{down:.1f}"

    parts = [
        f'<text x="{left + MARGIN}" y="20" font-weight="bold">{title}</text>',
        f'<rect x="{left + MARGIN}" y="{MARGIN}" width="{wide}" height="{tall}" fill="none" '
        'stroke="#999"/>',
        f'<text x="{left + 4}" y="{MARGIN + 8}">{high:g}</text>',
        f'<text x="{left + 4}" y="{HEIGHT - MARGIN}">0</text>',
        f'<text x="{left + WIDTH - 2 * MARGIN}" y="{HEIGHT - MARGIN + 16}">step {most:g}</text>',
    ]
    for k, (name, line) in enumerate(lines.items()):
        color = COLORS[k % len(COLORS)]
        points = " ".join(place(x, y) for x, y in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}"/>')
        at = f'x="{left + MARGIN + 8 + 90 * (k % 3)}" y="{HEIGHT - MARGIN - 20 + 14 * (k // 3)}"'
        parts.append(f'<text {at} fill="{color}">{name}</text>')
    return "\n".join(parts)


def draw(run: Path) -> str:
    """Return the curves of a run as an SVG picture."""
    log = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    held = [json.loads(line) for line in (run / "validation.jsonl").read_text("utf-8").splitlines()]
    names = ("round0", "round1", "dense")
    losses = {n: [(e["step"], e[n]) for e in log if n in e] for n in names}
    panels = [panel("loss", losses, 0, 6)]
    sets = [n for n in held[0] if n != "step"] if held else []
    for i, column in enumerate(("click", "box", "3 clicks"), 1):
        k = COLUMNS.index(column)
        lines = {n: [(e["step"], e[n][k]) for e in held] for n in sets}
        panels.append(panel(f"IoU, {column}", lines, i * WIDTH, 1))
    body = "\n".join(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{len(panels) * WIDTH}" '
        f'height="{HEIGHT}" font-family="sans-serif" font-size="11">\n{body}\n</svg>\n'
    )


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.write_text(draw(arguments.run), "utf-8")


if __name__ == "__main__":
    main()
