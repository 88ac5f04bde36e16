"""The viewer as objects are picked and cut in it: outlines, and tools that go back."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.ui.objects.edit_stage import NAME, ViewerEditStage

PLANE = PlaneAddress("y", "x", (("z", 2),))


@pytest.fixture
def viewer(viewer_model):
    viewer = viewer_model
    scale = {"axis_labels": ("z", "y", "x"), "scale": (2, 0.5, 0.5), "translate": (0, 10, 20)}
    viewer.add_image(np.zeros((4, 40, 50), np.uint8), name="image", **scale)
    viewer.add_labels(np.ones((4, 40, 50), np.uint8), name="cells", **scale)
    viewer.add_points(ndim=3, name="points").mode = "add"
    return viewer


@pytest.fixture
def stage(viewer):
    stage = ViewerEditStage(viewer)
    yield stage
    stage.close()


def key(viewer, name):
    return str(viewer.layers[name].unique_id)


def clicks_told(layer, stage):
    """Return what is told of a click and of a drag."""
    told = []
    stage.clicked.connect(lambda: told.append(1))
    press = layer.mouse_drag_callbacks[-1]
    for kinds in (("mouse_release",), ("mouse_move", "mouse_release")):
        event = SimpleNamespace(type="mouse_press")
        gesture = press(layer, event)
        next(gesture)
        for event.type in kinds:
            next(gesture, None)
    return told


@pytest.mark.once
@pytest.mark.gui
def test_outlines_lie_on_the_image_and_leave_the_tool_alone(viewer, stage):
    square = PlacedMask(Box(10, 20, 14, 26), np.ones((4, 6), bool))
    stage.outline((key(viewer, "image"),), PLANE, (square,))
    layer = viewer.layers[NAME]
    np.testing.assert_array_equal(layer.translate, (4, 15, 30))
    assert layer.data.shape == (1, 4, 6)
    assert (layer.data[0, 0].all(), layer.data[0, 0, 0]) == (True, 1)
    assert (viewer.layers.selection.active.name, layer.editable) == ("points", False)
    assert str(viewer.layers["points"].mode) == "add"
    other = PlacedMask(Box(0, 0, 2, 2), np.ones((2, 2), bool))
    stage.outline((key(viewer, "image"),), PLANE, (other, square))
    assert viewer.layers[NAME] == layer
    assert layer.data.shape == (1, 14, 26)
    viewer.layers["cells"].opacity = 0.6
    stage.step_back(key(viewer, "cells"))
    stage.step_back(key(viewer, "cells"))
    assert (viewer.layers["cells"].opacity, layer.opacity) == (0.25, 0.0)
    stage.come_forward()
    assert (viewer.layers["cells"].opacity, layer.opacity) == (0.6, 1.0)
    stage.hide()
    assert not layer.visible
    stage.close()
    assert NAME not in viewer.layers


@pytest.mark.once
@pytest.mark.gui
def test_tools_go_back_into_the_hand(viewer, stage):
    stage.take_up_line(lambda: str(viewer.add_shapes(ndim=3, name="boxes").unique_id))
    assert (viewer.layers.selection.active.name, str(viewer.layers["boxes"].mode)) == (
        "boxes",
        "add_line",
    )
    stage.take_up_picker(key(viewer, "cells"))
    assert str(viewer.layers["boxes"].mode) != "add_line"
    assert viewer.layers.selection.active.name == "cells"
    assert clicks_told(viewer.layers["cells"], stage) == [1]
    stage.put_down()
    assert stage._on_press not in viewer.layers["cells"].mouse_drag_callbacks
    assert viewer.layers.selection.active.name == "points"
    assert str(viewer.layers["points"].mode) == "add"
