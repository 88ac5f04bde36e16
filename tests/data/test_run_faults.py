"""Damage to anything that a run keeps is noticed, and what is damaged is never used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.run_folder import FOLDER, RunFolder
from napari_ditto.data.run_records import digest_of
from napari_ditto.errors import DittoError
from napari_ditto.testing.contracts.embeddings import make_embedding, make_key

FAULTS = 1000 if os.environ.get("DITTO_STRESS") else 60
RNG_SEED = 20240918
PLAN = {"version": 1, "task": {"kind": "all"}, "window": 2048}
ITEMS = range(4)
SIDE = 64


def key_of(plan: object) -> str:
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()


KEY = key_of(PLAN)


def tile(number: int) -> np.ndarray:
    blocks = np.random.default_rng(number).integers(0, 500, (8, 8), dtype=np.uint32)
    return np.kron(blocks, np.ones((8, 8), np.uint32))


class Kept:
    """One kind of what a run keeps: how it is made, where it lies, what is read of it."""

    strict = False
    """Whether an item is refused because of a file that does not belong to it."""

    def make(self, folder: Path) -> None:
        raise NotImplementedError

    def files(self, folder: Path) -> dict[int, list[Path]]:
        """Return the files that each item depends on."""
        raise NotImplementedError

    def read(self, folder: Path) -> dict[int, object]:
        """Return what would be used of each item, None if it would be made again."""
        raise NotImplementedError


class Plans(Kept):
    def make(self, folder, plan=PLAN):
        run = RunFolder.create(folder, plan)
        run.put("tiles", 0, key_of(plan), {})

    def files(self, folder):
        return {0: [folder / FOLDER / "plan.json"]}

    def read(self, folder):
        try:
            run = RunFolder.open(folder)
        except DittoError:
            return {0: None}
        # Nothing that was done under another plan is used under this one.
        return {0: dict(run.plan) if run.finished("tiles", key_of(dict(run.plan))) else None}


class Tiles(Kept):
    """Blocks and done records of tiles."""

    def make(self, folder, plan=PLAN):
        run = RunFolder.create(folder, plan)
        for number in ITEMS:
            arrays = {"labels": tile(number), "areas": np.arange(number + 3)}
            run.put("tiles", number, key_of(plan), {"objects": number}, arrays)

    def files(self, folder):
        home = folder / FOLDER / "tiles"
        return {n: sorted(home.glob(f"*/0/{n}-*")) for n in ITEMS}

    def read(self, folder):
        run = RunFolder(folder)
        told = {n: run.told("tiles", n, KEY) for n in ITEMS}
        found = {n: run.get("tiles", n, KEY) for n in ITEMS}
        assert all(told[n] in (None, self.truth(n)[:2]) for n in ITEMS), "a false record is told"
        assert run.finished("tiles", KEY) == {n for n in ITEMS if found[n]}
        return {n: r and (r.head, r.digest, *_bytes(r.arrays)) for n, r in found.items()}

    def truth(self, number):
        if not hasattr(self, "_truth"):
            self._truth = {}
        return self._truth[number]


class Embeddings(Kept):
    strict = True

    def make(self, folder, plan=PLAN):
        cache = EmbeddingCache(memory_bytes=0, directory=folder)
        for number in ITEMS:
            seed = number if plan is PLAN else number + 50
            cache.put(make_key(seed), make_embedding(seed))

    def files(self, folder):
        entries = {n: list(folder.rglob(make_key(n))) for n in ITEMS}
        if not all(entries.values()):  # the twin has others
            entries = {n: list(folder.rglob(make_key(n + 50))) for n in ITEMS}
        return {
            n: sorted(f for f in entry[0].rglob("*") if f.is_file()) for n, entry in entries.items()
        }

    def read(self, folder):
        cache = EmbeddingCache(memory_bytes=0, directory=folder)
        found = {n: cache.get(make_key(n)) for n in ITEMS}
        return {n: e and (e.model, e.tile_shape, *_bytes(e.arrays)) for n, e in found.items()}


class Labels(Kept):
    """Chunks of the final labels, and the records that tell what was painted."""

    def make(self, folder, plan=PLAN):
        labels = PyramidLabels.create(folder / "labels", (SIDE, 4 * SIDE), "yx", chunk=SIDE)
        run = RunFolder.create(folder / "labels", plan)
        for number in ITEMS:
            made = tile(number if plan is PLAN else number + 50)
            labels.paint(labels_plane(labels), box(number), made)
            run.put("paint", number, key_of(plan), {"digest": digest_of(made)})
        labels.flush()

    def files(self, folder):
        root = folder / "labels"
        records = root / FOLDER / "paint" / "done" / "0"
        return {n: [root / "0" / "c" / "0" / str(n), *records.glob(f"{n}-*")] for n in ITEMS}

    def read(self, folder):
        run = RunFolder(folder / "labels")
        return {n: self._read(folder, run.told("paint", n, KEY), n) for n in ITEMS}

    def _read(self, folder, told, number):
        try:
            labels = PyramidLabels.open(folder / "labels")
            found = labels.read(labels_plane(labels), box(number))
        except Exception:  # noqa: BLE001  # zarr's codecs raise what they like
            return None
        return found.tobytes() if told and told[0]["digest"] == digest_of(found) else None


def labels_plane(labels):
    from napari_ditto.core.geometry import PlaneAddress

    return PlaneAddress("y", "x")


def box(number: int) -> Box:
    return Box(0, number * SIDE, SIDE, (number + 1) * SIDE)


def _bytes(arrays) -> Iterator[object]:
    for name, array in sorted(arrays.items()):
        yield name, array.dtype.str, array.shape, array.tobytes()


class Victim:
    """A file, the item that needs it, and others to confuse it with."""

    def __init__(self, kept: Kept, folder: Path, twin: Path, rng: np.random.Generator) -> None:
        self.rng, self.strict = rng, kept.strict
        files = kept.files(folder)
        self.item = int(rng.integers(len(files)))
        place = int(rng.integers(len(files[self.item])))
        self.file = files[self.item][place]
        self.foreign = kept.files(twin)[self.item][place]
        others = [n for n in files if n != self.item]
        self.other_item = others[rng.integers(len(others))] if others else None
        self.other = None if self.other_item is None else files[self.other_item][place]


def truncate(v):
    os.truncate(v.file, v.rng.integers(v.file.stat().st_size))


def flip_a_bit(v):
    raw = bytearray(v.file.read_bytes())
    raw[v.rng.integers(len(raw))] ^= 1 << v.rng.integers(8)
    v.file.write_bytes(raw)


def empty(v):
    v.file.write_bytes(b"")


def delete(v):
    v.file.unlink()


def append(v):
    with v.file.open("ab") as file:
        file.write(v.rng.bytes(v.rng.integers(1, 9)))


def zero(v):
    v.file.write_bytes(bytes(v.file.stat().st_size))


def scramble(v):
    v.file.write_bytes(v.rng.bytes(v.file.stat().st_size))


def cut_in_the_middle(v):
    raw = v.file.read_bytes()
    at = int(v.rng.integers(len(raw)))
    v.file.write_bytes(raw[:at] + raw[at + 1 :])


def swap(v):
    raw = v.file.read_bytes()
    if v.other is None or raw == v.other.read_bytes():
        return scramble(v)
    v.file.write_bytes(v.other.read_bytes())
    v.other.write_bytes(raw)
    return {v.item, v.other_item}


def stale(v):
    """The file of another item."""
    if v.other is None or v.file.read_bytes() == v.other.read_bytes():
        return scramble(v)
    shutil.copy(v.other, v.file)
    return None


def foreign(v):
    """The same file of another run."""
    if v.file.read_bytes() == v.foreign.read_bytes():
        return scramble(v)
    shutil.copy(v.foreign, v.file)
    return None


def folder_in_its_place(v):
    v.file.unlink()
    v.file.mkdir()
    if v.rng.integers(2):
        (v.file / "x").write_text("x")


def link_to_another(v):
    if v.other is not None and v.file.read_bytes() == v.other.read_bytes():
        return delete(v)
    v.file.unlink()
    v.file.symlink_to(v.other or v.foreign)
    return None


def dangling_link(v):
    v.file.unlink()
    v.file.symlink_to(v.file.parent / "nowhere")


def pipe_in_its_place(v):
    v.file.unlink()
    os.mkfifo(v.file)


def huge(v):
    os.truncate(v.file, 3 << 30)


def orphan(v):
    """What a killed writer leaves beside it."""
    v.file.with_name(f"{v.file.name}.{uuid.UUID(int=5).hex}.partial").write_bytes(b"half")
    return {v.item} if v.strict else set()


def wrong_dtype(v):
    """Sound JSON that says other numbers; where there is no JSON, any change."""
    raw = v.file.read_bytes()
    changed = raw.replace(b"u4", b"i4").replace(b"float16", b"float32").replace(b"1", b"2")
    return scramble(v) if changed == raw else v.file.write_bytes(changed) and None


KINDS: list[Callable[[Victim], object]] = [
    truncate, flip_a_bit, empty, delete, append, zero, scramble, cut_in_the_middle, swap, stale,
    foreign, folder_in_its_place, link_to_another, dangling_link, pipe_in_its_place, huge, orphan,
    wrong_dtype,
]  # fmt: skip
AREAS = [Plans(), Tiles(), Embeddings(), Labels()]


@pytest.mark.timeout(1800 if FAULTS > 60 else 180)
@pytest.mark.skipif(os.name != "posix", reason="needs links and pipes")
def test_every_fault_is_noticed_and_none_is_used(tmp_path):
    rng, told = np.random.default_rng(RNG_SEED), Counter()
    for area in AREAS:
        pristine, twin, folder = (tmp_path / type(area).__name__ / n for n in ("a", "b", "c"))
        pristine.mkdir(parents=True)
        twin.mkdir()
        area.make(pristine)
        area.make(twin, {**PLAN, "window": 1024})
        if isinstance(area, Tiles):
            area._truth = {n: RunFolder(pristine).told("tiles", n, KEY) for n in ITEMS}
        truth = area.read(pristine)
        assert None not in truth.values()
        for number in range(FAULTS // len(AREAS)):
            shutil.copytree(pristine, folder)
            fault = KINDS[(number + rng.integers(2)) % len(KINDS)]
            victim = Victim(area, folder, twin, rng)
            done = fault(victim)
            damaged = done if isinstance(done, set) else {victim.item}
            found = area.read(folder)
            where = f"{type(area).__name__}: {fault.__name__} of {victim.file.relative_to(folder)}"
            told["faults"] += 1
            told["noticed"] += all(found[n] is None for n in damaged)
            told["used"] += any(found[n] not in (None, truth[n]) for n in truth)
            told["sound ones lost"] += any(found[n] is None for n in truth.keys() - damaged)
            assert told["noticed"] == told["faults"], where
            assert not told["used"], where
            assert not told["sound ones lost"], where
            shutil.rmtree(folder)
    print(f"{told['faults']} faults, {told['noticed']} detected, {told['used']} used")
