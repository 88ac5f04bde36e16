"""A process that forks runs and kills them: a fork costs milliseconds, a new Python two seconds.

    python zygote.py FOLDER encode|merge KILLS SEED

It must not use zarr itself, whose threads do not survive a fork. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numcodecs  # noqa: F401
import numpy as np
import scipy.ndimage  # noqa: F401
import torch  # noqa: F401
import zarr  # noqa: F401

# Imported before the first fork, so that no child pays for it.
from napari_ditto.data import chunk_cache, cropped, pyramid_labels  # noqa: F401
from napari_ditto.testing.bounded import BoundedModel, tissue
from tests.engine.whole.running import hash_of, run

WINDOW, HALO = 96, 16
KINDS_AFTER_TILES = ("pairs", "groups", "join", "paint", "pyramid")


def picture() -> np.ndarray:
    """Return a small stack of 2 planes with 32 tiles each."""
    return tissue((2, 250, 510), 12, np.random.default_rng(5))


def work(target: Path, report: Path | None = None) -> None:
    """Do, or go on with, the run; the child's only task."""
    model = BoundedModel(2, seconds=0.002)
    summary, labels = run(picture(), target, model=model, window=WINDOW, halo=HALO)
    if report:
        told = {"done": summary.done, "reused": summary.reused, "hash": hash_of(labels)}
        report.write_text(json.dumps(told))


def forked(target: Path, report: Path | None, seconds: float) -> bool:
    """Run in a child for at most so long; return whether it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            work(target, report)
        except BaseException:  # noqa: BLE001 - a child must never come back
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"the run failed with status {status}")
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def stamps(target: Path) -> dict[str, int]:
    """Return when each finished tile was stored."""
    home = target / ".ditto-run" / "tiles" / "done"
    return {p.name: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}


def ended(target: Path, report: Path) -> dict:
    """Run to the end and return what it tells."""
    if not forked(target, report, 600):
        raise RuntimeError("the run did not end")
    return json.loads(report.read_text())


def forget(target: Path) -> None:
    """Take away all records but those of the tiles, and the labels."""
    for kind in KINDS_AFTER_TILES:
        for part in (target / ".ditto-run" / kind).glob("*/*"):
            shutil.rmtree(part)
    for level in target.iterdir():
        for chunks in level.glob("c") if level.is_dir() else ():
            shutil.rmtree(chunks)


def main(folder: Path, stage: str, kills: int, seed: int) -> dict:
    """Kill so often; return what was found."""
    chance = random.Random(seed)
    ended(folder / "first.zarr", folder / "first.json")
    begun = time.monotonic()
    truth = ended(folder / "truth.zarr", folder / "truth.json")["hash"]
    whole = time.monotonic() - begun
    target, report = folder / "run.zarr", folder / "run.json"
    told = {"kills": 0, "redone": 0, "wrong": 0, "runs": 0}
    if stage == "merge":
        ended(target, report)
        begun = time.monotonic()
        forget(target)
        ended(target, report)
        whole = time.monotonic() - begun
    while told["kills"] < kills:
        if stage == "merge":
            forget(target)
        before = stamps(target) if target.exists() else {}
        if not forked(target, report, chance.uniform(0.02, 0.9 * whole)):
            told["kills"] += 1
            if stage == "merge":
                ended(target, report)
        after = stamps(target) if target.exists() else {}
        told["redone"] += sum(after.get(name) != at for name, at in before.items())
        if report.exists():
            told["runs"] += 1
            told["wrong"] += json.loads(report.read_text())["hash"] != truth
            report.unlink()
            if stage == "encode":
                shutil.rmtree(target)
    if stage == "encode":
        told["wrong"] += ended(target, report)["hash"] != truth
        told["runs"] += 1
    return told


if __name__ == "__main__":
    where, what, number, start = sys.argv[1:]
    print(json.dumps(main(Path(where), what, int(number), int(start))))
