"""A worker that squares numbers, with faults on order; what executors are tested with."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.engine.whole.work import Facts, WorkStage
from napari_ditto.errors import SourceError, StoreError


@dataclass(frozen=True)
class Script:
    """What a worker does; JSON keys are texts, so items are, too.

    Attributes
    ----------
    steps, seconds : int, float
        Steps of an item, and how long one takes.
    fails, refuses, crashes, kills : mapping of item to int
        How often computing raises ValueError; SourceError; storing raises OSError; the process
        is killed.
    full : item
        Storing it raises StoreError.
    """

    steps: int = 3
    seconds: float = 0.0
    fails: Mapping[str, int] = field(default_factory=dict)
    refuses: Mapping[str, int] = field(default_factory=dict)
    crashes: Mapping[str, int] = field(default_factory=dict)
    kills: Mapping[str, int] = field(default_factory=dict)
    full: str = ""


class Arithmetic:
    """Squares items; everything that it does is a file or a line in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = Script(**json.loads((folder / "script.json").read_text()))

    @classmethod
    def ordered(cls, folder: Path, script: Script) -> Arithmetic:
        """Return a worker that follows a script, as do all that open the same folder."""
        folder.mkdir(exist_ok=True)
        (folder / "script.json").write_text(json.dumps(asdict(script)))
        return cls(folder)

    @property
    def opener(self) -> Callable[[str], Arithmetic]:
        """What another process calls."""
        return open_arithmetic

    def prefetch(self, stage: WorkStage, item: int) -> None:
        """Note it."""
        self._note("prefetch", item)

    def compute(self, stage: WorkStage, item: int) -> Generator[Progress, None, Squared]:
        """Square a number, step by step."""
        self._note("compute", item)
        for step in range(self.script.steps):
            yield Progress("tiles", step, self.script.steps)
            time.sleep(self.script.seconds)
        self._fault("kills", item, lambda: os.kill(os.getpid(), signal.SIGKILL))
        self._fault("fails", item, _fail)
        self._fault("refuses", item, _refuse)
        return Squared(self, stage, item)

    def store(self, stage: WorkStage, item: int) -> Facts:
        """Write the record as real ones are written: whole or not at all."""
        self._note("store", item)
        if str(item) == self.script.full:
            raise StoreError("the disk is full", where=str(self.folder))
        self._fault("crashes", item, _crash)
        facts = {"square": item * item, "stage": stage}
        half = self.folder / f".{stage}-{item}-{os.getpid()}-{threading.get_ident()}"
        half.write_text(json.dumps(facts))
        half.replace(self.folder / f"{stage}-{item}.json")
        return facts

    def notes(self) -> Counter[tuple[str, int]]:
        """Return how often each thing was done to each item."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        return Counter((kind, int(item)) for kind, item, _ in map(str.split, lines))

    def processes(self) -> set[int]:
        """Return the processes that computed."""
        lines = (self.folder / "log").read_text().splitlines()
        return {int(pid) for kind, _, pid in map(str.split, lines) if kind == "compute"}

    def records(self, stage: WorkStage) -> dict[int, Any]:
        """Return what is stored."""
        files = self.folder.glob(f"{stage}-*.json")
        return {int(f.stem.split("-")[1]): json.loads(f.read_text())["square"] for f in files}

    def halves(self) -> list[Path]:
        """Return records that were begun and not finished."""
        return [f for f in self.folder.iterdir() if f.name.startswith(".")]

    def _fault(self, kind: str, item: int, strike: Callable[[], None]) -> None:
        """Strike the ordered number of times, counted in files that survive the process."""
        for count in range(getattr(self.script, kind).get(str(item), 0)):
            mark = self.folder / f"{kind}.{item}.{count}"
            if not mark.exists():
                mark.touch()
                strike()

    def _note(self, kind: str, item: int) -> None:
        with (self.folder / "log").open("ab", buffering=0) as log:
            log.write(f"{kind} {item} {os.getpid()}\n".encode())


@dataclass(frozen=True)
class Squared:
    """A number that is squared and not stored."""

    worker: Arithmetic
    stage: WorkStage
    item: int

    def store(self) -> Facts:
        """Write its record."""
        return self.worker.store(self.stage, self.item)


def open_arithmetic(target: str) -> Arithmetic:
    """Open the worker of a folder, in any process."""
    return Arithmetic(Path(target))


def _fail() -> None:
    raise ValueError("a stripe\nin the detector")


def _refuse() -> None:
    raise SourceError("the file is damaged", where="chunk 3", todo="Copy it again")


def _crash() -> None:
    raise OSError("stale file handle")
