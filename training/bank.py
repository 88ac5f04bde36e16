"""Build the data bank: ready crops of real images and of synthetic worlds.

``python -m training.bank --data ../shared/data/train --out DIR [--set NAME]`` writes, for each
set, ``NAME_images.npy`` (uint8 ``(n, 160, 160, 3)``) and ``NAME_layers.npy`` (uint8
``(n, 3, 160, 160)``, nested instance ids, 0 is background), and the same of held-out images as
``NAME_val_*.npy``. The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.crops import LAYERS, SIDE, crops
from training.sources import READERS, Plane
from training.worlds import render

HELD_OUT = 0.06
WORLDS = "worlds"
SETS = (*READERS, WORLDS)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Job:
    """One image to crop, or one world to render; ``key`` seeds it."""

    key: tuple[int, ...]
    plane: Plane | None = None


def work(job: Job) -> list[Pair]:
    """Return the crops of one job."""
    rng = np.random.default_rng(job.key)
    if job.plane is None:
        return [render(rng, SIDE)]
    image, labels = job.plane.read()
    return crops(rng, image, labels, job.plane.crops)


def split(planes: list[Plane], rng: np.random.Generator) -> tuple[list[Plane], list[Plane]]:
    """Hold whole groups of images out until they are about 6 % of the images, at least one."""
    fixed = [p for p in planes if p.held_out]
    if fixed:
        return [p for p in planes if not p.held_out], fixed
    groups = sorted({p.group for p in planes})
    chosen: set[str] = set()
    for k in rng.permutation(len(groups))[: len(groups) - 1]:
        chosen.add(groups[k])
        if sum(p.group in chosen for p in planes) >= HELD_OUT * len(planes):
            break
    return [p for p in planes if p.group not in chosen], [p for p in planes if p.group in chosen]


def jobs(name: str, data: Path, worlds: int, seed: int) -> dict[str, list[Job]]:
    """Return the jobs of a set for training (suffix "") and validation (suffix "_val")."""
    if name == WORLDS:
        held = max(1, round(HELD_OUT * worlds))
        return {
            "": [Job((seed, 0, k)) for k in range(worlds)],
            "_val": [Job((seed, 1, k)) for k in range(held)],
        }
    salt = zlib.crc32(name.encode())
    return {
        suffix: [Job((seed, salt, zlib.crc32(p.name.encode())), p) for p in part]
        for suffix, part in zip(("", "_val"), planes_of(name, data, seed), strict=True)
    }


def planes_of(name: str, data: Path, seed: int) -> tuple[list[Plane], list[Plane]]:
    """Return the planes of a set for training, and those held out."""
    salt = zlib.crc32(name.encode())
    return split(list(READERS[name](data)), np.random.default_rng((seed, salt)))


def write(out: Path, stem: str, pairs: Iterable[Pair], most: int) -> int:
    """Write crops as two memory-mappable arrays that appear whole or not at all."""
    images = np.empty((most, SIDE, SIDE, 3), np.uint8)
    layers = np.empty((most, LAYERS, SIDE, SIDE), np.uint8)
    count = 0
    for image, ids in pairs:
        images[count], layers[count] = image, ids
        count += 1
    for kind, array in (("images", images), ("layers", layers)):
        target = out / f"{stem}_{kind}.npy"
        partial_file = target.with_suffix(".npy.part")
        with partial_file.open("wb") as handle:
            np.save(handle, array[:count])
        os.replace(partial_file, target)
    return count


def build(
    name: str, data: Path, out: Path, worlds: int = 3000, seed: int = 0, workers: int = 2
) -> dict[str, int]:
    """Build one set and return how many crops each of its parts has.

    Parameters
    ----------
    name
        One of ``SETS``.
    data
        Folder with the real sets; unused for worlds.
    out
        Folder to write into; made where missing.
    worlds
        How many worlds to render for training.
    seed
        The same seed gives the same arrays, whatever the number of workers.
    workers
        Processes that crop and render.
    """
    out.mkdir(parents=True, exist_ok=True)
    counts = {}
    with multiprocessing.Pool(workers) as pool:
        for suffix, part in jobs(name, data, worlds, seed).items():
            most = sum(1 if j.plane is None else j.plane.crops for j in part)
            made = _flat(pool.imap(work, part, chunksize=1 if len(part) < 1000 else 8))
            counts[name + suffix] = write(out, name + suffix, made, most)
    return counts


def _flat(parts: Iterable[list[Pair]]) -> Iterator[Pair]:
    for part in parts:
        yield from part


def main(argv: list[str] | None = None) -> None:
    """Build the sets that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m training.bank", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, action="append", help="default: all; repeatable")
    parser.add_argument("--worlds", type=int, default=3000, help="how many worlds to render")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args(argv)
    make = partial(build, worlds=chosen.worlds, seed=chosen.seed, workers=chosen.workers)
    for name in chosen.set or SETS:
        start = time.perf_counter()
        counts = make(name, chosen.data, chosen.out)
        print(f"{name}: {counts} in {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
