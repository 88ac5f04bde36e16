"""Menu and palette commands act on the current viewer and open the dock when it is needed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.ui import commands
from napari_ditto.ui.keymap import ACTIONS

pytestmark = pytest.mark.gui


@pytest.fixture
def opened(monkeypatch):
    """Replace opening by a record of what the dock's controller was told."""
    told = []

    class Dock:
        class controller:  # noqa: N801
            act = staticmethod(told.append)

    for name in ("show_dock", "show_examples", "show_objects"):
        monkeypatch.setattr(commands, name, lambda viewer: Dock)
    monkeypatch.setattr("napari.current_viewer", lambda: object())
    return told


@pytest.mark.parametrize("action", [n for n, a in ACTIONS.items() if a.topic != "Docks"])
def test_every_action_has_a_command(opened, action):
    getattr(commands, action)()
    assert opened == [action]


def test_without_a_viewer_nothing_happens(monkeypatch):
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    commands.accept()


def test_command_opens_the_dock_and_acts(make_napari_viewer_proxy, npe2pm, qtbot, monkeypatch):
    from npe2 import PluginManifest

    npe2pm.register(PluginManifest.from_distribution("napari-ditto"))
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros((20, 20)), name="image")
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    commands.new_points()
    commands.new_boxes()
    names = {layer.name for layer in viewer.layers}
    assert names == {"image", "Ditto points [image]", "Ditto boxes [image]", "Ditto preview"}
    docks = list(viewer.window.dock_widgets.values())
    assert len(docks) == 1
    assert docks[0].controller.session.images
