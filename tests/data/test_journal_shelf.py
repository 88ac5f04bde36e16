"""The folder of journals: who wrote what, who may take it, and what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import journal_shelf
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_replay import restore
from napari_ditto.data.journal_shelf import Shelf, default_folder, finish, put_aside
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import SourceError, StoreError

posix = pytest.mark.skipif(os.name != "posix", reason="processes are told apart by their locks")
AT = PlaneAddress()

WRITER = """
import os, sys
import numpy as np
from pathlib import Path
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_shelf import Shelf
from napari_ditto.data.labels import ArrayLabels

labels = ArrayLabels(np.zeros((20, 30), np.uint32), ("y", "x"))
Shelf(Path(sys.argv[1])).record(labels, ImageNote("cells"))
for label in (1, 2, 3):
    labels.write(PlaneAddress(), Box(label, 0, label + 1, 9), np.ones((1, 9), bool), label)
print("written", flush=True)
sys.stdin.readline()
os._exit(1) if sys.argv[2] == "crash" else None
"""


class Writer:
    """Another process that writes a journal, and then crashes or ends."""

    def __init__(self, folder: Path, end: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), end],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout.readline().strip() == b"written"

    def end(self) -> None:
        self.process.communicate(b"\n")


def labels() -> ArrayLabels:
    return ArrayLabels(np.zeros((20, 30), np.uint32), ("y", "x"))


def put(store: ArrayLabels, label: int) -> None:
    store.write(AT, Box(label, 0, label + 1, 9), np.ones((1, 9), bool), label)


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "journals")


@pytest.fixture
def crashed(shelf):
    """Return the journal that a process left when it died."""
    writer = Writer(shelf.folder, "crash")
    (entry,) = shelf.entries()
    assert entry.state == "live"
    writer.end()
    (entry,) = shelf.entries()
    assert entry.state == "crashed"
    return entry.path


@posix
def test_a_journal_is_offered_when_its_process_is_dead_and_not_before(shelf, crashed):
    store, story = restore(crashed)
    assert story.edits == 3
    assert set(np.unique(store.data)) == {0, 1, 2, 3}


@posix
def test_labels_that_were_nowhere_else_are_kept_when_the_program_ends(shelf):
    Writer(shelf.folder, "end").end()
    (entry,) = shelf.entries()
    assert entry.state == "closed"
    assert restore(entry.path)[1].edits == 3


@posix
def test_what_is_restored_goes_on_in_the_same_journal(shelf, crashed):
    resumed = shelf.resume(crashed)
    assert [entry.state for entry in shelf.entries()] == ["live"]
    put(resumed.store, 4)
    assert resumed.store.next_label() == 5
    path = resumed.journal.path
    finish(resumed.journal)
    again, story = restore(path.with_suffix(".closed"))
    assert np.array_equal(again.data, resumed.store.data)
    assert (story.edits, story.lost) == (4, 0)


@posix
def test_a_torn_end_is_cut_off_before_going_on(shelf, crashed):
    with crashed.open("ab") as file:
        file.write(b"\xd1TTO\x10")
    resumed = shelf.resume(crashed)
    put(resumed.store, 4)
    _, story = restore(resumed.journal.path)
    assert (story.edits, story.lost) == (4, 0)


@posix
def test_only_one_process_gets_a_journal(shelf, crashed):
    shelf.resume(crashed)
    with pytest.raises(StoreError, match="taken over"):
        shelf.resume(crashed)


def test_a_journal_that_cannot_be_restored_stays(shelf):
    shelf.folder.mkdir()
    path = shelf.folder / "0-0-0.closed"
    path.write_bytes(b"nothing")
    with pytest.raises(SourceError):
        shelf.resume(path)
    assert [entry.path for entry in shelf.entries()] == [path]


@posix
def test_a_process_number_that_is_used_again_hides_nothing(shelf, monkeypatch):
    """A journal of a dead process whose number another one has by now is offered."""
    shelf.folder.mkdir()
    name = journal_shelf.scratch_name()
    path = shelf.folder / f"{name}.journal"
    path.write_bytes(b"")
    assert shelf.entries()[0].state == "live"
    os.utime(path, (0, time.time() - journal_shelf.SETTLE_SECONDS - 1))
    assert shelf.entries()[0].state == "crashed"


def test_a_journal_of_another_host_waits_a_day(shelf):
    shelf.folder.mkdir()
    path = shelf.folder / "otherhost-1-abc.journal"
    path.write_bytes(b"")
    assert shelf.entries()[0].state == ("live" if os.name == "posix" else "crashed")
    os.utime(path, (0, time.time() - 90_000))
    assert shelf.entries()[0].state == "crashed"


def test_labels_on_disk_need_no_journal_in_the_end(shelf, tmp_path):
    store = PyramidLabels.create(tmp_path / "l.zarr", (20, 30), ("y", "x"))
    recorder = shelf.record(store, ImageNote())
    put(store, 1)
    assert len(shelf.entries()) == 1
    finish(recorder.journal)
    assert shelf.entries() == ()


def test_a_temporary_pyramid_is_kept_like_labels_in_memory(shelf):
    store = PyramidLabels.create(None, (20, 30), ("y", "x"))
    recorder = shelf.record(store, ImageNote())
    put(store, 1)
    finish(recorder.journal)
    (entry,) = shelf.entries()
    assert np.array_equal(restore(entry.path)[0].data, store.data[:])


def test_labels_have_one_journal_and_none_before_the_first_edit(shelf):
    store = labels()
    recorder = shelf.record(store, ImageNote())
    assert shelf.record(store, ImageNote()) is recorder
    assert shelf.entries() == ()
    assert shelf.record(object(), ImageNote()) is None


def test_what_was_put_aside_is_kept_for_a_while(shelf):
    store = labels()
    recorder = shelf.record(store, ImageNote())
    put(store, 1)
    finish(recorder.journal)
    put_aside(shelf.entries()[0].path)
    (entry,) = shelf.entries()
    assert entry.state == "aside"
    shelf.prune()
    assert shelf.find(entry.name) == entry.path
    os.utime(entry.path, (0, time.time() - 86_400 * (journal_shelf.KEEP_DAYS + 1)))
    shelf.prune()
    assert shelf.entries() == ()


def test_the_past_takes_no_more_room_than_it_may(shelf, monkeypatch):
    shelf.folder.mkdir()
    for number in range(5):
        path = shelf.folder / f"h-1-{number}.closed"
        path.write_bytes(b"0" * 100)
        os.utime(path, (0, time.time() - number))
    monkeypatch.setattr(journal_shelf, "MAX_BYTES", 250)
    shelf.prune()
    assert {entry.path.stem for entry in shelf.entries()} == {"h-1-0", "h-1-1"}


def test_the_folder_is_the_users_or_the_one_asked_for(monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_JOURNAL", "/somewhere")
    assert default_folder() == Path("/somewhere")
    monkeypatch.delenv("NAPARI_DITTO_JOURNAL")
    assert default_folder().parts[-2:] == ("napari-ditto", "journals")


def test_an_unknown_journal_is_told(shelf):
    with pytest.raises(SourceError, match="no such journal"):
        shelf.find("nothing")
