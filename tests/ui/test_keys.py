"""The table of keys and what a user may change in it; the sheet; the page and the settings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

import napari_ditto
from napari_ditto.ui.keymap import ACTIONS, KEYS
from napari_ditto.ui.keys import store
from napari_ditto.ui.keys.napari_keys import napari_keys
from napari_ditto.ui.keys.part import KeysPart, default_text
from napari_ditto.ui.keys.spelling import canonical, problem
from napari_ditto.ui.keys.state import topics
from napari_ditto.ui.keys.table import KeyTable
from napari_ditto.ui.session import Session

ROOT = Path(__file__).parents[2]
MANIFEST = Path(napari_ditto.__file__).with_name("napari.yaml")


@pytest.fixture
def table():
    return KeyTable({"accept": ("Q",), "next": ("N",), "undo": ("Ctrl+Z", "U"), "quiet": ()})


def test_defaults_at_first(table):
    assert table["undo"] == ("Ctrl+Z", "U")
    assert table["quiet"] == ()


def test_a_choice_takes_the_place_of_the_default_until_it_goes(table):
    assert table.choose({"accept": "F5, Shift+Q", "undo": ""}, {}) == ()
    assert (table["accept"], table["undo"]) == (("F5", "Shift+Q"), ())
    table.choose({}, {})
    assert table["accept"] == ("Q",)


def test_two_actions_may_swap(table):
    assert table.choose({"accept": "N", "next": "Q"}, {}) == ()
    assert (table["accept"], table["next"]) == (("N",), ("Q",))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"accept": "N"}, "key 'N' for accept is not used: it is for next"),
        ({"accept": "n"}, "key 'n' for accept is not used: it is for next"),
        ({"accept": "qq"}, "'qq' is no key"),
        ({"accept": "Hyper+Q"}, "'Hyper+Q' is no key"),
        ({"accept": "Ctrl+K Ctrl+S"}, "is no key"),
        ({"accept": "Shift"}, "'Shift' is no key"),
        ({"accept": "Shift+7"}, "Shift works with letters only"),
        ({"accept": "Space"}, "napari uses it to hold for pan zoom"),
        ({"dance": "F5"}, "there is no such action"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(table, wanted, why):
    (note,) = table.choose(wanted, {"Space": "hold for pan zoom"})
    assert why in note
    assert "\n" not in note
    assert {name: table[name] for name in table.defaults} == table.defaults


def test_of_two_that_want_the_same_key_the_first_gets_it(table):
    (note,) = table.choose({"accept": "F5", "quiet": "F5"}, {})
    assert "for quiet is not used: it is for accept" in note
    assert (table["accept"], table["quiet"]) == (("F5",), ())


def test_a_refusal_can_make_room_for_nobody_else(table):
    """`next` wants Q, which is free only if `accept` gets its own wish; it does not."""
    notes = table.choose({"accept": "U", "next": "Q"}, {})
    assert len(notes) == 2
    assert {name: table[name] for name in table.defaults} == table.defaults


def test_it_tells_of_changes_alone(table):
    told = []
    table.changed.connect(lambda: told.append(1))
    table.choose({"accept": "F5"}, {})
    table.choose({"accept": "F5"}, {})
    assert len(told) == 1


def test_naparis_own_keys_are_known_as_the_user_has_set_them(monkeypatch):
    taken = napari_keys()
    for key in ("Space", "Ctrl+R", "M", "Shift+L", "V"):
        assert problem(key, taken).startswith("napari uses it to ")
    assert problem("F6", taken) == ""
    ViewerModel.class_keymap["F6"] = lambda viewer: None
    try:
        assert problem("F6", napari_keys())
    finally:
        del ViewerModel.class_keymap["F6"]


# --- kept, and brought to the layers ------------------------------------------------------------


class Stage:
    """A viewer's share, as a record."""

    def __init__(self):
        self.layers, self.sheet = (), None

    def taken(self):
        return {"Space": "move the image"}

    def work_on(self, layers):
        self.layers = layers

    def show_sheet(self, shown):
        self.sheet = shown

    def hide_sheet(self):
        self.sheet = None

    @property
    def has_sheet(self):
        return self.sheet is not None

    def close(self):
        self.layers = ()


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture(params=["napari", "file"])
def backend(request, npe2pm):
    """Both places where settings can live."""
    if request.param == "napari":
        npe2pm.register(PluginManifest.from_file(MANIFEST))


@pytest.fixture
def part(backend, stage):
    session = Session(images=("im",), target="lab", prompt_layers=("pts",))
    part = KeysPart(session, stage)
    part.session = session
    part.refresh()
    yield part
    part.close()
    KEYS.choose({}, {})


def test_keys_work_on_all_layers_in_use(part, stage):
    assert set(stage.layers) >= {"im", "lab", "pts"}
    part.session.target = "other"
    assert "other" in stage.layers


def test_a_choice_is_kept_and_shown_at_once(part, stage):
    part.actions["show_keys"]()
    told = []
    part.changed.connect(lambda: told.append(1))
    part.choose("keys.accept", "F6")
    assert told
    assert KEYS["accept"] == ("F6",)
    lines = {line.label: line.keys for topic in stage.sheet for line in topic.lines}
    assert lines["Accept"] == ("F6",)
    assert store.load()["accept"] == "F6"
    part.actions["show_keys"]()
    assert not stage.has_sheet


def test_a_refused_choice_is_told_and_the_default_stays(part):
    part.choose("keys.accept", "Space")
    assert (
        part.session.error == "key 'Space' for accept is not used: napari uses it to move the image"
    )
    assert KEYS["accept"] == ("Q",)


def test_choices_of_an_earlier_session_count_from_the_start(backend, stage):
    store.save({"accept": "F7", "undo": "F7"})
    session = Session(hint="first")
    part = KeysPart(session, stage)
    assert KEYS["accept"] == ("F7",)
    assert session.hint == "first. key 'F7' for undo is not used: it is for accept"
    part.close()
    KEYS.choose({}, {})


def test_a_change_in_preferences_counts_at_once(npe2pm, stage):
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    part = KeysPart(Session(), stage)
    from napari.settings import get_plugin_settings

    get_plugin_settings("napari-ditto").keys.accept = "F8"
    assert KEYS["accept"] == ("F8",)
    part.close()
    KEYS.choose({}, {})


# --- the page and the manifest say the same -----------------------------------------------------


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_keys", ROOT / "docs" / "make_keys.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_lists_all_keys(maker):
    text = maker.PAGE.read_text(encoding="utf-8")
    assert maker.page(text) == text, "run docs/make_keys.py"


def test_the_manifest_declares_a_setting_for_each_action(maker):
    text = maker.MANIFEST.read_text(encoding="utf-8")
    assert maker.manifest(text) == text, "run docs/make_keys.py"
    declared = PluginManifest.from_file(MANIFEST).contributions.configurations[store.SECTION]
    assert {name: p.default for name, p in declared.properties.items()} == {
        name: default_text(name) for name, action in ACTIONS.items() if action.topic != "Docks"
    }


def test_every_topic_has_a_line_and_every_key_is_listed():
    listed = {canonical(key) for topic in topics() for line in topic.lines for key in line.keys}
    assert all(topic.lines for topic in topics())
    assert {canonical(key) for action in ACTIONS.values() for key in action.keys} <= listed
