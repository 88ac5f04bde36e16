"""Finished steps: what is put comes back, what is damaged is nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.propagation import Doubt
from napari_ditto.data.blocks import DamagedBlock, digest, pack, unpack
from napari_ditto.data.resumable import FOLDER, open_resumable
from napari_ditto.data.scratch import scratch_name
from napari_ditto.data.source import open_source
from napari_ditto.data.steps import DiskSteps, MemorySteps, StepRecord, StepStore, encode
from napari_ditto.errors import LabelsError, StoreError

KEY, OTHER = "a" * 64, "b" * 64
ADDRESS = PlaneAddress("y", "x", (("t", 1), ("z", 2)))


def make_record(seed: int = 0, carry: int = 3) -> StepRecord:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (7, 9)).astype(np.uint32)
    labels[labels == 3] = 4_000_000_000
    doubts = [Doubt(ADDRESS, 2, 0.25, ("low score 0.10", "not followed further"))]
    handed = {"far": np.arange(carry, dtype=np.float16), "ids": np.array(3)} if carry else {}
    return StepRecord.of(labels, {1: 0.75, 4_000_000_000: 1.0}, {2: 0.25}, doubts, handed)


def same(a: StepRecord, b: StepRecord) -> bool:
    assert np.array_equal(a.labels, b.labels)
    assert (a.areas, a.believed, a.confidence) == (b.areas, b.believed, b.confidence)
    assert (a.doubts, a.digest) == (b.doubts, b.digest)
    assert a.carry is not None
    assert b.carry is not None
    return digest(a.carry) == digest(b.carry)


@pytest.fixture(params=["memory", "disk"])
def steps(request: pytest.FixtureRequest, tmp_path: Path) -> StepStore:
    return MemorySteps() if request.param == "memory" else DiskSteps(tmp_path / "steps")


def test_what_is_put_comes_back(steps: StepStore) -> None:
    assert steps.get(KEY) is None
    steps.put(KEY, make_record(1))
    steps.put(OTHER, make_record(2, carry=0))
    assert same(steps.get(KEY), make_record(1))
    assert same(steps.get(OTHER), make_record(2, carry=0))


def test_what_is_put_again_replaces(steps: StepStore) -> None:
    steps.put(KEY, make_record(1))
    steps.put(KEY, make_record(2))
    assert same(steps.get(KEY), make_record(2))


def test_a_record_knows_what_later_steps_may_read() -> None:
    record = make_record()
    assert record.believed == (1, 4_000_000_000)
    assert set(np.unique(record.labels)) == {0, 1, 2, 4_000_000_000}
    assert set(np.unique(record.memory())) == {0, 1, 4_000_000_000}
    assert set(np.unique(record.memory([1, 2]))) == {0, 1}
    assert record.areas == {n: int((record.labels == n).sum()) for n in (1, 2, 4_000_000_000)}
    assert not record.labels.flags.writeable


def test_the_digest_is_of_what_is_read() -> None:
    labels = np.array([[0, 1, 2]], np.uint32)
    plain = StepRecord.of(labels, {1: 1.0}, {2: 0.1})
    assert StepRecord.of(np.array([[0, 1, 0]], np.uint32), {1: 0.5}).digest == plain.digest
    assert StepRecord.of(labels, {1: 1.0, 2: 1.0}).digest != plain.digest
    carrying = StepRecord.of(labels, {1: 1.0}, {2: 0.1}, carry={"a": np.ones(1)})
    assert carrying.digest != plain.digest


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_the_oldest_carry_goes_first_and_the_rest_stays(where: str, tmp_path: Path) -> None:
    room = 5 * 1008
    steps = MemorySteps(room) if where == "memory" else DiskSteps(tmp_path, room)
    keys = [f"{n:064d}" for n in range(9)]
    for n, key in enumerate(keys):
        steps.put(key, make_record(n, carry=500))
        path = tmp_path / f"{key}.carry"
        if path.exists():
            os.utime(path, ns=(n, n))
    kept = [steps.get(key).carry is not None for key in keys]
    assert kept[-1]
    assert kept == sorted(kept)
    assert 2 <= sum(kept) <= 5
    assert [steps.get(key).digest for key in keys] == [
        make_record(n, carry=500).digest for n in range(9)
    ]


# -- damage --------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_no_record(tmp_path: Path, data: st.DataObject) -> None:
    steps = DiskSteps(tmp_path)
    steps.put(KEY, make_record())
    path = tmp_path / f"{KEY}.step"
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= data.draw(st.integers(1, 255))
    else:
        del raw[at:]
    path.write_bytes(raw)
    assert steps.get(KEY) is None
    steps.put(KEY, make_record())
    assert same(steps.get(KEY), make_record())


@pytest.mark.parametrize("damage", [b"", b"ditto", None])
def test_damaged_carry_is_lost_carry(tmp_path: Path, damage: bytes | None) -> None:
    steps = DiskSteps(tmp_path)
    steps.put(KEY, make_record())
    path = tmp_path / f"{KEY}.carry"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    found = steps.get(KEY)
    assert found.carry is None
    assert found.digest == make_record().digest


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"shape": [1, 1]},
        {"shape": [1 << 20, 1 << 20], "areas": [], "believed": []},
        {"shape": [-1, 4]},
        [],
        7,
    ],
)
def test_foreign_blocks_are_no_records(tmp_path: Path, head: object) -> None:
    block = pack(head, {"labels": np.frombuffer(b"no zlib", np.uint8)})
    (tmp_path / f"{KEY}.step").write_bytes(block)
    assert DiskSteps(tmp_path).get(KEY) is None


def test_foreign_arrays_are_refused() -> None:
    block = pack({}, {"a": np.zeros(4)})
    for form in (["a", "O", [4]], ["a", "<f8", [1 << 40]], ["a", "nonsense", [4]], ["a"], 3):
        line = json.dumps({"head": {}, "arrays": [form]}).encode() + b"\n"
        with pytest.raises(DamagedBlock):
            unpack(repacked(line + bytes(32)))
    assert unpack(block)[1]["a"].tolist() == [0] * 4


def repacked(body: bytes) -> bytes:
    import hashlib

    from napari_ditto.data.blocks import MAGIC

    return MAGIC + hashlib.sha256(body).digest() + body


def test_objects_are_not_packed() -> None:
    with pytest.raises(ValueError, match="arrays of numbers"):
        pack({}, {"a": np.array([object()])})


@given(
    st.dictionaries(
        st.text(max_size=5),
        hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)),
        max_size=3,
    )
)
def test_any_arrays_survive(arrays: dict) -> None:
    head, found = unpack(pack({"a": np.float32(0.5)}, arrays))
    assert head == {"a": 0.5}
    assert {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()} == {
        k: (a.dtype, a.shape, a.tobytes()) for k, a in found.items()
    }


# -- the disk ------------------------------------------------------------------------------------


def test_a_disk_that_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    steps = DiskSteps(tmp_path / "file")
    with pytest.raises(StoreError, match="finished planes cannot be"):
        steps.put(KEY, make_record())


def test_what_a_dead_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    mine = tmp_path / "tmp" / scratch_name()
    host, _, rest = mine.name.split("-")
    dead = mine.with_name(f"{host}-{1 << 22}-{rest}")
    for path in (mine, dead):
        path.write_bytes(b"half")
    DiskSteps(tmp_path)
    assert mine.exists()
    assert not dead.exists()


def blank(shape: tuple[int, ...] = (4, 20, 24)) -> object:
    return open_source(np.zeros(shape, np.uint8), axes="tzyx"[-len(shape) :], window=(0, 255))


def test_labels_and_steps_are_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    labels, steps = open_resumable(path, blank(), {"stepper": "x"})
    labels.write(labels_address(), labels_box(), np.ones((20, 24), bool), 7)
    steps.put(KEY, make_record())
    again, kept = open_resumable(path, blank())
    assert (np.asarray(again.data[2]) == 7).all()
    assert again.provenance == {"stepper": "x"}
    assert same(kept.get(KEY), make_record())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]
    assert open_source(path).shape == (4, 20, 24)


def labels_address() -> PlaneAddress:
    return PlaneAddress("y", "x", (("z", 2),))


def labels_box() -> object:
    from napari_ditto.core.geometry import Box

    return Box(0, 0, 20, 24)


def test_other_things_are_left_alone(tmp_path: Path) -> None:
    from napari_ditto.data.pyramid_labels import PyramidLabels

    path = tmp_path / "a.zarr"
    PyramidLabels.create(path, (4, 20, 24), "zyx")
    with pytest.raises(LabelsError, match="no propagation has made"):
        open_resumable(path, blank())
    open_resumable(tmp_path / "b.zarr", blank())
    with pytest.raises(LabelsError, match="labels of shape"):
        open_resumable(tmp_path / "b.zarr", blank((5, 20, 24)))
    with pytest.raises(StoreError, match="cannot be"):
        open_resumable(tmp_path / "a.zarr" / "zarr.json" / "c.zarr", blank())
    assert not (path / FOLDER).exists()


def test_a_plane_deflates_well() -> None:
    labels = np.zeros((512, 512), np.uint32)
    for n in range(64):
        y, x = divmod(n, 8)
        labels[y * 64 + 4 : y * 64 + 56, x * 64 + 4 : x * 64 + 56] = n + 1
    assert len(encode(StepRecord.of(labels, dict.fromkeys(range(1, 65), 1.0)))) < 30_000
