"""How a benchmark measures and reports.

A benchmark races the ways of doing one thing against each other and reports the first::

    def test_encode(benchmark):
        ways = {"ours": lambda: ours(tile), "transformers": lambda: theirs(tile)}
        found = race(benchmark, ways, rounds=5)
        report("sam/encode", found["ours"], "s", reference=("transformers", found["transformers"]),
               floor=("its matrix products", seconds), benchmark=benchmark, precision="bfloat16")

`report` prints one line and, where `DITTO_BENCH_RECORD` names a file, appends one line of JSON to
it at once, so that what fails later takes nothing along. `make bench` sets it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

RECORD = "DITTO_BENCH_RECORD"
ROUNDS = "DITTO_BENCH_ROUNDS"
"""Names a bound on the rounds of every race, for code that is too slow for more."""


Clock = Literal["wall", "cpu"]
SCALE = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""Units of time, per second; a unit "<what>/s" is a rate, of which more is better."""


@dataclass(frozen=True)
class Samples:
    """Seconds of several calls, by the clock and of the processor (all threads together)."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def seconds(self, clock: Clock = "wall") -> np.ndarray:
        return np.array(self.wall if clock == "wall" else self.cpu)

    @property
    def median(self) -> float:
        """By the clock, s."""
        return float(np.median(self.wall))


def samples_of(wall: list[float], cpu: list[float] | None = None) -> Samples:
    """Return samples of times that were taken in another way, s."""
    return Samples(tuple(wall), tuple(cpu if cpu is not None else wall))


def timed(call: Callable[..., object], *given: object) -> tuple[float, float]:
    """Return the seconds that a call takes by the clock, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*given)
    return time.perf_counter() - wall, time.process_time() - cpu


def race(
    benchmark: Any,
    ways: Mapping[str, Callable[..., object]],
    rounds: int = 5,
    *,
    warmups: int = 1,
    setup: Callable[[], object] | None = None,
    once: Sequence[str] = (),
) -> dict[str, Samples]:
    """Run every way once per round, in turn, so that all of them meet the same load.

    Parameters
    ----------
    benchmark : fixture
        Of pytest-benchmark; times whole rounds, and runs only one without ``--benchmark-enable``.
    ways : mapping of str to callable
        The ways of doing one thing.
    rounds, warmups : int
        How often each is timed; how often before that it is not.
    setup : callable, optional
        Called before each call, untimed; what it returns is the call's only argument.
    once : sequence of str
        Ways that run in the first timed round only, because they take long.
    """
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}

    def one_round() -> None:
        for name, way in ways.items():
            if took[name] and name in once:
                continue
            given = () if setup is None else (setup(),)
            took[name].append(timed(way, *given))

    if benchmark.enabled:
        for _ in range(warmups):
            one_round()
            for times in took.values():
                times.clear()
    benchmark.pedantic(one_round, rounds=min(rounds, int(os.environ.get(ROUNDS, rounds))))
    return {name: Samples(*zip(*times, strict=True)) for name, times in took.items()}


@dataclass(frozen=True)
class Measurement:
    """What one benchmark has found.

    Attributes
    ----------
    name : str
        ``"<family>/<what>"``; the history goes by it, so it stays.
    median, p95 : float
        In `unit`; of a rate, p95 is what 95 of 100 rounds reach.
    unit : str
        ``"s"``, ``"ms"``, or a rate such as ``"planes/s"``.
    rounds : int
    clock : str
        ``"wall"``, or ``"cpu"`` for the processor time of all threads.
    reference, floor : float or None
        The same of a peer in the same run, and the least that the hardware allows; in `unit`.
    reference_name, floor_name : str
    load : float
        Load average of the last minute when it was reported; the benchmark itself is part of it.
    about : mapping
        What else is worth knowing.
    """

    name: str
    median: float
    unit: str
    p95: float | None = None
    rounds: int = 1
    clock: Clock = "wall"
    reference: float | None = None
    reference_name: str = ""
    floor: float | None = None
    floor_name: str = ""
    load: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def more_is_better(self) -> bool:
        """Whether it is a rate, or an agreement."""
        return self.unit.endswith("/s") or self.unit == "IoU"

    def better_than(self, other: float | None) -> float | None:
        """Return how many times as fast as `other` this is, None if there is no other."""
        if not other or not self.median:
            return None
        return self.median / other if self.more_is_better else other / self.median

    @property
    def speedup(self) -> float | None:
        """Times as fast as the reference."""
        return self.better_than(self.reference)

    @property
    def of_floor(self) -> float | None:
        """Times the least that the hardware allows."""
        share = self.better_than(self.floor)
        return None if share is None else 1 / share

    def line(self) -> str:
        """Return it as one line to read."""
        parts = [f"{self.name}: {number(self.median)} {self.unit}"]
        if self.p95 is not None:
            parts.append(f"p95 {number(self.p95)}")
        if self.reference is not None:
            parts.append(
                f"{self.speedup:.2f} times as fast as {self.reference_name}"
                f" ({number(self.reference)})"
            )
        if self.floor is not None:
            parts.append(f"{self.of_floor:.2f} times {self.floor_name} ({number(self.floor)})")
        parts += [f"{key} {number(value)}" for key, value in self.about.items()]
        return ", ".join(
            [*parts, f"{self.rounds} rounds of {self.clock} time", f"load {self.load:.1f}"]
        )


def number(value: object) -> str:
    """Return a value to read, a number with three digits that count."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or not np.isfinite(value):
        return str(value)
    if abs(float(value)) < 1e-4:
        return f"{float(value):.1e}"
    digits = max(0, 2 - int(np.floor(np.log10(abs(float(value))))))
    return f"{float(value):,.{digits}f}"


Found = Samples | float


def report(
    name: str,
    found: Found,
    unit: str,
    *,
    amount: float = 1.0,
    clock: Clock = "wall",
    reference: tuple[str, Found] | None = None,
    floor: tuple[str, float] | None = None,
    benchmark: Any = None,
    **about: Any,
) -> Measurement:
    """Print a measurement, keep it where a record is made, and return it.

    Parameters
    ----------
    name : str
        As :class:`Measurement`.
    found : Samples or float
        What was measured: samples in seconds, or a single number in `unit`.
    unit : str
        ``"s"``, ``"ms"``, ``"us"``, or a rate.
    amount : float
        For a rate: how many planes, megapixels, ... one call makes. For a time: how many objects
        a call treats, so that the time is of one.
    clock : str
        ``"wall"`` or ``"cpu"``.
    reference : (str, Samples or float), optional
        Name of the peer, and the same of it.
    floor : (str, float), optional
        Its name, and the number in `unit`.
    benchmark : fixture, optional
        Of pytest-benchmark, whose report is told as well.
    """
    median, p95 = statistics(found, unit, amount, clock)
    other = None if reference is None else statistics(reference[1], unit, amount, clock)[0]
    measurement = Measurement(
        name, median, unit, p95,
        len(found.wall) if isinstance(found, Samples) else 1, clock,
        other, reference[0] if reference else "",
        floor[1] if floor else None, floor[0] if floor else "",
        os.getloadavg()[0], {key: plain(value) for key, value in about.items()},
    )  # fmt: skip
    print(f"\n{measurement.line()}")
    if benchmark is not None:
        benchmark.extra_info.update(asdict(measurement))
    if path := os.environ.get(RECORD):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(measurement)) + "\n")
    return measurement


def statistics(
    found: Found, unit: str, amount: float = 1.0, clock: Clock = "wall"
) -> tuple[float, float | None]:
    """Return median and p95 in `unit`; no p95 of fewer than 5 rounds."""
    if not isinstance(found, Samples):
        return float(found), None
    seconds = found.seconds(clock)
    median, slow = np.percentile(seconds, [50, 95])
    if unit in SCALE:
        median, slow = (SCALE[unit] * t / amount for t in (median, slow))
    else:
        median, slow = amount / median, amount / slow
    return float(median), float(slow) if seconds.size >= 5 else None


def plain(value: Any) -> Any:
    """Return a value that JSON knows."""
    return value.item() if isinstance(value, np.generic) else value
