"""Reading ahead: it overlaps, it is bounded, it stops, and nobody waits for what he did not ask."""

from __future__ import annotations

import itertools
import threading

import pytest

from napari_ditto.engine.prefetch import Prefetch

WAIT = 30.0


class Reads:
    """Reads numbers; those that are shut wait until they are opened."""

    def __init__(self, *shut):
        self.gates = {number: threading.Event() for number in shut}
        self.begun, self.changed = [], threading.Condition()

    def __call__(self, number):
        with self.changed:
            self.begun.append(number)
            self.changed.notify_all()
        if number in self.gates:
            assert self.gates[number].wait(WAIT)
        if number < 0:
            raise ValueError(f"no {number}")
        return number * 10

    def wait_for(self, *numbers):
        with self.changed:
            assert self.changed.wait_for(lambda: {*numbers} <= {*self.begun}, WAIT), self.begun


def prefetch(read, limit=100, readers=1, size=lambda _: 1):
    return Prefetch(read, size, limit, readers)


def settle():
    """Wait until no reader is left."""
    for thread in threading.enumerate():
        if thread.name == "ditto-reader":
            thread.join(WAIT)
            assert not thread.is_alive()


def test_what_is_expected_is_read_before_it_is_asked_for():
    read = Reads()
    ahead = prefetch(read)
    ahead.expect(range(5))
    read.wait_for(*range(5))
    assert [ahead.take(n) for n in range(5)] == [0, 10, 20, 30, 40]
    assert read.begun == [0, 1, 2, 3, 4]
    settle()


def test_the_next_is_read_while_one_is_used():
    """By order, not by the clock: the user of tile n waits until n + 1 is being read."""
    read = Reads()
    ahead = prefetch(read, limit=1)
    ahead.expect(range(6))
    for n in range(5):
        assert ahead.take(n) == 10 * n
        read.wait_for(n + 1)
    ahead.stop()
    settle()


def test_what_was_not_expected_waits_for_nobody():
    read = Reads(0)
    ahead = prefetch(read)
    ahead.expect(range(3))
    read.wait_for(0)
    assert ahead.take(7) == 70
    read.gates[0].set()
    assert ahead.take(0) == 0
    settle()


def test_what_is_not_read_yet_is_read_on_the_spot():
    read = Reads(0)
    ahead = prefetch(read)
    ahead.expect(range(3))
    read.wait_for(0)
    assert ahead.take(2) == 20
    read.gates[0].set()
    settle()
    assert read.begun == [0, 2, 1]  # and not again


def test_no_more_is_read_than_the_limit_says():
    read = Reads()
    ahead = prefetch(read, limit=30, size=lambda _: 10)
    ahead.expect(itertools.count())
    read.wait_for(0, 1, 2)
    assert not threading.Event().wait(0.05)
    assert read.begun == [0, 1, 2]
    ahead.take(0)
    read.wait_for(3)
    ahead.drop(1)
    read.wait_for(4)
    ahead.stop()
    settle()
    assert read.begun == [0, 1, 2, 3, 4]


def test_one_larger_than_the_limit_is_read():
    read = Reads()
    ahead = prefetch(read, limit=1, size=lambda _: 1000)
    ahead.expect(range(3))
    assert [ahead.take(n) for n in range(3)] == [0, 10, 20]
    settle()


def test_two_are_read_at_once():
    read = Reads(0, 1)
    ahead = prefetch(read, readers=2)
    ahead.expect(range(4))
    read.wait_for(0, 1)
    for gate in read.gates.values():
        gate.set()
    assert [ahead.take(n) for n in range(4)] == [0, 10, 20, 30]
    settle()


def test_it_stops_after_what_is_being_read():
    read = Reads(1)
    ahead = prefetch(read)
    ahead.expect(range(100))
    read.wait_for(1)
    ahead.stop()
    read.gates[1].set()
    settle()
    assert read.begun == [0, 1]


def test_new_wishes_replace_old_ones():
    read = Reads(1)
    ahead = prefetch(read)
    ahead.expect(range(10))
    read.wait_for(1)
    ahead.expect([20, 21])
    assert [ahead.take(n) for n in (20, 21)] == [200, 210]
    read.gates[1].set()
    settle()
    assert set(read.begun) == {0, 1, 20, 21}


def test_an_error_is_raised_where_it_is_asked_about():
    read = Reads()
    ahead = prefetch(read)
    ahead.expect([1, -2, 3])
    read.wait_for(1, -2, 3)
    assert ahead.take(1) == 10
    with pytest.raises(ValueError, match="no -2"):
        ahead.take(-2)
    assert ahead.take(3) == 30
    settle()


def test_errors_take_no_room():
    read = Reads()
    ahead = prefetch(read, limit=1)
    ahead.expect([-1, -2, -3, 4])
    read.wait_for(4)
    ahead.stop()
    settle()


def test_a_wish_that_comes_twice_is_read_once_at_a_time():
    read = Reads()
    ahead = prefetch(read)
    ahead.expect([1, 1, 2])
    read.wait_for(1, 2)
    assert read.begun == [1, 2]
    settle()
