"""The dock of models without Qt: get, add, check, measure, use, remove; jobs run in line."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import ThreadingHTTPServer

import pytest

from napari_ditto.errors import ModelError
from napari_ditto.models import online
from napari_ditto.models.manifest import manifest
from napari_ditto.models.registry import available_models
from napari_ditto.models.speed_check import Speed, remember, this_machine
from napari_ditto.models.verification import known_hash
from napari_ditto.models.weights import folder_of, is_installed
from napari_ditto.ui.models import part as parts
from napari_ditto.ui.models.part import ModelsPart
from napari_ditto.ui.session import Session
from tests.models.test_download import Handler
from tests.ui.test_controller import InlineRunner

BASE = "sam:facebook/sam-vit-base"


class User:
    """Answers questions, and notes them."""

    def __init__(self):
        self.agrees, self.asked = True, []

    def confirm(self, question):
        self.asked.append(question)
        return self.agrees


@pytest.fixture
def user():
    return User()


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def part(session, user, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.runner.REPORT_SECONDS", 0.0)

    def choose(field, value):
        assert field == "model"
        session.choose_model(value)

    return ModelsPart(session, InlineRunner(), user, choose, lambda: None)


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.body, server.faults, server.requests = bytes(range(256)) * 16_000, [], []  # 4 MB
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("HF_HUB_CACHE", *online.VARIABLES):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def select(part, name):
    part.choose("models.select", name)
    return part.shown().details


def group(part, name):
    return next(row.group for row in part.shown().rows if row.id == name)


def test_what_works_now_comes_first(part):
    state = part.shown()
    assert [row.id for row in state.rows[:2]] == ["ditto", "classic"]
    assert [row.offline for row in state.rows] == sorted(r.offline for r in state.rows)[::-1]
    assert state.details.id == "ditto"
    assert state.details.use_label == "In use"
    assert not state.details.can_use
    assert not state.details.can_remove
    assert {row.id for row in state.rows} == {entry.id for entry in available_models()}


def test_use_this_one(part, session):
    assert select(part, "classic").can_use
    part.choose("models.use", "classic")
    assert session.model == "classic"
    assert next(row for row in part.shown().rows if row.chosen).id == "classic"
    session.choose_model("ditto")  # in the other dock
    assert next(row for row in part.shown().rows if row.chosen).id == "ditto"


def test_a_download_is_asked_for_followed_and_offered_everywhere(part, user, session, server):
    assert select(part, BASE).get_label == "Download"
    seen = []
    part.changed.connect(lambda: seen.append((part.shown().working, part.shown().fraction)))
    part.choose("models.get", BASE)
    assert "Apache-2.0" in user.asked[0]
    assert "375 MB" in user.asked[0]
    assert any("downloading model.safetensors" in text for text, _ in seen)
    assert any(share for _, share in seen)
    state = part.shown()
    assert not state.working
    assert not state.trouble
    assert "is here" in state.note
    assert group(part, BASE).startswith("Work now")
    assert [c.text for c in session.model_choices if c.key == BASE] == [BASE]
    assert state.details.can_remove
    assert not state.details.get_label


def test_nothing_is_fetched_without_consent(part, user, server):
    user.agrees = False
    part.choose("models.get", BASE)
    assert server.requests == []


def test_cancelled_resumed_and_thrown_away(part, server):
    entry = manifest()[BASE]
    cancel = iter([True, False])

    def once():
        big = part.shown().fraction or 0
        if 0.2 < big < 1 and "model.safetensors" in part.shown().working and next(cancel, False):
            part.choose("models.cancel", "")

    part.changed.connect(once)
    part.choose("models.get", BASE)
    assert "goes on where it stopped" in part.shown().note
    assert not is_installed(entry)
    details = select(part, BASE)
    assert details.get_label == "Go on downloading"
    assert details.can_discard
    assert "of it here" in details.size

    part.choose("models.discard", BASE)
    assert "thrown away" in part.shown().note
    assert not folder_of(entry).exists()
    assert select(part, BASE).get_label == "Download"

    part.choose("models.get", BASE)
    assert is_installed(entry)


def test_a_cancelled_download_goes_on(part, server):
    folder = folder_of(manifest()[BASE])
    part.choose("models.get", BASE)
    whole = folder / "model.safetensors"
    content = whole.read_bytes()
    part.choose("models.remove", BASE)
    folder.mkdir()
    (folder / "model.safetensors.part").write_bytes(content[:1000])
    part.choose("models.get", BASE)
    assert whole.read_bytes() == content


def test_bytes_that_are_not_the_published_ones_are_not_kept(part, server):
    name = next(
        m.id
        for m in manifest().values()
        if m.repo and m.files[m.weights_file].sha256 and not m.gated
    )
    part.choose("models.get", name)
    state = part.shown()
    assert state.trouble
    assert "expected" in state.note
    assert not is_installed(manifest()[name])


def test_a_gated_model_says_what_to_do(part, user):
    details = select(part, "sam3:facebook/sam3")
    assert (details.get_label, details.can_use) == ("", False)
    assert "press Add a folder" in details.badge
    assert "SAM License" in details.licence
    part.choose("models.get", "sam3:facebook/sam3")
    assert "licence has to be accepted" in part.shown().note
    assert user.asked == []


def test_never_go_online(part, user, server):
    part.choose("models.never_online", True)
    assert part.shown().never_online
    part.choose("models.get", BASE)
    assert "Untick 'Never go online'" in part.shown().note
    assert (user.asked, server.requests) == ([], [])
    part.choose("models.never_online", False)
    assert not part.shown().never_online


def test_the_environment_has_the_last_word(part, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_OFFLINE", "1")
    assert ModelsPart.shown(part).forced_offline
    part.choose("models.get", BASE)
    assert "Unset NAPARI_DITTO_OFFLINE" in part.shown().note


def test_removing_deletes_what_we_fetched_and_nothing_else(part, user, session, server):
    part.choose("models.get", BASE)
    folder = folder_of(manifest()[BASE])
    (folder / "notes.txt").write_text("mine")
    session.choose_model(BASE)
    user.agrees = False
    part.choose("models.remove", BASE)
    assert is_installed(manifest()[BASE])
    user.agrees = True
    part.choose("models.remove", BASE)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert session.model == "ditto"
    assert "freed" in part.shown().note


def test_weights_in_the_cache_of_others_are_used_and_not_removed(part, tmp_path, monkeypatch):
    entry = manifest()[BASE]
    home = tmp_path / "hub"
    snapshot = home / "models--facebook--sam-vit-base" / "snapshots" / entry.revision
    snapshot.mkdir(parents=True)
    for name in entry.files:
        (snapshot / name).write_text("x")
    monkeypatch.setenv("HF_HUB_CACHE", str(home))
    details = select(part, BASE)
    assert details.can_use
    assert not details.can_remove
    assert "cache of Hugging Face" in details.size


def test_what_cannot_be_added_is_said(part, tmp_path):
    part.choose("models.add", str(tmp_path))
    assert part.shown().trouble
    assert "no config.json" in part.shown().note


def test_a_checked_hash_is_told_in_full(part):
    part.choose("models.verify", "ditto")
    details = select(part, "ditto")
    assert known_hash("ditto").sha256 in details.hash
    assert "equals what was packed" in details.hash


def test_a_measured_speed_is_shown_and_remembered(part, session, user, monkeypatch):
    sha256 = known_hash("ditto").sha256
    speed = Speed("ditto", sha256, "cpu", this_machine(), 512, 129.4, 1234.5, 0.1, 130_000_000)

    def measured(name, device):
        assert (name, device) == ("ditto", "auto")
        yield from ()
        remember(speed)
        return speed

    monkeypatch.setattr(parts, "speed_steps", measured)
    assert part.shown().details.speed == "not measured yet"
    part.choose("models.measure", "ditto")
    told = part.shown().details.speed
    assert "129 ms to look at a new piece of the image (512 px)" in told
    assert "then 1.2 s for each click; 130 MB of memory" in told
    assert part.shown().rows[0].figure == "129 ms"
    other = ModelsPart(Session(), InlineRunner(), user, lambda *_: None, lambda: None)
    assert other.shown().details.speed == told
    remember(replace(speed, weights_sha256="f" * 64))
    assert other.shown().details.speed == told
    select(other, "ditto")
    assert other.shown().details.speed == "not measured yet"


def test_trouble_in_the_background_is_one_line(part, monkeypatch):
    def fails(name, device):
        yield from ()
        raise ModelError("out of memory", todo="Choose another")

    monkeypatch.setattr(parts, "speed_steps", fails)
    part.choose("models.measure", "ditto")
    state = part.shown()
    assert (state.trouble, state.working) == (True, "")
    assert state.note == "out of memory. Choose another"
    part.choose("models.select", "classic")
    assert part.shown().note == state.note
    part.choose("models.use", "classic")
    assert part.shown().note == ""


@pytest.mark.gui
def test_the_dock_draws_and_tells(qtbot, user, session):
    from napari_ditto.ui.widgets.models_dock import ModelsWidget

    part = ModelsPart(
        session, InlineRunner(), user, lambda f, v: session.choose_model(v), lambda: None
    )
    dock = ModelsWidget()
    qtbot.addWidget(dock)
    dock.chose.connect(part.choose)
    part.changed.connect(lambda: dock.show_part("models", part.shown()))
    dock.show_part("models", part.shown())
    dock.draw()
    assert dock.panel.title.text() == "Ditto: the bundled network"
    assert dock.list.topLevelItemCount() == 3
    item = dock.list.topLevelItem(0).child(1)
    dock.list.setCurrentItem(item)
    dock.draw()
    assert dock.panel.title.text().startswith("Classic")
    dock.panel.use.click()
    dock.draw()
    assert session.model == "classic"
    assert dock.panel.use.text() == "In use"
    dock.panel.bibtex.click()
    from qtpy.QtGui import QGuiApplication

    assert QGuiApplication.clipboard().text().startswith("@software{napari_ditto")
    dock.never_online.click()
    dock.draw()
    assert online.never_goes_online()
    dock.chose.emit("models.get", BASE)
    dock.draw()
    assert "Untick" in dock.note.text()
