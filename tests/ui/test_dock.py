"""The dock on real layers, control by control, with a model that is quick and predictable."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_ditto.errors import ModelError
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui import settings
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.keymap import ACTIONS
from napari_ditto.ui.labelling import ALL_LABELLED
from napari_ditto.ui.workshop import Workshop
from tests.ui.put_in import put_in

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Keep settings in our own file, which lies in a temporary folder."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


DISCS = {1: (40, 50), 2: (90, 60), 3: (45, 120)}
RADIUS = 12


def discs(shape=(140, 180)):
    """Return bright discs on a dark plane, and their truth."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, dtype=np.uint32)
    for label, (cy, cx) in DISCS.items():
        truth[(y - cy) ** 2 + (x - cx) ** 2 <= RADIUS**2] = label
    return np.where(truth > 0, 200, 20).astype(np.uint8), truth


class Bench:
    """A viewer with one dock, and short words for what a user does."""

    def __init__(self, viewer, qtbot, model):
        from napari_ditto.ui.widgets.dock import DittoDock

        self.viewer, self.qtbot, self.model = viewer, qtbot, model
        workshop = Workshop(load_model=lambda name, device: self.model)
        self.controller = controller_for(viewer, workshop)
        self.dock = DittoDock(viewer)
        assert self.dock.controller is self.controller
        put_in(viewer, self.dock, "Ditto", qtbot)
        self.session = self.controller.session

    def press(self, name):
        """Click a button, once it is drawn as enabled."""
        button = {**self.dock.buttons, "cancel": self.dock.status.cancel}[name]
        self.until(button.isEnabled)
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def until(self, done, timeout=10000):
        self.qtbot.waitUntil(lambda: bool(done()), timeout=timeout)

    def settled(self):
        """Wait until nothing is asked, running, or still to be drawn."""
        self.qtbot.wait(80)
        self.until(lambda: not self.session.asked and not self.session.working)
        self.qtbot.wait(20)

    def add_points(self):
        self.press("new_points")
        return self.layer("Ditto points")

    def add_boxes(self):
        self.press("new_boxes")
        return self.layer("Ditto boxes")

    def layer(self, name):
        return next(layer for layer in self.viewer.layers if layer.name.startswith(name))

    def has(self, name):
        return any(layer.name.startswith(name) for layer in self.viewer.layers)

    def click(self, layer, *position):
        layer.add([position])
        self.settled()

    @property
    def labels(self):
        return np.asarray(self.layer("Ditto labels").data)

    @property
    def preview(self):
        return self.layer("Ditto preview")


@pytest.fixture
def no_thread_left():
    """Listed before the viewer, so that this looks after the viewer has been closed."""
    yield
    left = [t for t in threading.enumerate() if t.name == "ditto"]
    assert not left, "a thread is left"


@pytest.fixture
def bench(no_thread_left, make_napari_viewer_proxy, qtbot):
    def make(image=None, model=None, **kwargs):
        viewer = make_napari_viewer_proxy()
        if image is not None:
            viewer.add_image(image, **{"name": "image", **kwargs})
        return Bench(viewer, qtbot, model or BlobModel())

    return make


@pytest.fixture
def window(bench):
    return bench(discs()[0])


@pytest.fixture
def plain(no_thread_left, viewer_model, qtbot):
    """For what napari's window has no part in."""
    viewer_model.add_image(discs()[0], name="image")
    return Bench(viewer_model, qtbot, BlobModel())


def masked(bench):
    """Return the preview painted into a plane of the image."""
    layer, out = bench.preview, np.zeros((140, 180), dtype=bool)
    rows, columns = np.nonzero(np.asarray(layer.data))
    y, x = (np.round(layer.data_to_world((r, c))).astype(int) for r, c in ((0, 0), (0, 0)))
    out[rows + y[0], columns + x[1]] = True
    return out


# --- click, preview, accept ---------------------------------------------------------------------


def test_click_preview_accept_undo_redo(window):
    truth = discs()[1]
    points = window.add_points()
    assert window.viewer.layers.selection.active == points
    assert str(points.mode) == "add"
    window.click(points, *DISCS[1])
    np.testing.assert_array_equal(masked(window), truth == 1)
    assert window.dock.proposal.text() == "2 of 3, score 0.90"
    assert window.viewer.layers.selection.active == points, "the tool must stay in hand"

    window.press("accept")
    window.settled()
    np.testing.assert_array_equal(window.labels == 1, truth == 1)
    assert len(points.data) == 0
    assert str(points.mode) == "add"
    assert not window.preview.visible
    assert window.viewer.layers.selection.active == points
    assert window.session.hint == "Accepted as label 1"
    assert window.dock.status.line.text() == "Accepted as label 1"

    window.click(points, *DISCS[2])
    window.press("accept")
    window.settled()
    np.testing.assert_array_equal(window.labels == 2, truth == 2)

    window.press("undo")
    window.settled()
    assert set(np.unique(window.labels)) == {0, 1}
    np.testing.assert_array_equal(points.data, [DISCS[2]])
    np.testing.assert_array_equal(masked(window), truth == 2)

    window.press("redo")
    window.settled()
    np.testing.assert_array_equal(window.labels == 2, truth == 2)
    assert len(points.data) == 0

    for _ in range(4):
        window.press("undo")
        window.settled()
    assert not window.labels.any()
    assert len(points.data) == 0
    assert not window.dock.buttons["undo"].isEnabled()
    for _ in range(4):
        window.press("redo")
        window.settled()
    assert set(np.unique(window.labels)) == {0, 1, 2}


def test_accept_before_the_mask_is_there_takes_the_new_one(bench):
    b = bench(discs()[0], BlobModel(encode_seconds=0.3))
    points = b.add_points()
    points.add([DISCS[3]])
    b.until(lambda: b.session.asked)
    b.press("accept")
    b.until(lambda: b.session.target)
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, discs()[1] == 3)


def test_box(plain):
    boxes = plain.add_boxes()
    assert str(boxes.mode) == "add_rectangle"
    boxes.add_rectangles([[30, 40], [52, 64]])
    plain.settled()
    assert plain.session.prompts.box is not None
    assert masked(plain).sum() > 300


def test_polygon_is_a_box_and_a_rough_mask(plain):
    boxes = plain.add_boxes()
    boxes.add_polygons(np.array([[30, 50], [40, 62], [52, 50], [40, 38]]))
    plain.settled()
    assert plain.session.prompts.box is not None
    assert plain.session.prompts.mask is not None


def test_shape_is_asked_for_only_when_it_is_finished(plain):
    boxes = plain.add_boxes()
    plain.settled()
    asked = len(plain.model.asked)
    # What napari does between press and release of a rectangle.
    boxes.add(np.array([[30, 40], [30, 41], [31, 41], [31, 40]]), shape_type="rectangle", gui=True)
    plain.qtbot.wait(150)
    assert len(plain.model.asked) == asked
    boxes.events.data(value=boxes.data, action="added", data_indices=(-1,), vertex_indices=((),))
    plain.settled()
    assert plain.session.prompts.box is not None


def test_include_and_exclude(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.click(points, *DISCS[2])
    assert masked(plain)[DISCS[2]]
    plain.qtbot.mouseClick(plain.dock.exclude, Qt.MouseButton.LeftButton)
    plain.settled()
    assert plain.dock.exclude.isChecked()
    assert not plain.dock.include.isChecked()
    plain.click(points, DISCS[2][0] + 2, DISCS[2][1])
    signs = [p.positive for p in plain.session.prompts.points]
    assert signs == [True, True, False]
    assert not masked(plain)[DISCS[2]]
    colors = np.asarray(points.face_color)
    assert not np.allclose(colors[0], colors[2]), "signs must differ by colour"


def test_only_exclusions_give_advice(plain):
    points = plain.add_points()
    plain.controller.act("toggle_sign")
    plain.click(points, *DISCS[1])
    assert "Only exclusions" in plain.dock.status.line.text()
    assert plain.session.proposals is None


def test_mixture_of_points_box_and_scribble(window):
    points, boxes = window.add_points(), window.add_boxes()
    window.click(points, *DISCS[1])
    boxes.add_rectangles([[30, 38], [52, 63]])
    boxes.add_paths(np.array([[85, 60], [95, 60]]))
    window.settled()
    prompts = window.session.prompts
    assert len(prompts.points) == 1
    assert prompts.box is not None
    assert len(prompts.scribbles) == 1
    assert masked(window)[DISCS[1]]
    assert masked(window)[DISCS[2]]


def test_cycle_proposals(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    areas = [masked(plain).sum()]
    for text in ("3 of 3, score 0.60", "1 of 3, score 0.50"):
        plain.press("next_proposal")
        plain.settled()
        assert plain.dock.proposal.text() == text
        areas.append(masked(plain).sum())
    assert areas[2] < areas[0] < areas[1]
    plain.press("accept")
    plain.settled()
    assert (plain.labels > 0).sum() == areas[2], "what is shown is what is written"


def test_undo_and_redo_of_prompts(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.click(points, *DISCS[2])
    points.data = points.data + 1
    plain.settled()
    plain.press("undo")
    plain.settled()
    np.testing.assert_array_equal(points.data, [DISCS[1], DISCS[2]])
    plain.press("undo")
    plain.settled()
    np.testing.assert_array_equal(points.data, [DISCS[1]])
    assert not masked(plain)[DISCS[2]]
    plain.press("redo")
    plain.settled()
    assert masked(plain)[DISCS[2]]


def test_undo_restores_signs_shapes_and_colours(plain):
    points, boxes = plain.add_points(), plain.add_boxes()
    plain.click(points, *DISCS[1])
    plain.controller.act("toggle_sign")
    plain.click(points, 5, 5)
    plain.controller.act("toggle_sign")
    boxes.add_ellipses([[30, 40], [52, 64]])
    plain.settled()
    before = np.array(points.face_color)
    plain.press("clear")
    plain.settled()
    assert len(points.data) == len(boxes.data) == 0
    assert plain.session.prompts.is_empty
    plain.press("undo")
    plain.settled()
    assert [p.positive for p in plain.session.prompts.points] == [True, False]
    assert list(boxes.shape_type) == ["ellipse"]
    np.testing.assert_allclose(points.face_color, before)


def test_keep_and_replace(plain):
    truth = discs()[1]
    labels = np.zeros(truth.shape, dtype=np.uint16)
    labels[DISCS[1][0] :, :] = 7
    layer = plain.viewer.add_labels(labels, name="mine")
    plain.settled()
    plain.dock.target.picked.emit(str(layer.unique_id))
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    assert plain.dock.keep.isChecked()
    plain.press("accept")
    plain.settled()
    assert (labels == 7).sum() == labels[DISCS[1][0] :].size, "no other object's pixel changes"
    assert (labels == 8).sum() == ((truth == 1) & (np.arange(140)[:, None] < DISCS[1][0])).sum()
    plain.press("undo")
    plain.settled()
    assert set(np.unique(labels)) == {0, 7}
    plain.dock.keep.click()
    plain.until(lambda: plain.session.overlap == "replace")
    plain.settled()
    plain.press("accept")
    plain.settled()
    written = labels.max()
    np.testing.assert_array_equal(labels == written, truth == 1)


def test_clear_then_nothing_to_accept(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.press("clear")
    plain.settled()
    accept = plain.dock.buttons["accept"]
    assert not accept.isEnabled()
    assert "click on an object" in accept.toolTip()
    assert not plain.preview.visible


def test_nothing_found_is_said(plain):
    points = plain.add_points()
    plain.click(points, 5, 5)
    assert "No object found here" in plain.dock.status.line.text()
    assert not plain.has("Ditto preview") or not plain.preview.visible


def test_segment_everything_is_one_undo_step(plain):
    plain.press("segment_all")
    plain.settled()
    truth = discs()[1]
    assert len(np.unique(plain.labels)) == 4, plain.session
    np.testing.assert_array_equal(plain.labels > 0, truth > 0)
    plain.press("undo")
    plain.settled()
    assert not plain.labels.any()
    plain.press("redo")
    plain.settled()
    assert len(np.unique(plain.labels)) == 4


def test_everything_leaves_what_is_labelled_alone(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.press("accept")
    plain.settled()
    smaller = plain.labels == 1
    smaller[:, : DISCS[1][1] - 8] = False
    plain.labels[:] = smaller  # as a brush would: a rim of the object is free again
    plain.press("segment_all")
    plain.settled()
    assert len(np.unique(plain.labels)) == 4
    assert np.array_equal(plain.labels == 1, smaller)
    truth = discs()[1]
    assert set(np.unique(plain.labels[truth == 1])) == {0, 1}
    plain.press("segment_all")
    plain.settled()
    assert plain.session.hint == ALL_LABELLED


@pytest.mark.parametrize(
    ("widget", "field", "too_much"), [("area", "min_area_px", 1000), ("score", "min_score", 1.0)]
)
def test_the_limits_of_everything_are_obeyed_and_kept(plain, widget, field, too_much):
    limit = getattr(plain.dock.advanced.everything, widget)
    usual = limit.value
    limit.value = too_much
    plain.press("segment_all")
    plain.settled()
    assert not plain.has("Ditto labels")
    assert "No object found" in plain.session.hint
    assert getattr(settings.load()[0], field) == too_much
    limit.value = usual
    plain.press("segment_all")
    plain.settled()
    assert len(np.unique(plain.labels)) == 4


def test_everything_asks_before_it_takes_long(plain, monkeypatch):
    from dataclasses import replace

    asked = []
    monkeypatch.setattr(plain.dock, "confirm", lambda question: asked.append(question) or False)
    plain.model.spec = replace(plain.model.spec, encode_seconds=3600.0)
    plain.press("segment_all")
    plain.settled()
    assert "60 minutes" in asked[0]
    assert plain.model.encoded == 0
    assert not plain.has("Ditto labels")


def test_keys_are_on_the_prompt_layers_and_the_buttons(plain):
    points = plain.add_points()
    bound = {str(key).replace("Meta", "Ctrl") for key in points.keymap}
    wanted = {name: action.keys[0] for name, action in ACTIONS.items() if action.keys}
    assert set(wanted.values()) <= bound
    for name, button in plain.dock.buttons.items():
        assert wanted.get(name, "") in button.text()


def test_key_acts(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    handler = next(f for key, f in points.keymap.items() if str(key) == ACTIONS["accept"].keys[0])
    handler(points)
    plain.settled()
    assert plain.labels.max() == 1


# --- images of all kinds ------------------------------------------------------------------------


def test_xz_view(bench):
    image = np.zeros((8, 140, 180), dtype=np.uint8)
    image[2:6, 70, 100:130] = 200
    b = bench(image, axis_labels=("z", "y", "x"))
    b.viewer.dims.order = (1, 0, 2)
    b.viewer.dims.set_current_step(1, 70)
    b.settled()
    assert b.session.address.rows == "z"
    points = b.add_points()
    b.click(points, 4, 70, 110)
    assert b.session.has_object, b.session
    assert b.preview.data.shape[1] == 1
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, image > 100)


def test_transposed_view(bench):
    image = discs()[0]
    b = bench(image)
    b.viewer.dims.order = (1, 0)
    points = b.add_points()
    b.click(points, *DISCS[1])
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, discs()[1] == 1)


def test_stack_writes_only_the_plane_on_show(bench):
    image = np.stack([discs()[0]] * 5)
    b = bench(image)
    b.viewer.dims.set_current_step(0, 3)
    points = b.add_points()
    b.click(points, 3, *DISCS[1])
    b.press("accept")
    b.settled()
    assert b.labels[3].any()
    assert not b.labels[[0, 1, 2, 4]].any()


def test_plane_change_takes_only_the_prompts_there(bench):
    image = np.stack([discs()[0]] * 5)
    b = bench(image)
    b.viewer.dims.set_current_step(0, 3)
    points = b.add_points()
    b.click(points, 3, *DISCS[1])
    b.viewer.dims.set_current_step(0, 1)
    b.qtbot.wait(150)
    b.settled()
    assert b.session.prompts.is_empty
    assert b.session.proposals is None
    b.click(points, 1, *DISCS[2])
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(points.data, [[3, *DISCS[1]]])
    b.viewer.dims.set_current_step(0, 3)
    b.qtbot.wait(150)
    b.settled()
    assert b.session.has_object, "coming back shows the mask again"


def test_multiscale(bench):
    image = discs((280, 360))[0]
    b = bench([image, image[::2, ::2]], multiscale=True)
    points = b.add_points()
    b.click(points, *DISCS[1])
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, discs((280, 360))[1] == 1)


def test_rgb(bench):
    grey = discs()[0]
    b = bench(np.stack([grey, grey, grey // 2], axis=-1))
    points = b.add_points()
    b.click(points, *DISCS[1])
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, discs()[1] == 1)


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (0.5, 2.0)},
        {"translate": (100.0, -50.0)},
        {"rotate": 30},
        {"shear": [0.3], "scale": (2.0, 2.0)},
        {"affine": np.array([[0.9, 0.3, 12], [-0.2, 1.1, 5], [0, 0, 1]])},
    ],
    ids=lambda t: "+".join(t),
)
def test_transformed_image(bench, transform):
    b = bench(discs()[0], **transform)
    points = b.add_points()
    world = b.layer("image").data_to_world(DISCS[1])
    b.click(points, *points.world_to_data(world))
    b.press("accept")
    b.settled()
    np.testing.assert_array_equal(b.labels > 0, discs()[1] == 1)
    labels, image = b.layer("Ditto labels"), b.layer("image")
    np.testing.assert_allclose(labels.data_to_world((7, 11)), image.data_to_world((7, 11)))
    b.press("undo")
    b.settled()
    corner = np.argwhere(np.asarray(b.preview.data))[0]
    back = image.world_to_data(b.preview.data_to_world(corner))
    np.testing.assert_allclose(back, np.round(back), atol=1e-6)
    assert discs()[1][tuple(np.round(back).astype(int))] == 1


def test_two_channels(bench):
    b = bench(discs()[0], name="a")
    b.viewer.add_image(discs()[0] // 2, name="b")
    b.settled()
    b.dock.advanced.channel_2.picked.emit(str(b.layer("b").unique_id))
    b.dock.advanced.chose.emit("images", tuple(str(b.layer(n).unique_id) for n in "ab"))
    points = b.add_points()
    b.click(points, *DISCS[1])
    assert b.session.window.channels == 2
    assert b.session.has_object


# --- the intensity window -----------------------------------------------------------------------


def test_window_is_shown_and_can_be_edited(plain):
    plain.add_points()
    plain.settled()
    editor = plain.dock.advanced.window_editor
    plain.until(lambda: len(editor._rows) == 1)
    low, high = editor._rows[0]
    assert (
        (low.value(), high.value()) == plain.session.window.pairs()[0]
        if hasattr(plain.session.window, "pairs")
        else (plain.session.window.low[0], plain.session.window.high[0])
    )
    high.setValue(90.0)
    plain.settled()
    assert plain.session.window_mode == "given"
    assert plain.session.window.high == (90.0,)
    assert plain.dock.advanced.window_mode.key == "given"
    points = plain.layer("Ditto points")
    plain.click(points, *DISCS[1])
    assert plain.session.window.high == (90.0,)


def test_window_from_contrast_limits(bench):
    b = bench(discs()[0], contrast_limits=(10, 77))
    b.dock.advanced.window_mode.picked.emit("contrast")
    b.add_points()
    b.settled()
    assert b.session.window.high == (77.0,)


# --- trouble ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ModelError("the encoder broke"), RuntimeError("boom")])
def test_failing_model_is_shown_and_work_goes_on(plain, error, caplog):
    plain.model.error = error
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    assert str(error) in plain.dock.status.line.text()
    assert "\n" not in plain.dock.status.line.text()
    plain.model.error = None
    plain.click(points, DISCS[1][0] + 1, DISCS[1][1])
    assert plain.session.has_object
    assert plain.session.error == ""
    caplog.clear()


def test_the_image_on_show_is_picked(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    image = discs()[0]
    viewer.add_image(image, name="below", visible=False)
    viewer.add_image(image, name="shown")
    viewer.add_image(image, name="hidden above", visible=False)
    viewer.add_labels(np.zeros(image.shape, np.uint8))
    b = Bench(viewer, qtbot, BlobModel())
    b.settled()
    assert b.dock.image.currentText() == "shown"


def test_image_deleted_while_a_job_runs(bench):
    b = bench(discs()[0], BlobModel(encode_seconds=0.3))
    points = b.add_points()
    points.add([DISCS[1]])
    b.until(lambda: b.session.asked)
    b.viewer.layers.remove("image")
    b.settled()
    assert b.session.images == ()
    assert b.session.proposals is None
    assert not b.dock.buttons["new_points"].isEnabled()
    b.viewer.add_image(discs()[0], name="again")
    b.settled()
    assert b.session.has_object, "the prompts are still there"


def test_prompt_layer_deleted_while_a_job_runs(bench):
    b = bench(discs()[0], BlobModel(encode_seconds=0.3))
    points = b.add_points()
    points.add([DISCS[1]])
    b.until(lambda: b.session.asked)
    b.viewer.layers.remove(points.name)
    b.settled()
    assert b.session.prompt_layers == ()
    assert b.session.proposals is None
    points = b.add_points()
    b.click(points, *DISCS[2])
    assert b.session.has_object


def test_labels_deleted_while_written(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.press("accept")
    plain.settled()
    plain.click(points, *DISCS[2])
    plain.controller.act("accept")
    plain.viewer.layers.remove("Ditto labels [image]")
    plain.settled()
    assert plain.session.target == ""
    plain.click(points, *DISCS[3])
    plain.press("accept")
    plain.settled()
    assert (plain.labels > 0).sum() == (discs()[1] == 3).sum()


def test_layers_renamed_while_a_job_runs(bench):
    b = bench(discs()[0], BlobModel(encode_seconds=0.3))
    points = b.add_points()
    points.add([DISCS[1]])
    b.until(lambda: b.session.asked)
    points.name, b.layer("image").name = "other", "renamed"
    b.settled()
    assert b.session.has_object
    assert b.dock.image.currentText() == "renamed"
    b.press("accept")
    b.settled()
    assert b.labels.any()


def test_model_switched_mid_run(bench):
    b = bench(discs()[0], BlobModel(encode_seconds=0.4))
    points = b.add_points()
    points.add([DISCS[1]])
    b.until(lambda: b.session.asked)
    slow, b.model = b.model, BlobModel()
    b.controller.choose("device", "cpu")
    b.settled()
    assert b.session.has_object
    assert b.model.decoded == 1
    assert slow.decoded == 0


def test_preview_deleted_by_the_user_comes_back(window):
    points = window.add_points()
    window.click(points, *DISCS[1])
    window.viewer.layers.remove("Ditto preview")
    window.click(points, *DISCS[2])
    assert window.preview.visible
    previews = [layer for layer in window.viewer.layers if layer.name.startswith("Ditto preview")]
    assert len(previews) == 1


def test_preview_is_small_and_reused(plain):
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    first = plain.preview
    assert first.data.size < 40 * 40
    plain.click(points, *DISCS[2])
    assert plain.preview == first


def test_3d_view_says_what_to_do_and_2d_goes_on(bench):
    b = bench(np.stack([discs()[0]] * 5))
    b.viewer.dims.set_current_step(0, 4)
    points = b.add_points()
    b.click(points, 4, *DISCS[1])
    b.viewer.dims.ndisplay = 3
    b.qtbot.wait(150)
    b.settled()
    assert "2D" in b.dock.status.line.text()
    assert not b.dock.buttons["segment_all"].isEnabled()
    b.viewer.dims.ndisplay = 2
    b.qtbot.wait(150)
    b.settled()
    assert b.session.has_object


def test_labels_of_another_shape_are_refused_and_nothing_is_lost(plain):
    other = plain.viewer.add_labels(np.zeros((7, 7), dtype=np.uint8), name="small")
    plain.settled()
    plain.dock.target.picked.emit(str(other.unique_id))
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.press("accept")
    plain.settled()
    assert "shape" in plain.dock.status.line.text()
    assert len(points.data) == 1, "the prompts must still be there"
    assert not other.data.any()


def test_full_label_type_is_refused_and_the_prompts_come_back(plain):
    labels = np.zeros((140, 180), dtype=np.uint8)
    labels[0, 0] = 255
    layer = plain.viewer.add_labels(labels, name="full")
    plain.settled()
    plain.dock.target.picked.emit(str(layer.unique_id))
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    plain.press("accept")
    plain.settled()
    assert "no free id" in plain.dock.status.line.text()
    np.testing.assert_array_equal(points.data, [DISCS[1]])
    assert plain.session.has_object


def test_layers_of_others_are_left_alone(plain):
    theirs = plain.viewer.add_points([[45, 120]], name="spots")
    plain.viewer.add_shapes([[[1, 1], [9, 9]]], shape_type="line", name="lines")
    plain.viewer.add_tracks([[0, 0, 1, 1], [0, 1, 2, 2]], name="tracks")
    points = plain.add_points()
    plain.click(points, *DISCS[1])
    assert len(plain.session.prompts.points) == 1
    plain.press("accept")
    plain.settled()
    assert len(theirs.data) == 1
    plain.dock.advanced.prompt_layers.ticked.emit((str(theirs.unique_id),))
    plain.settled()
    assert plain.session.has_object
    assert masked(plain)[DISCS[3]]


def test_label_as_mask_prompt(plain):
    labels = np.zeros((140, 180), dtype=np.uint8)
    labels[35:45, 45:55] = 5
    layer = plain.viewer.add_labels(labels, name="rough")
    layer.selected_label = 5
    plain.settled()
    plain.dock.advanced.prompt_layers.ticked.emit((str(layer.unique_id),))
    plain.settled()
    assert plain.session.prompts.mask is not None
    assert plain.model.decoded == 1


# --- several viewers, closing -------------------------------------------------------------------


def test_two_viewers_do_not_share_state(make_napari_viewer_proxy, qtbot):
    benches = []
    for _ in range(2):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(discs()[0], name="image")
        benches.append(Bench(viewer, qtbot, BlobModel()))
    first, second = benches
    points = first.add_points()
    first.click(points, *DISCS[1])
    assert first.session.has_object
    assert not second.session.has_object
    assert not second.has("Ditto")


def test_two_docks_in_one_viewer_show_the_same(window):
    from napari_ditto.ui.widgets.dock import DittoDock

    other = DittoDock(window.viewer)
    window.viewer.window.add_dock_widget(other, name="Ditto 2")
    assert other.controller is window.controller
    points = window.add_points()
    window.click(points, *DISCS[1])
    assert other.proposal.text() == window.dock.proposal.text() == "2 of 3, score 0.90"
    window.viewer.window.remove_dock_widget(other)
    window.click(points, *DISCS[2])
    assert window.session.has_object, "the other dock goes on"


def test_closing_the_dock_ends_everything_and_it_can_be_opened_again(window):
    points = window.add_points()
    window.click(points, *DISCS[1])
    window.viewer.window.remove_dock_widget(window.dock)
    assert window.controller.is_closed
    assert not window.has("Ditto preview")
    assert window.has("Ditto points"), "the user's prompts stay"
    assert not [t for t in threading.enumerate() if t.name == "ditto"]
    again = Bench(window.viewer, window.qtbot, BlobModel())
    assert again.controller is not window.controller
    points = again.add_points()
    assert len([la for la in again.viewer.layers if la.name.startswith("Ditto points")]) == 1
    again.settled()
    assert again.session.has_object


def test_closing_the_viewer_mid_run_leaves_no_thread_and_no_traceback(
    make_napari_viewer, qtbot, caplog, capfd
):
    viewer = make_napari_viewer()
    viewer.add_image(discs()[0], name="image")
    b = Bench(viewer, qtbot, BlobModel(encode_seconds=1.0))
    points = b.add_points()
    points.add([DISCS[1]])
    b.until(lambda: b.session.asked)
    qtbot.wait(50)
    with caplog.at_level(logging.WARNING):
        viewer.close()
        qtbot.wait(1300)
    assert not [t for t in threading.enumerate() if t.name == "ditto"]
    assert not caplog.records
    assert "Traceback" not in capfd.readouterr().err


# --- settings -----------------------------------------------------------------------------------


def test_settings_persist(make_napari_viewer_proxy, qtbot):
    b = Bench(make_napari_viewer_proxy(), qtbot, BlobModel())
    b.controller.choose("overlap", "replace")
    b.controller.choose("device", "cpu")
    other = Bench(make_napari_viewer_proxy(), qtbot, BlobModel())
    assert other.session.overlap == "replace"
    assert other.session.device == "cpu"
    other.settled()
    assert not other.dock.keep.isChecked()


def test_buttons_say_why_they_cannot_work(bench):
    b = bench()
    b.settled()
    for name, word in {
        "new_points": "image",
        "accept": "click",
        "undo": "Nothing",
        "segment_all": "image",
        "clear": "No prompts",
    }.items():
        assert not b.dock.buttons[name].isEnabled(), name
        assert word in b.dock.buttons[name].toolTip()
    assert b.dock.status.line.text() == "Open an image to begin"
