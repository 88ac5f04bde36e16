"""What an earlier session has left: what is offered, how often, and what the answers do."""

from __future__ import annotations

import os
import shutil
import time

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.data.blocks import DamagedBlock
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_replay import read_journal
from napari_ditto.data.journal_shelf import Shelf, finish
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.scratch import scratch_name
from napari_ditto.data.source import open_source
from napari_ditto.ui.journal_prompts import KeptPrompts, decode_prompts
from napari_ditto.ui.journals import Journals
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.restoring import OPEN_THE_IMAGE, Restoring, find_offers
from napari_ditto.ui.session import Session
from napari_ditto.ui.workshop import Workshop

IMAGE = ImageNote("cells", shape=(20, 30))
SAID = KeptPrompts(
    np.array([[3.0, 4.0]]), (True,), (np.array([[1.0, 1], [1, 9], [9, 9], [9, 1]]),),
    ("rectangle",), (2.0,), (False,),
)  # fmt: skip


class Scene:
    """Remembers what is shown."""

    def __init__(self) -> None:
        self.image, self.labels, self.said = "im", [], []

    def target_choices(self):
        return ()

    def prompt_state(self, layers):
        return {}

    def watch(self, layers):
        pass

    def add_points(self, images):
        return "points"

    def add_boxes(self, images):
        return "boxes"

    def find_image(self, note):
        return self.image

    def add_labels(self, store, note, name):
        self.labels.append(store)
        return "labels"

    def put_prompts(self, layer, prompts):
        self.said.append((layer, prompts))

    def prompts(self, layers, images):
        return IMAGE, KeptPrompts()


class Desk:
    """Runs jobs at once."""

    def __init__(self) -> None:
        self.session, self.scene, self.error = Session(), Scene(), None

    def run(self, name, steps, on_done, *_, **__):
        on_done(drain(steps()))

    def fail(self, error):
        self.error = error


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "journals")


@pytest.fixture
def desk():
    return Desk()


def open_dock(desk, shelf) -> Restoring:
    restoring = Restoring(
        desk, Prompting(desk), lambda: None, journals=Journals(shelf), layers=desk.scene
    )
    restoring.look()
    return restoring


def labels() -> ArrayLabels:
    return ArrayLabels(np.zeros((20, 30), np.uint32), ("y", "x"))


def leave(shelf, *, crashed=True, prompts=None, edits=2) -> ArrayLabels:
    """Leave journals as a process does that crashes, or ends in order."""
    store, journals = labels(), Journals(shelf)
    journals.record(store, IMAGE, "mine")
    for label in range(1, edits + 1):
        box = Box(label, 0, label + 1, 9)
        store.write(PlaneAddress(), box, np.ones((1, 9), bool), label)
    if prompts is not None:
        journals.note_prompts(IMAGE, prompts)
        journals.settle()
    host = scratch_name().partition("-")[0]
    if not crashed:
        finish(store.recorder.journal)
        return store
    for entry in shelf.entries():
        if entry.state == "live":
            name = entry.path.name.split("-")[-1]
            shutil.copy(entry.path, entry.path.with_name(f"{host}-999999999-{name}"))
    return store


posix = pytest.mark.skipif(os.name != "posix", reason="processes are told apart by their locks")


@posix
def test_a_crash_is_offered_until_it_is_answered(desk, shelf):
    store = leave(shelf, prompts=SAID)
    restoring = open_dock(desk, shelf)
    assert desk.session.unsaved.startswith(
        "napari ended unexpectedly: 2 edits and 2 prompts on 'cells', "
    )
    restoring.answer("later")
    assert not desk.session.unsaved
    again = open_dock(desk, shelf)
    assert desk.session.unsaved
    again.answer("restore")
    assert np.array_equal(desk.scene.labels[0].data, store.data)
    assert [layer for layer, _ in desk.scene.said] == ["points", "boxes"]
    assert np.array_equal(desk.scene.said[0][1].points, SAID.points)
    assert desk.session.target == "labels"
    assert not drain(find_offers(shelf))


@posix
def test_discard_offers_no_more_but_keeps_for_a_while(desk, shelf):
    leave(shelf)
    open_dock(desk, shelf).answer("discard")
    assert not drain(find_offers(shelf))
    assert "aside" in [entry.state for entry in shelf.entries()]


def test_a_session_that_ended_in_order_is_offered_once(desk, shelf):
    store = leave(shelf, crashed=False)
    restoring = open_dock(desk, shelf)
    assert desk.session.unsaved.startswith("From your last session: 2 edits on 'cells'")
    assert not drain(find_offers(shelf))
    restoring.answer("restore")
    assert np.array_equal(desk.scene.labels[0].data, store.data)
    assert [entry.state for entry in shelf.entries()] == ["live"]


@posix
def test_prompts_alone_are_offered_and_wait_for_their_image(desk, shelf):
    leave(shelf, prompts=SAID, edits=0)
    desk.scene.image = ""
    restoring = open_dock(desk, shelf)
    assert "2 prompts on 'cells'" in desk.session.unsaved
    restoring.answer("restore")
    assert desk.session.hint == OPEN_THE_IMAGE.format("cells")
    assert not desk.scene.said


@posix
def test_prompts_that_were_cleared_are_not_offered(shelf):
    journals = Journals(shelf)
    journals.note_prompts(IMAGE, SAID)
    journals.note_prompts(IMAGE, KeptPrompts())
    journals.settle()
    (entry,) = shelf.entries()
    entry.path.rename(entry.path.with_name("other-999999999-1.journal"))
    os.utime(shelf.entries()[0].path, (0, time.time() - 90_000))
    assert not drain(find_offers(shelf))


def test_what_is_no_journal_is_put_aside(shelf):
    shelf.folder.mkdir()
    (shelf.folder / "h-1-1.closed").write_bytes(b"nothing")
    assert not drain(find_offers(shelf))
    assert [entry.state for entry in shelf.entries()] == ["aside"]


def test_prompts_go_through_a_record():
    facts, arrays = SAID.encode()
    found = decode_prompts(facts, arrays, 2)
    assert (found.signs, found.kinds, found.widths, found.shape_signs) == (
        SAID.signs, SAID.kinds, SAID.widths, SAID.shape_signs,
    )  # fmt: skip
    assert np.array_equal(found.shapes[0], SAID.shapes[0])
    assert found.count == 2


@pytest.mark.parametrize(
    "change",
    [
        {"signs": [True] * 3}, {"kinds": ["blob"]}, {"sizes": [99]}, {"sizes": [-1]},
        {"widths": []}, {"signs": 3}, {"kinds": [[]]}, {"widths": ["x"]},
    ],
)  # fmt: skip
def test_hostile_prompts_are_refused(change):
    facts, arrays = SAID.encode()
    with pytest.raises(DamagedBlock):
        decode_prompts({**facts, **change}, arrays, 2)


def test_labels_that_a_job_makes_have_a_journal_before_the_first_write(shelf):
    journals, workshop = Journals(shelf), Workshop()
    workshop.record = journals.record_new
    source = open_source(np.zeros((20, 30), np.uint8), name="other")
    journals.describe(source, IMAGE)
    store = drain(workshop.new_labels(source))
    store.write(PlaneAddress(), Box(0, 0, 2, 2), np.ones((2, 2), bool), 1)
    assert read_journal(shelf.entries()[0].path).head.image == IMAGE
