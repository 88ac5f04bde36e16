"""What a run has finished is kept: exactly as it was written, or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_ditto.data import run_lock
from napari_ditto.data.blocks import DamagedBlock
from napari_ditto.data.run_folder import FOLDER, KINDS, RunFolder
from napari_ditto.data.run_records import Done, Item, decode, digest_of, encode
from napari_ditto.data.scratch import scratch_name
from napari_ditto.errors import LabelsError, StoreError

PLAN = {"version": 1, "task": {"kind": "all"}, "region": [[0.5, 1.25]], "mask": "", "ranges": None}
KEY = "5eed" * 16
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path, PLAN)


def labels(seed: int = 0, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.integers(0, 99, (side // 8, side // 8)), 8, 0), 8, 1).astype(
        "u4"
    )


# -- the plan ----------------------------------------------------------------------------------


def test_a_run_is_found_where_it_was_made(tmp_path):
    with pytest.raises(LabelsError, match="no run here"):
        RunFolder.open(tmp_path)
    made = RunFolder.create(tmp_path, PLAN)
    assert dict(made.plan) == PLAN
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    assert dict(RunFolder.open(moved).plan) == PLAN
    assert json.loads((moved / FOLDER / "plan.json").read_text())["plan"] == PLAN
    with pytest.raises(StoreError, match="cannot be created"):
        RunFolder.create(moved, PLAN)


@pytest.mark.parametrize("raw", [b"", b"{}", b"[" * 100_000, b'{"plan": {"version": 1}}', b"\xff"])
def test_a_damaged_plan_is_one_line(run, raw):
    (run.folder / "plan.json").write_bytes(raw)
    with pytest.raises(StoreError, match="plan of the run is damaged") as caught:
        RunFolder.open(run.target)
    assert "\n" not in str(caught.value)


# -- finished items ----------------------------------------------------------------------------

numbers = arrays.arrays(
    st.sampled_from(["u1", "<u4", ">u4", "i8", "?", "f2", "f4", ">f8"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
)
heads = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ).filter(lambda value: "Infinity" not in json.dumps(value)),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 1 << 40),
    st.text(),
    heads,
    st.dictionaries(st.text(max_size=4), numbers, max_size=3),
)
def test_what_is_put_is_got(run, kind, number, key, head, given_arrays):
    key = key.encode(errors="replace").decode()
    digest = run.put(kind, number, key, head, given_arrays)
    assert digest == run.put(kind, number, key, head, given_arrays)
    record = run.get(kind, number, key)
    assert record.head == head
    assert record.digest == digest
    assert run.told(kind, number, key) == (head, digest)
    assert run.check(kind, number, key)
    assert number in run.finished(kind, key)
    assert record.arrays.keys() == given_arrays.keys()
    for name, array in given_arrays.items():
        np.testing.assert_array_equal(record.arrays[name], array)
        assert record.arrays[name].shape == array.shape
        assert record.arrays[name].dtype == array.dtype.newbyteorder("<")
        assert not record.arrays[name].flags.writeable
    run.discard(kind, number)
    assert run.get(kind, number, key) is None
    assert number not in run.finished(kind, key)


def test_the_digest_tells_any_change(run):
    label = labels()
    digests = {
        run.put("tiles", 1, KEY, {"n": 1}, {"labels": label}),
        run.put("tiles", 2, KEY, {"n": 1}, {"labels": label}),
        run.put("pairs", 1, KEY, {"n": 1}, {"labels": label}),
        run.put("tiles", 1, KEY[1:], {"n": 1}, {"labels": label}),
        run.put("tiles", 3, KEY, {"n": 2}),
        run.put("tiles", 4, KEY, {"n": 1}, {"labels": label.astype("u2")}),
        run.put("tiles", 5, KEY, {"n": 1}, {"labels": label.T}),
        run.put("tiles", 6, KEY, {"n": 1}),
    }
    assert len(digests) == 8
    run.put("tiles", 1, KEY, {"seconds": 1.5}, {"labels": label})
    assert run.told("tiles", 1, KEY) == (
        {"seconds": 1.5},
        run.put("tiles", 1, KEY, {"n": 1}, {"labels": label}),
    )


def test_keys_do_not_know_of_each_other(run):
    run.put("tiles", 1234, "a", {}, {"x": labels(0)})
    run.put("tiles", 1234, "b", {}, {"x": labels(1)})
    np.testing.assert_array_equal(run.get("tiles", 1234, "a").arrays["x"], labels(0))
    np.testing.assert_array_equal(run.get("tiles", 1234, "b").arrays["x"], labels(1))
    assert run.get("tiles", 1234, "c") is None
    assert run.get("pairs", 1234, "a") is None
    run.put("tiles", 9999, "a", {})
    assert (run.finished("tiles", "a"), run.finished("tiles", "c")) == ({1234, 9999}, set())
    run.discard("tiles", 1234)
    assert (run.finished("tiles", "a"), run.finished("tiles", "b")) == ({9999}, set())


def test_some_arrays_are_unpacked_and_all_are_checked(run):
    run.put("tiles", 1, KEY, {}, {"labels": labels(), "areas": np.arange(5)})
    assert list(run.get("tiles", 1, KEY, ["areas", "other"]).arrays) == ["areas"]
    (block,) = (run.folder / "tiles" / "block" / "0").iterdir()
    raw = bytearray(block.read_bytes())
    raw[len(raw) // 2] ^= 1
    block.write_bytes(raw)
    assert run.get("tiles", 1, KEY, ["areas"]) is None


def test_what_cannot_be_kept_is_said_before_anything_is_written(run):
    before = sorted(run.folder.rglob("*"))
    for bad in (
        lambda: run.put("tiles", 1, KEY, {}, {"x": np.array([None])}),
        lambda: run.put("tiles", 1, KEY, {}, {"x": np.array([1j])}),
        lambda: run.put("tiles", 1, KEY, {"x": float("nan")}),
        lambda: run.put("tiles", 1, KEY, {"x": "x" * (2 << 20)}),
        lambda: run.put("tiles", -1, KEY, {}),
        lambda: run.put("../tiles", 1, KEY, {}),
        lambda: run.get("", 1, KEY),
        lambda: run.put("tiles", 1, KEY, {}, {"x": np.broadcast_to(np.uint8(0), (1 << 31,))}),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # programming errors
            bad()
    for bad in (
        lambda: run.put("tiles", "../../x", KEY, {}),
        lambda: run.put("tiles", 1.5, KEY, {}),
        lambda: run.put("tiles", 1, KEY, {"x": object()}),
    ):
        with pytest.raises(TypeError):
            bad()
    assert sorted(run.folder.rglob("*")) == before


def test_a_block_that_promises_too_much_is_refused_before_it_is_unpacked():
    item = Item("tiles", 1, KEY)
    for shape in ((1 << 40,), (1 << 15, 1 << 15), (-1, 5), (5, 5), (3,)):
        forged = _forge(item, shape)
        with pytest.raises(DamagedBlock):
            decode(*forged)
    np.testing.assert_array_equal(decode(*_forge(item, (4,))).arrays["x"], np.arange(4))


def _forge(item: Item, shape: tuple[int, ...]) -> tuple[Done, bytes]:
    """Return a record with sound checksums that says another shape than the array has."""
    from napari_ditto.data.blocks import pack
    from napari_ditto.data.run_records import _deflate, block_digest

    told = {"item": [item.kind, item.number, item.key], "head": {}, "forms": [["x", "<u4", shape]]}
    block = pack(told, {"x": _deflate(np.arange(4, dtype="<u4"))})
    return Done(item, {}, block_digest(block), len(block)), block


def test_many_records_are_listed_at_once(run):
    done = encode(Item("tiles", 0, KEY), {}, {})[0].to_bytes()
    name = next(iter(_names(run, KEY))).partition("-")[2]
    for shard in range(2):
        folder = run.folder / "tiles" / "done" / str(shard)
        folder.mkdir(exist_ok=True)
        for number in range(shard * 1000, shard * 1000 + 1000):
            (folder / f"{number}-{name}").write_bytes(done)
    (run.folder / "tiles" / "done" / "0" / f"x-{name}").write_bytes(done)
    start = time.perf_counter()
    assert run.finished("tiles", KEY) == set(range(2000))
    seconds = time.perf_counter() - start
    print(f"2,000 records listed in {1000 * seconds:.0f} ms")
    assert seconds < 2


def _names(run: RunFolder, key: str) -> list[str]:
    run.put("tiles", 0, key, {})
    return os.listdir(run.folder / "tiles" / "done" / "0")


def test_failures_are_listed_until_they_are_cleared(run):
    for number, reason in ((12, "out of memory"), (3, "the drive is gone\nsecond line"), (12, "x")):
        run.set_failure(number, f"tile {number}", reason)
    assert [f["number"] for f in run.failures()] == [3, 12]
    assert run.failures()[1] == {"number": 12, "place": "tile 12", "reason": "x"}
    (run.folder / "failures" / "3").write_text("{}")
    (run.folder / "failures" / "other").write_text("{}")
    run.clear_failure(12)
    run.clear_failure(99)
    assert run.failures() == []


# -- disks and other people ----------------------------------------------------------------------


def test_a_disk_that_is_full_says_so_in_one_line(run, monkeypatch):
    def full(self, name, raw):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_ditto.data.run_files.RunFiles.write", full)
    for write in (
        lambda: run.put("tiles", 1, KEY, {}, {"x": labels()}),
        lambda: run.set_failure(1, "", ""),
    ):
        with pytest.raises(StoreError, match="No space left on device") as caught:
            write()
        assert "\n" not in str(caught.value)
    assert run.get("tiles", 1, KEY) is None


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_says_so(run):
    (run.folder / "tmp").chmod(0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        run.put("tiles", 1, KEY, {})


def test_a_target_that_has_gone_is_not_made_anew(run):
    run.target.rename(run.target.with_name("elsewhere"))
    with pytest.raises(StoreError):
        run.put("tiles", 1, KEY, {}, {"x": labels()})
    with pytest.raises(StoreError), run.lock():
        pass
    assert not run.target.exists()
    assert run.finished("tiles", KEY) == set()


@posix
@pytest.mark.parametrize("where", ["tiles", "tiles/done", "tiles/block/0", "tmp", "file"])
def test_links_are_not_followed(run, tmp_path_factory, where):
    outside = tmp_path_factory.mktemp("outside")
    run.put("tiles", 1, KEY, {}, {"x": labels()})
    if where == "file":
        for victim in (run.folder / "tiles").rglob("1-*"):
            victim.rename(outside / victim.name)
            victim.symlink_to(outside / victim.name)
    else:
        (run.folder / where).rename(outside / "moved")
        (run.folder / where).symlink_to(outside / "moved")
    before = sorted(outside.rglob("*"))
    if where in ("tmp", "tiles", "tiles/done"):
        with pytest.raises(StoreError, match="it is a link"):
            run.put("tiles", 1, KEY, {}, {"x": labels(1)})
    if where != "tmp":
        got = None
        try:
            got = run.get("tiles", 1, KEY)
        except StoreError as error:
            assert "it is a link" in str(error)  # noqa: PT017  # either is right
        assert got is None
    assert sorted(outside.rglob("*")) == before


def test_orphans_are_swept_and_the_living_are_left(run):
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    mine = scratch_name()
    host = mine.partition("-")[0]
    dead = f"{host}-{int(process.stdout)}-0123"
    foreign = f"0000abcd-{int(process.stdout)}-0123"
    for name in (mine, dead, foreign):
        (run.folder / "tmp" / name).write_bytes(b"x")
    (run.folder / "tmp" / f"{dead}4").mkdir()
    assert run.sweep() == (2 if os.name == "posix" else 0)
    assert {p.name for p in (run.folder / "tmp").iterdir()} >= {mine, foreign}
    assert run.nbytes > 0


WRITER = """
import sys
from pathlib import Path
import numpy as np
from napari_ditto.data.run_folder import RunFolder

run = RunFolder(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(60):
    run.put("tiles", i % 3, "key", {"n": i % 3}, {"labels": np.full((64, 64), i % 3, np.uint32)})
    found = run.get("tiles", i % 3, "key")
    assert found is not None and (found.arrays["labels"] == i % 3).all(), i
"""


def test_two_processes_write_the_same_records(run):
    both = [_start(WRITER, run.target) for _ in range(2)]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait(60) for process in both] == [0, 0]
    assert run.finished("tiles", "key") == {0, 1, 2}
    assert not list((run.folder / "tmp").iterdir())
    for process in both:
        process.stdin.close()
        process.stdout.close()


def test_many_threads_write_and_read(run):
    def work(i: int) -> bool:
        run.put("pairs", i % 5, KEY, {"n": i % 5}, {"x": labels(i % 5)})
        return np.array_equal(run.get("pairs", i % 5, KEY).arrays["x"], labels(i % 5))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))


def _start(code: str, target: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


# -- the lock ------------------------------------------------------------------------------------

HOLDER = """
import sys
from pathlib import Path
from napari_ditto.data.run_folder import RunFolder

with RunFolder(Path(sys.argv[1])).lock():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_the_lock_is_one_coordinators(run):
    with run.lock():
        with pytest.raises(StoreError, match=f"process {os.getpid()} on") as caught, run.lock():
            pass
        assert "\n" not in str(caught.value)
    with run.lock():
        pass
    with pytest.raises(ZeroDivisionError), run.lock():
        _ = 1 / 0
    with run.lock():
        pass


@posix
def test_a_killed_coordinators_lock_is_taken_over(run):
    for _ in range(2):
        holder = _start(HOLDER, run.target)
        with pytest.raises(StoreError, match=f"process {holder.pid} on"), run.lock():
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with run.lock():
            pass
        holder.stdin.close()
        holder.stdout.close()


def test_a_dead_lock_goes_to_one_of_many(run):
    lock = run.folder / "lock"
    dead = f"{scratch_name().partition('-')[0]}-{_dead_pid()}-1"
    lock.mkdir()
    (lock / dead).write_text("{}")
    os.utime(lock / dead, (0, 0))
    holding, most = [], []

    def coordinate(_: int) -> bool:
        try:
            with run.lock():
                holding.append(1)
                most.append(len(holding))
                time.sleep(0.2)
                holding.pop()
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(coordinate, range(8)))
    assert sum(won) >= 1
    assert max(most) == 1
    assert not lock.exists()


def _dead_pid() -> int:
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(process.stdout)


def test_another_hosts_lock_ends_with_its_signs_of_life(run):
    lock = run.folder / "lock"
    lock.mkdir()
    holder = lock / "0000abcd-1-1"
    holder.write_text("no json")
    with pytest.raises(StoreError, match="0000abcd-1-1"), run.lock():
        pass
    past = time.time() - 2 * run_lock.SILENCE
    os.utime(holder, (past, past))
    with run.lock():
        assert holder.name not in os.listdir(lock)


def test_a_holder_gives_signs_of_life(run, monkeypatch):
    monkeypatch.setattr(run_lock, "REFRESH", 0.01)
    with run.lock():
        (holder,) = (run.folder / "lock").iterdir()
        os.utime(holder, (0, 0))
        deadline = time.monotonic() + 10
        while holder.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert holder.stat().st_mtime > 0


def test_a_lock_that_is_none_is_one_line(run):
    (run.folder / "lock").write_text("x")
    with pytest.raises(StoreError, match="cannot be locked"), run.lock():
        pass
    (run.folder / "lock").unlink()
    (run.folder / "lock").mkdir()
    with run.lock():
        pass


def test_the_digest_of_an_array_is_of_type_shape_and_values():
    array = np.arange(6, dtype="<u4")
    same = [array, array.astype(">u4"), np.stack([array, array], 1)[:, 0]]
    other = [array.reshape(2, 3), array.astype("u8"), array[::-1], array[:5]]
    assert len({digest_of(a) for a in same}) == 1
    assert len({digest_of(a) for a in [array, *other]}) == 5
