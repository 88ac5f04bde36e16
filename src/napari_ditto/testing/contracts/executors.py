"""What every executor must do, wherever it does it.

A subclass overrides the fixture `executor`: retries 2.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_ditto.core.control import Control
from napari_ditto.engine.whole.work import Executor, Outcome
from napari_ditto.errors import JobCancelled, StoreError
from napari_ditto.testing.arithmetic import Arithmetic, Script

ITEMS = 12
PLAIN = Script()


class ExecutorContract:
    """Subclass and override the fixture `executor`."""

    slack = 0.15
    """Seconds that a heartbeat may be late: other things run on this machine, too."""

    @pytest.fixture
    def executor(self) -> Executor:
        """Return the executor under test."""
        raise NotImplementedError

    def go(
        self, executor: Executor, worker: Arithmetic, control: Control | None = None, n: int = ITEMS
    ) -> Iterator[Outcome | None]:
        """Run a stage of n items."""
        return executor.run(worker, worker.folder, "tiles", range(n), control or Control())

    def outcomes(
        self, executor: Executor, tmp_path: Path, script: Script = PLAIN
    ) -> dict[int, Outcome]:
        """Run a stage to its end; every item ends once."""
        worker = Arithmetic.ordered(tmp_path, script)
        told = [o for o in self.go(executor, worker) if o is not None]
        assert len({o.item for o in told}) == len(told) == ITEMS
        return {o.item: o for o in told}

    def test_does_every_item_once(self, executor: Executor, tmp_path: Path) -> None:
        told = self.outcomes(executor, tmp_path)
        worker = Arithmetic(tmp_path)
        squares = {n: n * n for n in range(ITEMS)}
        assert {n: o.facts["square"] for n, o in told.items()} == squares
        assert worker.records("tiles") == squares
        counts = worker.notes()
        assert all(counts["compute", n] == counts["store", n] == 1 for n in range(ITEMS))
        assert all(o.tries == 1 and o.error is None and o.seconds >= 0 for o in told.values())

    def test_no_items_is_the_end(self, executor: Executor, tmp_path: Path) -> None:
        worker = Arithmetic.ordered(tmp_path, Script())
        assert [o for o in self.go(executor, worker, n=0) if o] == []

    def test_tells_who_works(self, executor: Executor) -> None:
        assert executor.workers >= 1
        assert str(executor.workers) in executor.text

    def test_tries_again(self, executor: Executor, tmp_path: Path) -> None:
        told = self.outcomes(executor, tmp_path, Script(fails={"3": 2}, crashes={"5": 1}))
        assert (told[3].error, told[3].tries, told[3].facts["square"]) == (None, 3, 9)
        assert (told[5].error, told[5].tries, told[5].facts["square"]) == (None, 2, 25)
        assert Arithmetic(tmp_path).notes()["compute", 4] == 1

    def test_gives_up_and_says_why_in_one_line(self, executor: Executor, tmp_path: Path) -> None:
        told = self.outcomes(executor, tmp_path, Script(fails={"3": 9}, refuses={"7": 9}))
        assert {n for n, o in told.items() if o.error} == {3, 7}
        assert str(told[3].error) == "ValueError: a stripe in the detector"
        assert str(told[7].error) == "the file is damaged (chunk 3). Copy it again"
        assert told[3].tries == 3
        assert set(Arithmetic(tmp_path).records("tiles")) == set(range(ITEMS)) - {3, 7}

    def test_a_target_that_refuses_ends_the_run(self, executor: Executor, tmp_path: Path) -> None:
        worker = Arithmetic.ordered(tmp_path, Script(full="2"))
        with pytest.raises(StoreError, match="the disk is full"):
            list(self.go(executor, worker, n=1000))
        assert worker.notes()["store", 2] == 1
        assert len(worker.records("tiles")) < 100

    def test_beats(self, executor: Executor, tmp_path: Path) -> None:
        worker = Arithmetic.ordered(tmp_path, Script(steps=1, seconds=0.7))
        last, beats = time.monotonic(), 0
        for outcome in self.go(executor, worker, n=1):
            now = time.monotonic()
            assert now - last < 0.25 + self.slack
            last, beats = now, beats + (outcome is None)
        assert beats >= 2

    def test_takes_items_one_by_one(self, executor: Executor, tmp_path: Path) -> None:
        worker, taken = Arithmetic.ordered(tmp_path, Script()), 0

        def items() -> Iterator[int]:
            nonlocal taken
            while True:
                taken += 1
                yield taken

        run = executor.run(worker, tmp_path, "tiles", items(), Control())
        for _ in range(20):
            next(run)
        assert taken < 20 + 4 * executor.workers
        self.end(run)

    def test_pauses_and_goes_on(self, executor: Executor, tmp_path: Path) -> None:
        worker, control = Arithmetic.ordered(tmp_path, Script(seconds=0.01)), Control()
        run = self.go(executor, worker, control)
        told = [next(run)]
        control.pause()
        told += iter(lambda: next(run), None)  # what was being stored
        assert [next(run) for _ in range(2)] == [None] * 2, "it went on"
        control.resume()
        told += run
        assert sorted(o.item for o in told if o) == list(range(ITEMS))

    def test_cancel_ends_soon_and_keeps_what_is_done(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        worker, control = Arithmetic.ordered(tmp_path, Script(seconds=0.02)), Control()
        run = self.go(executor, worker, control, n=1000)
        done = {o.item for o in (next(run) for _ in range(10)) if o}
        control.cancel()
        start = time.monotonic()
        with pytest.raises(JobCancelled):
            list(run)
        assert time.monotonic() - start < 1
        self.settled(worker, done)

    def test_cancel_while_paused(self, executor: Executor, tmp_path: Path) -> None:
        worker, control = Arithmetic.ordered(tmp_path, Script(seconds=0.02)), Control()
        run = self.go(executor, worker, control)
        next(run)
        control.pause()
        next(run)
        control.cancel()
        with pytest.raises(JobCancelled):
            list(run)

    def test_closed_early_while_paused(self, executor: Executor, tmp_path: Path) -> None:
        worker, control = Arithmetic.ordered(tmp_path, Script(seconds=0.02)), Control()
        run = self.go(executor, worker, control)
        done = {o.item for o in (next(run) for _ in range(5)) if o}
        control.pause()
        self.end(run)
        self.settled(worker, done)

    def test_serves_again_after_a_cancel(self, executor: Executor, tmp_path: Path) -> None:
        control = Control()
        control.cancel()
        with pytest.raises(JobCancelled):
            list(self.go(executor, Arithmetic.ordered(tmp_path, Script()), control))
        self.outcomes(executor, tmp_path)

    def end(self, run: Iterator[Outcome | None]) -> None:
        """Close a run, which is a generator."""
        run.close()  # type: ignore[attr-defined]

    def settled(self, worker: Arithmetic, done: set[int]) -> None:
        """Check that nothing works any more, and nothing is half-written."""
        self.wait_for_workers()
        before = worker.notes()
        time.sleep(0.1)
        assert worker.notes() == before, "something still works"
        assert worker.halves() == []
        assert done <= set(worker.records("tiles"))

    def wait_for_workers(self) -> None:
        """Wait for what cannot be interrupted; for executors of other processes."""
