"""What the command says: results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

from napari_ditto.core.progress import Progress

T = TypeVar("T")
BAR_WIDTH = 24
REFRESH_SECONDS = 0.1
LINE_SECONDS = 5.0
"""Between two lines about the same stage where there is no terminal."""

CLEAR_LINE = "\r\x1b[K"


@dataclass
class Console:
    """Prints for a person, or as JSON for a program.

    Attributes
    ----------
    json : bool
        One JSON document on stdout in place of text.
    out, err : file
        Where results and progress go.
    """

    json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def result(self, facts: Mapping[str, object], text: str) -> None:
        """Print the outcome: `facts` as JSON, or else `text`."""
        line = json.dumps(facts, indent=2, default=str) if self.json else text
        print(line, file=self.out)

    def note(self, text: str) -> None:
        """Print a line beside the result, on stderr."""
        print(text, file=self.err)

    def follow(self, steps: Generator[Progress, None, T]) -> T:
        """Run a job to its end, show its progress, return its result."""
        from napari_ditto.core.jobs import drain

        with _Meter(self.err) as meter:
            return drain(steps, meter.show)


class _Meter:
    """A bar that is redrawn on a terminal; elsewhere a line per stage, then one now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._tty = stream, stream.isatty()
        self._drawn, self._stages, self._said = 0.0, set[str](), ""

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tty and self._drawn:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()

    def show(self, step: Progress) -> None:
        """Draw one step, at most ten times a second."""
        now = time.monotonic()
        passed = now - self._drawn
        if self._tty and passed >= REFRESH_SECONDS:
            self._drawn = now
            self._stream.write(CLEAR_LINE + bar(step))
            self._stream.flush()
        # Jobs go from stage to stage for every plane: a log should not get a line for each.
        elif not self._tty and (step.stage not in self._stages or passed >= LINE_SECONDS):
            self._drawn = now
            self._stages.add(step.stage)
            self._say(step.text or step.stage)

    def _say(self, text: str) -> None:
        """Print a line, unless it is the one before."""
        if text != self._said:
            self._said = text
            print(text, file=self._stream, flush=True)


def bar(step: Progress) -> str:
    """Return one line for a step: ``[####....] 3/10 encoding tile 4 of 10``."""
    text = step.text or step.stage
    if step.total <= 0:
        return text
    filled = BAR_WIDTH * min(step.done, step.total) // step.total
    return f"[{'#' * filled:.<{BAR_WIDTH}}] {step.done}/{step.total} {text}"


def table(rows: Sequence[Sequence[object]], head: Sequence[str] = ()) -> str:
    """Return rows in aligned columns."""
    cells = [[str(c) for c in row] for row in ([head, *rows] if head else rows)]
    widths = [max(len(c) for c in column) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def size(nbytes: float) -> str:
    """Return a number of bytes as a person reads it."""
    power = min(4, max(0, (int(abs(nbytes)).bit_length() - 1) // 10))
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{nbytes / 1024**power:.{min(power, 1)}f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as a person reads it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
