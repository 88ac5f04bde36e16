"""Encoding ahead while the user rests, the grid of what is ready, the level in use."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.tiling import Tile
from napari_ditto.data.source import open_source
from napari_ditto.engine.predict import Pyramid
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.settings import Settings
from napari_ditto.ui.view.part import ViewPart, ViewState, core, level_text
from napari_ditto.ui.view.stage import NAME, ViewerView, in_plane, outline
from napari_ditto.ui.workshop import Workshop
from tests.ui.test_controller import (  # noqa: F401
    controller,
    runner,
    scene,
    view,
)

PLANE = PlaneAddress()


class Stage:
    """A viewer's share, as a record."""

    stirred, rested = psygnal.Signal(), psygnal.Signal()

    def __init__(self):
        self.rest_soon, self.boxes = MagicMock(), None

    def show_tiles(self, images, address, boxes):
        self.boxes = boxes

    def hide_tiles(self):
        self.boxes = None

    def close(self):
        self.hide_tiles()


@pytest.fixture
def model():
    """Quick, and says so."""
    model = BlobModel()
    model.spec = replace(model.spec, encode_seconds=0.1, input_size=64, embedding_bytes=64 * 64)
    return model


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
def chosen():
    return {"settings": Settings()}


@pytest.fixture
def part(controller, scene, stage, chosen, model):  # noqa: F811
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (1280, 1280), dtype=np.uint8)
    scene.open_source.side_effect = lambda images, window: open_source(image)
    scene.stage.view_box.return_value = Box(0, 0, 100, 100)
    controller._proposing.start_over()
    part = ViewPart(controller._desk, controller._proposing, stage, lambda: chosen["settings"])
    controller.warm_up()
    model.encoded = 0  # loading has tried it out
    return part


def test_what_is_in_view_is_encoded_while_the_user_rests(part, stage, model):
    assert model.encoded == 0
    stage.rested.emit()
    assert model.encoded == 100
    stage.rested.emit()
    assert model.encoded == 100, "the same view is done"


def test_not_while_the_user_moves_and_then_from_where_it_stopped(part, stage, model):
    encode = model.encode

    def encode_and_stir(tiles):
        if model.encoded == 3:
            stage.stirred.emit()
        return encode(tiles)

    model.encode = encode_and_stir
    stage.rested.emit()
    assert model.encoded == 4
    model.encode = encode
    stage.rested.emit()
    assert model.encoded == 100


def test_memory_is_a_bound(part, stage, model, chosen):
    chosen["settings"] = Settings(cache_memory_mb=1)
    model.spec = replace(model.spec, embedding_bytes=2**17)
    stage.rested.emit()
    assert model.encoded == 4


@pytest.mark.parametrize("why", ["settings", "slow", "unknown cost", "no image", "working"])
def test_when_nothing_is_encoded_ahead(part, stage, model, chosen, controller, why):  # noqa: F811
    if why == "settings":
        chosen["settings"] = Settings(encode_ahead=False)
    elif why == "slow":
        model.spec = replace(model.spec, encode_seconds=5.0)
    elif why == "unknown cost":
        model.spec = replace(model.spec, encode_seconds=0.0)
    elif why == "no image":
        controller.session.images = ()
    else:
        controller.session.working = "something"
    stage.rested.emit()
    assert model.encoded == 0
    assert controller.session.error == ""


def test_the_grid_shows_what_is_ready_and_the_level_is_told(part, stage, scene, controller):  # noqa: F811
    told = []
    part.changed.connect(lambda: told.append(part.shown()))
    part.actions["show_tiles"]()
    assert stage.boxes == []
    stage.rested.emit()
    assert len(stage.boxes) == 100
    assert all(not box.is_empty for box in stage.boxes)
    assert part.shown() == ViewState("level 0 (full resolution), 100 tiles encoded", True)
    part.actions["show_tiles"]()
    assert stage.boxes is None
    scene.stage.view_box.return_value = Box(0, 0, 1280, 1280)
    stage.rested.emit()
    assert part.shown() == ViewState("level 1 (1/2)")
    assert told[-1] == part.shown()
    controller.session.images = ()
    stage.rested.emit()
    assert part.shown() == ViewState()


def test_levels_and_cores():
    assert level_text(2, 4.0) == "level 2 (1/4)"
    levels = Pyramid(((1000, 1000), (500, 500)), ((1.0, 1.0), (2.0, 2.0)))
    tile = Tile(1, Box(0, 0, 64, 64))
    assert core(tile, levels, 64) == Box(0, 0, 96, 96)


def test_the_sides_of_neighbours_are_drawn_once():
    lines = outline([Box(0, 0, 10, 10), Box(0, 10, 10, 20)])
    assert len(lines) == 7
    placed = in_plane(lines, PlaneAddress("z", "x", (("y", 5),)), ("z", "y", "x"))
    assert set(placed[:, 0, 1]) == {5.0}
    assert not placed[:, 1, 1].any()


@pytest.mark.once
@pytest.mark.gui
def test_the_grid_is_one_quiet_layer(make_napari_viewer_proxy, qtbot, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    from napari_ditto.ui.assembly import controller_for
    from napari_ditto.ui.widgets.dock import DittoDock

    viewer = make_napari_viewer_proxy()
    image = viewer.add_image(np.zeros((3, 640, 640), dtype=np.uint8), name="image", scale=(1, 2, 2))
    quick = BlobModel()
    its = controller_for(viewer, Workshop(lambda: None, lambda name, device: quick))
    viewer.window.add_dock_widget(DittoDock(viewer), name="Ditto")
    session = its.session
    its.act("new_points")
    points = viewer.layers.selection.active
    grid = ViewerView(viewer)
    seen = []
    grid.rested.connect(lambda: seen.append("rested"))
    for boxes in ([], [Box(0, 0, 48, 48)], [Box(0, 0, 48, 48), Box(0, 48, 48, 80)]):
        grid.show_tiles((str(image.unique_id),), PlaneAddress(fixed=(("z", 1),)), boxes)
    layers = [layer for layer in viewer.layers if layer.name.startswith(NAME)]
    assert len(layers) == 1
    assert len(layers[0].data) == 7
    np.testing.assert_array_equal(layers[0].scale, image.scale)
    assert viewer.layers.selection.active == points
    qtbot.wait(50)
    choices = (*session.image_choices, *session.target_choices, *session.prompt_choices)
    assert NAME not in {choice.text for choice in choices}
    assert not session.undo_text or "point" in session.undo_text.lower()
    viewer.scene.camera.zoom *= 2
    qtbot.waitUntil(lambda: seen == ["rested"], timeout=3000)
    grid.close()
    assert not any(layer.name.startswith(NAME) for layer in viewer.layers)
    viewer.scene.camera.zoom *= 2
    qtbot.wait(20)
    assert seen == ["rested"]
