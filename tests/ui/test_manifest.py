"""The manifest: valid, complete, and everything in it can be imported and reached."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from napari._app_model.constants import MenuId  # the list of open menus has no public door
from npe2 import PluginManifest

import napari_ditto
from napari_ditto.ui.keymap import ACTIONS

PACKAGED = Path(napari_ditto.__file__).with_name("napari.yaml")
TOP = Path(__file__).parents[2] / "napari.yaml"


@pytest.fixture
def manifest():
    return PluginManifest.from_file(PACKAGED)


def of_files(manifest):
    """Return the commands that read and write files."""
    given = manifest.contributions
    return {entry.command for entry in (*(given.readers or ()), *(given.writers or ()))}


def test_the_top_level_file_is_the_packaged_one():
    if not TOP.is_symlink() and len(TOP.read_text().splitlines()) == 1:
        pytest.skip("a checkout without symbolic links")
    assert TOP.read_bytes() == PACKAGED.read_bytes()


def test_every_name_can_be_imported(manifest):
    pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding", exc_type=ImportError)
    manifest.validate_imports()


def test_it_is_found_where_it_is_installed():
    assert PluginManifest.from_distribution("napari-ditto").display_name == "Ditto"


def test_every_action_is_a_command_and_the_other_way_round(manifest):
    ids = {command.id for command in manifest.contributions.commands}
    samples = {sample.command for sample in manifest.contributions.sample_data}
    others = samples | of_files(manifest)
    assert others < ids
    assert ids - others == {f"napari-ditto.{name}" for name in ACTIONS}


def test_menus_are_open_to_plugins_or_our_own(manifest):
    ours = {submenu.id for submenu in manifest.contributions.submenus}
    open_to_plugins = {str(menu) for menu in MenuId.contributables()}
    assert set(manifest.contributions.menus) <= ours | open_to_plugins


def test_commands_need_nothing_that_napari_does_not_give(manifest):
    """napari fills parameters in by their type, never by their name."""
    widgets = {widget.command for widget in manifest.contributions.widgets}
    for command in manifest.contributions.commands:
        if command.id in widgets | of_files(manifest):
            continue
        from npe2.manifest.utils import import_python_name

        signature = inspect.signature(import_python_name(command.python_name))
        for parameter in signature.parameters.values():
            assert parameter.default is not parameter.empty or "iewer" in str(parameter.annotation)


@pytest.fixture
def viewer(npe2pm, manifest, make_napari_viewer_proxy, plugin_settings):
    npe2pm.register(manifest)
    return make_napari_viewer_proxy()


@pytest.mark.gui
def test_the_segment_menu_holds_the_dock_and_every_action(viewer):
    from napari._app_model import get_app_model

    menus = get_app_model().menus
    segment = {
        getattr(item, "submenu", None) or item.command.id: item
        for item in menus.get_menu("napari/layers/segment")
    }
    assert "napari-ditto-segment" in segment
    listed = {item.command.id for item in menus.get_menu("napari-ditto-segment")}
    docks = {f"napari-ditto.{name}" for name, a in ACTIONS.items() if a.topic == "Docks"}
    assert docks <= set(segment)
    assert listed == {f"napari-ditto.{name}" for name in ACTIONS} - docks


@pytest.mark.gui
def test_every_command_is_in_the_palette(viewer, manifest):
    from napari._app_model import get_app_model

    known = {command_id for command_id, _ in get_app_model().commands}
    samples = {sample.command for sample in manifest.contributions.sample_data}
    assert {command.id for command in manifest.contributions.commands} - samples <= known


@pytest.mark.gui
@pytest.mark.parametrize("key", ["coins", "tissue", "stack", "huge"])
def test_samples_open_from_the_menu(viewer, key):
    layers = viewer.open_sample("napari-ditto", key)
    assert layers[0] in viewer.layers
    assert viewer.layers[0].visible
    assert all(not layer.visible for layer in viewer.layers if "truth" in layer.name)


@pytest.mark.gui
def test_one_click_shows_both_docks_ready_to_run(viewer, qtbot, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    monkeypatch.setattr("napari_ditto.ui.controller.Controller.warm_up", lambda self: None)
    viewer.open_sample("napari-ditto", "one_coin")
    docks = {name: dock for name, dock in viewer.window.dock_widgets.items() if "Ditto" in name}
    assert len(docks) == 2
    controllers = {dock.controller for dock in docks.values()}
    assert len(controllers) == 1
    (controller,) = controllers
    qtbot.waitUntil(lambda: controller.examples.shown.buttons["like"].enabled, timeout=5000)
    controller.act("add_example")
    assert controller.examples.state.rows[0].objects == 1
    assert controller.session.error == ""
