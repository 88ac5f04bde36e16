"""How benchmarks race and report."""

from __future__ import annotations

import json

import pytest

from benchmarks.records import RECORD, Measurement, Samples, number, race, report, samples_of


class Rounds:
    """Stands for the fixture of pytest-benchmark, which would time."""

    enabled = True
    extra_info: dict[str, object] = {}  # noqa: RUF012

    def pedantic(self, call, rounds):
        for _ in range(rounds):
            call()


def test_ways_take_turns_and_are_all_given_what_was_set_up() -> None:
    said, numbers = [], iter(range(100))
    ways = {"a": lambda n: said.append(("a", n)), "b": lambda n: said.append(("b", n))}
    found = race(Rounds(), ways, rounds=2, warmups=1, setup=lambda: next(numbers), once=("b",))
    assert said == [("a", 0), ("b", 1), ("a", 2), ("b", 3), ("a", 4)]
    assert [len(found[name].wall) for name in "ab"] == [2, 1]


def test_one_round_where_benchmarks_are_disabled() -> None:
    disabled = Rounds()
    disabled.enabled, said = False, []
    race(disabled, {"a": lambda: said.append(1)}, rounds=1, warmups=3)
    assert said == [1]


@pytest.mark.parametrize(
    ("unit", "amount", "median", "p95"),
    [("s", 1, 2.0, 3.8), ("ms", 2, 1000.0, 1900.0), ("planes/s", 6, 3.0, 6 / 3.8)],
)
def test_seconds_become_units(unit: str, amount: float, median: float, p95: float) -> None:
    found = report("x/y", samples_of([1.0, 1.0, 2.0, 3.0, 4.0]), unit, amount=amount)
    assert (found.median, found.p95) == pytest.approx((median, p95))


def test_few_rounds_have_no_p95() -> None:
    assert report("x/y", samples_of([1.0, 2.0]), "s").p95 is None


def test_the_clock_is_chosen() -> None:
    both = Samples((1.0,), (3.0,))
    assert report("x/y", both, "s").median == 1
    assert report("x/y", both, "s", clock="cpu", reference=("z", both)).reference == 3


def test_faster_is_more_of_a_rate_and_less_of_a_time() -> None:
    seconds = Measurement("x/y", 2.0, "s", reference=8.0, floor=1.0)
    rate = Measurement("x/y", 8.0, "planes/s", reference=2.0, floor=16.0)
    assert (seconds.speedup, rate.speedup) == (4, 4)
    assert (seconds.of_floor, rate.of_floor) == (2, 2)
    assert Measurement("x/y", 2.0, "s").speedup is None


def test_every_number_is_written_down_at_once(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv(RECORD, str(tmp_path / "lines"))
    report("x/one", 1.5, "s", reference=("peer", 3.0), floor=("the floor", 0.5), planes=3)
    report("x/two", 2.0, "s")
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["x/one", "x/two"]
    assert lines[0]["about"] == {"planes": 3}
    said = capsys.readouterr().out
    assert "x/one: 1.50 s, 2.00 times as fast as peer (3.00)" in said
    assert "3.00 times the floor (0.500)" in said


@pytest.mark.parametrize(
    ("value", "told"),
    [(1234.5, "1,234"), (12.345, "12.3"), (0.012345, "0.0123"), (7, "7"), (True, "True"),
     (0.0, "0.0"), (4.2e-6, "4.2e-06")],
)  # fmt: skip
def test_numbers_keep_three_digits(value: object, told: str) -> None:
    assert number(value) == told
