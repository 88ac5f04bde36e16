"""One background thread: newest request wins, writes keep their order, nothing is left behind."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from napari_ditto.core.progress import Progress
from napari_ditto.errors import DeviceError, DittoError
from napari_ditto.ui.runner import Job, Runner


class Loop:
    """A stand-in for the event loop: the test says when posted calls are made."""

    def __init__(self):
        self.calls = queue.SimpleQueue()

    def post(self, call):
        self.calls.put(call)

    def run_until(self, done, seconds=5.0):
        end = time.monotonic() + seconds
        while not done():
            try:
                self.calls.get(timeout=max(0.0, end - time.monotonic()))()
            except queue.Empty:
                raise TimeoutError from None

    def drain(self):
        while not self.calls.empty():
            self.calls.get()()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def runner(loop):
    runner = Runner(loop.post)
    yield runner
    assert runner.close()


def steps(result=None, *, gate=None, error=None, log=None):
    def run():
        if log is not None:
            log.append(f"start {result}")
        yield Progress("encode", text=f"encoding {result}")
        if gate is not None:
            assert gate.wait(5)
        if error is not None:
            raise error
        yield Progress("decode")
        if log is not None:
            log.append(f"end {result}")
        return result

    return run


def test_returns_result_on_the_posting_side(runner, loop):
    got = []
    runner.submit(Job("a", steps(7), got.append))
    assert runner.current.name == "a"
    loop.run_until(lambda: got)
    assert got == [7]
    loop.drain()
    assert runner.current is None


def test_newest_replaceable_job_wins(runner, loop):
    gate, got, log = threading.Event(), [], []
    for i in range(5):
        runner.submit(Job("ask", steps(i, gate=gate, log=log), got.append, replaceable=True))
    gate.set()
    loop.run_until(lambda: got)
    loop.drain()
    assert got == [4]
    assert "end 0" not in log
    assert not {"start 1", "start 2", "start 3"} & set(log)


def test_writes_are_never_dropped_and_keep_their_order(runner, loop):
    gate, got = threading.Event(), []
    runner.submit(Job("write", steps("w1", gate=gate), got.append, cancellable=False))
    runner.submit(Job("ask", steps("p1"), got.append, replaceable=True))
    runner.submit(Job("write", steps("w2"), got.append, cancellable=False))
    runner.submit(Job("ask", steps("p2"), got.append, replaceable=True))
    runner.cancel()
    gate.set()
    loop.run_until(lambda: len(got) == 2)
    loop.drain()
    assert got == ["w1", "w2"]


def test_cancel_frees_at_once_and_drops_the_late_result(runner, loop):
    gate, got = threading.Event(), []
    runner.submit(Job("ask", steps("late", gate=gate), got.append, replaceable=True))
    loop.run_until(lambda: not loop.calls.empty() or True)
    runner.cancel()
    assert runner.current is None
    runner.submit(Job("next", steps("next"), got.append, replaceable=True))
    gate.set()
    loop.run_until(lambda: got)
    loop.drain()
    assert got == ["next"]


def test_only_one_job_runs_at_a_time(runner, loop):
    running, most, got = [], [], []

    def busy():
        running.append(1)
        most.append(len(running))
        yield Progress("encode")
        time.sleep(0.01)
        running.pop()
        return 1

    for _ in range(5):
        runner.submit(Job("w", busy, got.append, cancellable=False))
    loop.run_until(lambda: len(got) == 5)
    assert max(most) == 1


@pytest.mark.parametrize(
    "error",
    [RuntimeError("out of memory"), ValueError("x"), StopIteration(), MemoryError()],
    ids=lambda e: type(e).__name__,
)
def test_every_error_arrives_as_one_of_ours(runner, loop, error, caplog):
    got = []
    runner.submit(Job("a", steps(error=error), pytest.fail, got.append))
    loop.run_until(lambda: got)
    assert isinstance(got[0], DittoError)
    assert "\n" not in str(got[0])
    assert caplog.records[0].exc_info, "the details must be in the log"
    loop.drain()
    assert runner.current is None


def test_own_errors_pass_unchanged(runner, loop):
    error, got = DeviceError("no CUDA", todo="Use cpu"), []
    runner.submit(Job("a", steps(error=error), pytest.fail, got.append))
    loop.run_until(lambda: got)
    assert got == [error]


def test_progress_is_throttled_but_every_stage_is_told(runner, loop):
    told, got = [], []

    def fast():
        for i in range(2000):
            yield Progress("read", i, 2000)
        yield Progress("encode", text="encoding tile 1 of 1")
        return True

    runner.submit(Job("a", fast, got.append, on_progress=told.append))
    loop.run_until(lambda: got)
    assert len(told) < 100
    assert told[-1].text == "encoding tile 1 of 1"


def test_close_waits_for_the_step_in_flight_and_tells_nobody(loop):
    runner, got = Runner(loop.post), []

    def slow():
        yield Progress("encode")
        time.sleep(0.3)
        yield Progress("decode")
        return 1

    runner.submit(Job("a", slow, got.append))
    time.sleep(0.05)
    assert runner.close(seconds=2.0)
    loop.drain()
    assert got == []
    assert not [t for t in threading.enumerate() if t.name == "ditto"]
    runner.submit(Job("b", slow, got.append))
    assert runner.current is None


def test_close_is_bounded(loop):
    runner, gate = Runner(loop.post), threading.Event()
    runner.submit(Job("a", steps(gate=gate)))
    time.sleep(0.05)
    start = time.monotonic()
    assert not runner.close(seconds=0.2)
    assert time.monotonic() - start < 1.0
    gate.set()


def test_an_idle_job_gives_way_and_is_no_work(runner, loop):
    gate, got, states = threading.Event(), [], []
    runner.on_state = states.append
    runner.submit(Job("ahead", steps("ahead", gate=gate), got.append, idle=True))
    assert runner.current is None
    runner.submit(Job("newer", steps("newer"), got.append, idle=True))
    runner.submit(Job("real", steps("real"), got.append))
    assert runner.current.name == "real"
    runner.submit(Job("too late", steps("too late"), got.append, idle=True))
    gate.set()
    loop.run_until(lambda: got)
    loop.drain()
    assert got == ["real"]
    assert [job.name for job in states if job] == ["real"] * len([job for job in states if job])


def test_the_next_job_waits_in_the_thread_while_a_dropped_one_ends_its_step(runner, loop):
    gate, log, done = threading.Event(), [], []
    runner.submit(Job("ahead", steps("ahead", gate=gate, log=log), idle=True))
    loop.run_until(lambda: log)
    runner.submit(Job("skipped", steps("skipped", log=log), idle=True))
    runner.submit(Job("asked", steps("asked", log=log), done.append, replaceable=True))
    gate.set()
    deadline = time.monotonic() + 5
    while "start asked" not in log and time.monotonic() < deadline:
        time.sleep(0.001)  # the event loop is busy elsewhere
    assert log[:2] == ["start ahead", "start asked"]
    loop.run_until(lambda: done)
    loop.drain()
    assert done == ["asked"]
    assert not runner.is_busy


def test_an_idle_job_runs_where_nothing_else_is_to_be_done(runner, loop):
    got = []
    runner.submit(Job("real", steps("real"), got.append))
    loop.run_until(lambda: got)
    loop.drain()
    runner.submit(Job("ahead", steps("ahead"), got.append, idle=True))
    loop.run_until(lambda: len(got) == 2)
    assert got == ["real", "ahead"]
