"""200 injected faults: each is noticed, none becomes data, and what is sound stays."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.data.diskstore import DONE
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.testing.contracts.embeddings import MODEL, make_embedding, make_key, same

OTHER = "other@2#fedcba9876543210"
MODELS = [MODEL, MODEL, MODEL, OTHER]
KEYS = [make_key(seed, model) for seed, model in enumerate(MODELS)]
TRUTH = [make_embedding(seed, model) for seed, model in enumerate(MODELS)]
FAULTS = 200


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pristine")
    cache = EmbeddingCache(directory=folder)
    for key, embedding in zip(KEYS, TRUTH, strict=True):
        cache.put(key, embedding)
    return folder


class Victims:
    """The entries of a cache folder, for faults to choose from."""

    def __init__(self, root: Path, rng: np.random.Generator) -> None:
        self.rng = rng
        self.entries = [root / key[:16] / key for key in KEYS]
        self.number = int(rng.integers(len(KEYS)))
        self.entry = self.entries[self.number]
        self.files = sorted(f for f in self.entry.rglob("*") if f.is_file())
        self.file = self.files[rng.integers(len(self.files))]
        self.chunks = [f for f in self.files if "c" in f.parts[-4:-1]]

    def other(self) -> int:
        return int((self.number + self.rng.integers(1, len(KEYS))) % len(KEYS))


def truncate(v):
    os.truncate(v.file, v.rng.integers(1, v.file.stat().st_size))
    return {v.number}


def flip_a_bit(v):
    raw = bytearray(v.file.read_bytes())
    raw[v.rng.integers(len(raw))] ^= 1 << v.rng.integers(8)
    v.file.write_bytes(raw)
    return {v.number}


def empty(v):
    v.file.write_bytes(b"")
    return {v.number}


def delete(v):
    v.file.unlink()
    return {v.number}


def append(v):
    with v.file.open("ab") as file:
        file.write(v.rng.bytes(v.rng.integers(1, 9)))
    return {v.number}


def zero(v):
    v.file.write_bytes(bytes(v.file.stat().st_size))
    return {v.number}


def scramble(v):
    v.file.write_bytes(v.rng.bytes(v.file.stat().st_size))
    return {v.number}


def swap_entries(v):
    other = v.other()
    v.entry.rename(v.entry.with_name("aside"))
    v.entries[other].rename(v.entry)
    v.entry.with_name("aside").rename(v.entries[other])
    return {v.number, other}


def swap_chunks_between_entries(v):
    other = v.other()
    mine = v.chunks[v.rng.integers(len(v.chunks))]
    theirs = v.entries[other] / mine.relative_to(v.entry)
    raw = mine.read_bytes()
    mine.write_bytes(theirs.read_bytes())
    theirs.write_bytes(raw)
    return {v.number, other}


def swap_files_of_an_entry(v):
    first, second = v.rng.choice(len(v.files), 2, replace=False)
    raw = v.files[first].read_bytes()
    v.files[first].write_bytes(v.files[second].read_bytes())
    v.files[second].write_bytes(raw)
    return {v.number}


def foreign_record(v):
    shutil.copy(v.entries[v.other()] / DONE, v.entry / DONE)
    return {v.number}


def stale_entry(v):
    shutil.rmtree(v.entry)
    shutil.copytree(v.entries[v.other()], v.entry)
    return {v.number}


def foreign_file(v):
    (v.file.parent / "notes.txt").write_text("not ours")
    return {v.number}


def huge_record(v):
    (v.entry / DONE).write_bytes(b" " * (2 << 20))
    return {v.number}


def file_in_place_of_the_entry(v):
    shutil.rmtree(v.entry)
    v.entry.write_text("not ours")
    return {v.number}


def folder_in_place_of_a_file(v):
    v.file.unlink()
    v.file.mkdir()
    return {v.number}


def empty_folder(v):
    shutil.rmtree(v.entry)
    v.entry.mkdir()
    return {v.number}


def link_to_another_entry(v):
    shutil.rmtree(v.entry)
    v.entry.symlink_to(v.entries[v.other()], target_is_directory=True)
    return {v.number}


def dangling_link(v):
    v.file.unlink()
    v.file.symlink_to(v.entry / "nowhere")
    return {v.number}


def rewritten_with_zarr(v, dtype=np.float32, factor=1):
    """Somebody opens the entry with zarr and writes sound arrays that are not ours."""
    import zarr

    group = zarr.open_group(v.entry, mode="r+")
    array = np.asarray(group["features"][...])
    group.create_array("features", data=(array * factor).astype(dtype), overwrite=True)
    return {v.number}


def wrong_dtype(v):
    return rewritten_with_zarr(v, np.float64)


def stale_values(v):
    return rewritten_with_zarr(v, np.float16, factor=2)


def foreign_metadata(v):
    metadata = v.entry / "features" / "zarr.json"
    document = json.loads(metadata.read_text())
    document["shape"] = document["shape"][::-1]
    metadata.write_text(json.dumps(document))
    return {v.number}


def forged(v, **changes):
    """A record whose own checksum is right, and which says something else."""
    done = json.loads((v.entry / DONE).read_text())["done"]
    body = json.dumps(done | changes, sort_keys=True)
    (v.entry / DONE).write_text(f'{{"crc32": {zlib.crc32(body.encode())}, "done": {body}}}\n')
    return {v.number}


def another_model(v):
    return forged(v, model=OTHER if MODELS[v.number] == MODEL else MODEL)


def another_key(v):
    return forged(v, key=KEYS[v.other()])


def unknown_version(v):
    return forged(v, format=int(v.rng.choice([1, 3])))


def another_dtype(v):
    done = json.loads((v.entry / DONE).read_text())["done"]
    done["arrays"]["features"]["dtype"] = "float32"
    return forged(v, arrays=done["arrays"])


def another_shape(v):
    """As many elements, or none, in shapes that no array has."""
    done = json.loads((v.entry / DONE).read_text())["done"]
    shapes = [[-4, -6, 5], [4.0, 6, 5], [120], [[4], 6, 5], [2**70, 0], "465", [True, 120]]
    done["arrays"]["features"]["shape"] = shapes[v.rng.integers(len(shapes))]
    return forged(v, arrays=done["arrays"])


def path_out_of_the_entry(v):
    done = json.loads((v.entry / DONE).read_text())["done"]
    done["files"]["../../../../secret"] = done["files"].pop("features/zarr.json")
    return forged(v, files=done["files"])


KINDS = [
    truncate, flip_a_bit, empty, delete, append, zero, scramble, swap_entries,
    swap_chunks_between_entries, swap_files_of_an_entry, foreign_record, stale_entry, foreign_file,
    huge_record, file_in_place_of_the_entry, folder_in_place_of_a_file, empty_folder,
    link_to_another_entry, dangling_link, rewritten_with_zarr, wrong_dtype, stale_values,
    foreign_metadata, another_model, another_key, unknown_version, another_dtype,
    another_shape, path_out_of_the_entry,
]  # fmt: skip


@pytest.mark.parametrize("fault", range(FAULTS))
def test_fault_is_a_miss_and_is_removed(pristine, tmp_path, fault):
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    victims = Victims(cache.path, np.random.default_rng(fault))
    damaged = KINDS[fault % len(KINDS)](victims)

    found = [cache.get(key) for key in KEYS]
    assert {number for number, answer in enumerate(found) if answer is None} == damaged
    assert all(a is None or same(a, t) for a, t in zip(found, TRUTH, strict=True))
    assert not any(os.path.lexists(victims.entries[number]) for number in damaged)
    assert cache.problem == ""

    for number in damaged:
        cache.put(KEYS[number], TRUTH[number])
    assert all(same(cache.get(k), t) for k, t in zip(KEYS, TRUTH, strict=True))


def test_a_put_over_damage_repairs_it(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    flip_a_bit(Victims(cache.path, np.random.default_rng(0)))
    for key, embedding in zip(KEYS, TRUTH, strict=True):
        cache.put(key, embedding)
    assert all(same(cache.get(k), t) for k, t in zip(KEYS, TRUTH, strict=True))


def test_damage_does_not_count_against_the_quota(pristine, tmp_path):
    shutil.copytree(pristine, tmp_path, dirs_exist_ok=True)
    cache = EmbeddingCache(memory_bytes=0, directory=tmp_path)
    victims = Victims(cache.path, np.random.default_rng(0))
    (victims.entry / DONE).unlink()
    assert cache.stats().entries == len(KEYS) - 1
    cache.put(make_key(9), make_embedding(9))
    assert not victims.entry.exists()
