"""No key of napari's own is taken, and bindings can be taken back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.layers.base import Layer
from napari.utils.key_bindings import KeymapHandler
from napari.utils.shortcuts import default_shortcuts

from napari_ditto.ui.keymap import ACTIONS, KEYS, bind, button_text
from napari_ditto.ui.keys.spelling import canonical, native

OURS = [key for action in ACTIONS.values() for key in action.keys]

# Keys that napari binds on all layers of a kind are left to it there: Ctrl+Z on Labels, which
# means undo there as well, and C on images.
SPARED = {
    Labels: {canonical("Ctrl+Z"), canonical("Ctrl+Shift+Z")},
    Image: {canonical("C")},
}


def test_no_default_shortcut_of_napari_is_taken():
    taken = {str(binding) for bindings in default_shortcuts.values() for binding in bindings}
    assert len(taken) > 50
    assert taken & {canonical(key) for key in OURS} == SPARED[Image]
    assert [str(b) for b in default_shortcuts["napari:auto_contrast_once"]] == ["C"]


def test_no_key_bound_on_a_class_of_napari_is_taken():
    for owner in (ViewerModel, Layer, Image, Points, Shapes, Labels):
        taken = {str(key) for key in owner.class_keymap}
        assert not (taken - SPARED.get(owner, set())) & {canonical(key) for key in OURS}, owner


def test_no_key_means_two_things():
    assert len(set(OURS)) == len(OURS)


def test_button_texts_show_the_first_key(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert button_text("accept") == "Accept (Q)"
    assert button_text("undo") == "Undo (Ctrl+Z)"
    assert button_text("new_points") == "Points"
    monkeypatch.setattr("sys.platform", "darwin")
    assert button_text("undo") == "Undo (Cmd+Z)"
    assert native("Ctrl+Shift+Z") == "Meta+Shift+Z"


@pytest.mark.parametrize("layer", [Points(np.zeros((1, 2))), Shapes(np.zeros((1, 4, 2)))])
def test_pressed_keys_reach_the_handlers_until_unbound(layer):
    pressed = []
    unbind = bind(layer, {name: lambda name=name: pressed.append(name) for name in ACTIONS})
    handler = KeymapHandler()
    handler.keymap_providers = [layer]
    for key in OURS:
        assert handler.press_key(native(key))
    assert pressed == [name for name, action in ACTIONS.items() for _ in action.keys]
    unbind()
    assert not layer.keymap
    assert not handler.press_key("Q")


def test_keys_that_the_user_bound_are_left_alone():
    layer, pressed = Points(np.zeros((1, 2))), []
    layer.bind_key("Q", lambda _: pressed.append("user"))
    unbind = bind(layer, {"accept": lambda: pressed.append("ditto")})
    handler = KeymapHandler()
    handler.keymap_providers = [layer]
    handler.press_key("Q")
    unbind()
    handler.press_key("Q")
    assert pressed == ["user", "user"]


@pytest.mark.parametrize("layer", [Labels(np.zeros((4, 4), dtype=int)), Image(np.zeros((4, 4)))])
def test_keys_of_a_kind_of_layer_stay_naparis(layer):
    unbind = bind(layer, {name: lambda: None for name in ACTIONS})
    bound = {str(key) for key in layer.keymap}
    assert {canonical(key) for key in OURS} - {str(k) for k in type(layer).class_keymap} == bound
    unbind()


def test_two_may_want_keys_on_one_layer():
    layer, pressed = Points(np.zeros((1, 2))), []
    first = bind(layer, {"accept": lambda: pressed.append("first")})
    second = bind(layer, {name: lambda name=name: pressed.append(name) for name in ACTIONS})
    handler = KeymapHandler()
    handler.keymap_providers = [layer]
    handler.press_key("Q")
    first()
    handler.press_key("Q")
    second()
    assert not handler.press_key("Q")
    assert pressed == ["first", "accept"]


@pytest.fixture
def default_keys():
    yield
    KEYS.choose({}, {})


def test_other_keys_work_at_once_and_are_shown(default_keys):
    layer, pressed = Points(np.zeros((1, 2))), []
    unbind = bind(layer, {"accept": lambda: pressed.append("accept")})
    handler = KeymapHandler()
    handler.keymap_providers = [layer]
    assert KEYS.choose({"accept": "F6, Shift+Y"}, {}) == ()
    assert not handler.press_key("Q")
    assert handler.press_key("F6")
    assert handler.press_key("Shift+Y")
    assert button_text("accept") == "Accept (F6)"
    unbind()
    assert pressed == ["accept"] * 2
    assert not layer.keymap


@pytest.mark.gui
def test_no_key_of_the_open_window_is_taken(make_napari_viewer_proxy):
    from napari._app_model import get_app_model  # the registry of menus has no public door

    viewer = make_napari_viewer_proxy()
    viewer.add_points()
    bound = {str(entry.keybinding) for entry in get_app_model().keybindings}
    assert bound
    assert not bound & {canonical(key) for key in OURS}
