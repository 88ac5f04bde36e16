"""Examples on real layers: what is read from them and what is shown on them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.lineage import Lineage
from napari_ditto.ui.examples.stage import ViewerStage
from napari_ditto.ui.keymap import ACTIONS, REVIEW_ACTIONS

pytestmark = [pytest.mark.gui, pytest.mark.once]

WHOLE = Box(0, 0, 20, 30)


@pytest.fixture
def stage(viewer_model):
    viewer = viewer_model
    pressed = []
    handlers = {name: lambda name=name: pressed.append(name) for name in REVIEW_ACTIONS}
    stage = ViewerStage(viewer, handlers)
    stage.viewer, stage.pressed = viewer, pressed
    yield stage
    stage.close()


def key(layer):
    return str(layer.unique_id)


def plane(z):
    return PlaneAddress("y", "x", (("z", z),))


def stack():
    out = np.zeros((5, 20, 30), np.uint32)
    out[2, 3:8, 4:12] = 7
    out[2, 10:15, 20:25] = 70_000
    return out


def test_labels_are_read_through_the_world(stage):
    image = stage.viewer.add_image(np.zeros((5, 20, 30), np.uint8), scale=(2, 0.5, 0.5))
    same = stage.viewer.add_labels(stack(), scale=(2, 0.5, 0.5))
    read = stage.labels_on_plane(key(same), [key(image)], plane(2), WHOLE)
    np.testing.assert_array_equal(read, stack()[2])
    read[:] = 0
    assert same.data[2].any(), "it is a copy"
    shifted = stage.viewer.add_labels(
        stack()[:, :10, :20], scale=(2, 0.5, 0.5), translate=(0, 2.5, 5)
    )
    read = stage.labels_on_plane(key(shifted), [key(image)], plane(2), WHOLE)
    expected = np.zeros((20, 30), np.uint32)
    expected[5:15, 10:30] = stack()[2, :10, :20]
    np.testing.assert_array_equal(read, expected)
    coarse = stage.viewer.add_labels(stack()[:, ::2, ::2], scale=(2, 1, 1))
    read = stage.labels_on_plane(key(coarse), [key(image)], plane(2), WHOLE)
    assert set(np.unique(read)) == {0, 7, 70_000}
    assert abs(int((read == 70_000).sum()) - 25) < 12


def test_negative_ids_are_background(stage):
    image = stage.viewer.add_image(np.zeros((20, 30), np.uint8))
    labels = stage.viewer.add_labels(np.full((20, 30), -1, np.int32))
    labels.data[3, 4] = 5
    read = stage.labels_on_plane(key(labels), [key(image)], PlaneAddress(), Box(2, 2, 6, 8))
    assert read.shape == (4, 6)
    assert read.sum() == 5


def test_every_shape_stroke_and_click_is_one_object(stage):
    viewer = stage.viewer
    image = viewer.add_image(np.zeros((20, 30), np.uint8))
    shapes = viewer.add_shapes()
    shapes.add_rectangles([[2, 2], [6, 8]])
    shapes.add_polygons(np.array([[10, 2], [16, 2], [16, 8]]))
    shapes.add_paths(np.array([[3, 15], [3, 25]]), edge_width=3)
    points = viewer.add_points([[15, 20]])
    drawn = stage.drawing([key(shapes), key(points)], [key(image)], WHOLE)
    assert sorted(np.unique(drawn)) == [0, 1, 2, 3, 4]
    assert drawn[4, 5] != drawn[15, 4] != 0
    assert (drawn[2:5, 15:26] == drawn[3, 20]).all()
    assert drawn[15, 20] > 0
    assert drawn[9, 20] == 0


def test_going_to_a_plane_moves_the_sliders(stage):
    viewer = stage.viewer
    image = viewer.add_image(
        np.zeros((3, 5, 20, 30), np.uint8), scale=(1, 2, 0.5, 0.5), translate=(0, 10, 0, 0),
        axis_labels=("t", "z", "y", "x"),
    )  # fmt: skip
    stage.go_to([key(image)], PlaneAddress("y", "x", (("t", 1), ("z", 4))))
    assert viewer.dims.current_step[:2] == (1, 4)


def test_selecting_a_label_shows_it(stage):
    viewer = stage.viewer
    image = viewer.add_image(np.zeros((20, 30), np.uint8))
    labels = viewer.add_labels(np.zeros((20, 30), np.uint32), visible=False)
    viewer.layers.selection.active = image
    stage.select_label(key(labels), 7, [key(image)], (10.0, 400.0))
    assert viewer.layers.selection.active == labels
    assert labels.visible
    assert labels.selected_label == 7
    assert viewer.scene.camera.center[-1] == pytest.approx(400, abs=1)


def test_confidences_are_in_the_features(stage):
    labels = stage.viewer.add_labels(stack())
    stage.describe_labels(key(labels), (7, 70_000), (0.5, 0.25), "m@1#abc")
    table = labels.features
    assert list(table.columns) == ["index", "label", "confidence", "model"]
    assert table["confidence"].tolist() == [0.5, 0.25]
    assert "confidence: 0.25" in labels.get_status((2, 12, 22), world=True)["value"]


def test_tracks_lie_on_the_image(stage):
    image = stage.viewer.add_image(
        np.zeros((5, 20, 30), np.uint8), scale=(1, 0.5, 0.5), axis_labels=("t", "y", "x")
    )
    points = np.array([[1, 0, 5, 5], [1, 1, 6, 6], [2, 2, 7, 7], [3, 2, 5, 9]], dtype=float)
    from napari_ditto.data.source import open_source

    source = open_source(np.zeros((5, 20, 30), np.uint8), axes="tyx")
    lineage = Lineage(points, {2: (1,), 3: (1,)})
    tracks = stage.add_tracks([key(image)], source, lineage)
    layer = next(la for la in stage.viewer.layers if key(la) == tracks)
    assert layer.graph == {2: [1], 3: [1]}
    np.testing.assert_allclose(layer.scale, image.scale)
    assert layer.name.startswith("Ditto tracks [")


def test_likely_labels(stage):
    viewer = stage.viewer
    assert stage.likely_labels() == ""
    image = viewer.add_image(np.zeros((20, 30), np.uint8))
    first = viewer.add_labels(np.zeros((20, 30), np.uint32), name="first")
    hidden = viewer.add_labels(np.zeros((20, 30), np.uint32), name="hidden", visible=False)
    viewer.layers.selection.active = image
    assert stage.likely_labels() == key(first)
    viewer.layers.selection.active = hidden
    assert stage.likely_labels() == key(hidden)


def test_edits_are_told_once_and_keys_work_on_the_layer(stage, qtbot):
    from napari.utils.key_bindings import KeymapHandler

    labels = stage.viewer.add_labels(np.zeros((20, 30), np.uint32))
    told = []
    stage.labels_edited.connect(told.append)
    stage.watch([key(labels)])
    labels.paint((5, 5), 1)
    labels.paint((6, 6), 1)
    qtbot.waitUntil(lambda: bool(told), timeout=3000)
    assert told == [key(labels)]
    handler = KeymapHandler()
    handler.keymap_providers = [labels]
    handler.press_key(ACTIONS["next_doubt"].keys[0])
    assert stage.pressed == ["next_doubt"]
    stage.watch([])
    assert not labels.keymap


def test_the_view_is_what_the_canvas_shows(stage):
    """The canvas of a hidden window draws nothing, so the layer is told as a draw would tell it."""
    pixels = np.zeros((400, 600), np.uint8)
    image = stage.viewer.add_image(pixels, scale=(0.5, 0.5))
    image.corner_pixels = np.array([[110, 220], [289, 379]])
    assert stage.view_box([key(image)]) == Box(110, 220, 290, 380)
    levels = [pixels, pixels[::4, ::4]]
    image = stage.viewer.add_image(levels, multiscale=True, contrast_limits=(0, 1))
    image.data_level = 1
    image.corner_pixels = np.array([[0, 10], [99, 149]])
    assert stage.view_box([key(image)]) == Box(0, 40, 400, 600)
