"""Correcting one object by hand, on planes whose labels are a pyramid and on small ones."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.utils.key_bindings import KeymapHandler

from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.keymap import ACTIONS
from napari_ditto.ui.keys.spelling import native
from napari_ditto.ui.objects_table.layer_tables import table_of
from napari_ditto.ui.workshop import Workshop
from tests.ui.put_in import put_in

pytestmark = pytest.mark.gui

RADIUS = 30
DISCS = {1: (200, 300), 2: (280, 420), 3: (3900, 4600)}
LARGE, SMALL = (4100, 4800), (400, 560)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


def disc(label, shape):
    y, x = np.ogrid[: shape[0], : shape[1]]
    cy, cx = DISCS[label]
    return (y - cy) ** 2 + (x - cx) ** 2 <= RADIUS**2


class Bench:
    """A viewer with one dock, and short words for what a user does."""

    def __init__(self, viewer, qtbot, shape):
        from napari_ditto.ui.widgets.dock import DittoDock

        image = np.full(shape, 20, dtype=np.uint8)
        for label in DISCS:
            image[disc(label, shape)] = 200
        viewer.add_image(image, name="image", scale=(0.5, 0.5), translate=(3, 7))
        self.viewer, self.qtbot, self.shape = viewer, qtbot, shape
        model = BlobModel()
        self.controller = controller_for(viewer, Workshop(load_model=lambda name, device: model))
        self.dock = DittoDock(viewer)
        put_in(viewer, self.dock, "Ditto", qtbot)
        self.session = self.controller.session

    def act(self, name):
        self.controller.act(name)
        self.settled()

    def settled(self):
        self.qtbot.wait(80)
        busy = lambda: self.session.asked or self.session.working  # noqa: E731
        self.qtbot.waitUntil(lambda: not busy(), timeout=20000)
        self.qtbot.wait(20)

    def click(self, y, x):
        if not self.has("Ditto points"):
            self.act("new_points")
        self.layer("Ditto points").add([[y, x]])
        self.settled()
        assert self.session.has_object, self.session.hint + self.session.error

    def label(self, number):
        """Accept a disc under the next label."""
        self.click(*DISCS[number])
        self.act("accept")

    def point_at(self, y, x):
        self.viewer.cursor.position = (y * 0.5 + 3, x * 0.5 + 7)

    def layer(self, name):
        return next(layer for layer in self.viewer.layers if layer.name.startswith(name))

    def has(self, name):
        return any(layer.name.startswith(name) for layer in self.viewer.layers)

    def paint(self, y, x, value, size=11):
        """Paint a round spot with napari's brush, image coordinates."""
        layer = self.layer("Ditto touch-up")
        layer.brush_size = size
        at = layer.world_to_data((y * 0.5 + 3, x * 0.5 + 7))
        layer.paint([round(float(v)) for v in at], value)

    @property
    def store(self):
        source = self.controller._proposing.setup().source
        return self.controller._scene.label_store(self.session.target, source, self.session.images)

    @property
    def labels(self):
        return np.asarray(self.store.data[:600, :600])

    @property
    def hand(self):
        return self.layer("Ditto touch-up")


@pytest.fixture
def no_thread_left():
    yield
    assert not [t for t in threading.enumerate() if t.name == "ditto"]


@pytest.fixture(params=[LARGE, SMALL], ids=["large", "small"])
def bench(request, no_thread_left, make_napari_viewer_proxy, qtbot):
    return Bench(make_napari_viewer_proxy(), qtbot, request.param)


@pytest.fixture
def small(no_thread_left, viewer_model, qtbot):
    return Bench(viewer_model, qtbot, SMALL)


@pytest.fixture
def large(no_thread_left, viewer_model, qtbot):
    return Bench(viewer_model, qtbot, LARGE)


def test_a_proposal_is_touched_up_before_it_is_accepted(bench):
    bench.click(*DISCS[1])
    bench.act("touch_up")
    assert bench.session.touching
    assert bench.viewer.layers.selection.active == bench.hand
    assert str(bench.hand.mode) == "paint"
    assert not bench.layer("Ditto preview").visible
    bench.paint(200, 340, 1)  # a bump beyond the rim
    bench.paint(200, 300, 0)  # a hole
    bench.act("accept")
    labels = bench.labels
    assert (labels[200, 340], labels[200, 300], labels[190, 300]) == (1, 0, 1)
    assert not bench.session.touching
    assert not bench.hand.visible
    assert not bench.session.has_object
    record = table_of(bench.layer("Ditto labels")).record(1)
    assert record.by_hand
    assert record.model.startswith("blob")
    bench.act("undo")
    assert not bench.labels.any()
    bench.act("redo")
    assert bench.labels[200, 340] == 1


def test_an_accepted_label_is_taken_up_changed_and_undone(bench):
    bench.label(1)
    bench.label(2)
    before = bench.labels
    bench.point_at(280, 420)
    bench.act("touch_up")
    target = next(x for x in bench.viewer.layers if str(x.unique_id) == bench.session.target)
    assert bench.session.fixing.label == 2
    assert target.opacity < 0.3  # faded, so that what is rubbed out can be told
    bench.paint(280, 455, 7)  # whatever label the brush has
    bench.paint(280, 420, 0)
    np.testing.assert_array_equal(bench.labels, before)  # nothing is written before it is accepted
    bench.act("accept")
    assert target.opacity == pytest.approx(0.7)
    after = bench.labels
    assert (after[280, 455], after[280, 420]) == (2, 0)
    np.testing.assert_array_equal(after == 1, before == 1)
    assert set(np.unique(after)) == {0, 1, 2}
    bench.act("undo")
    np.testing.assert_array_equal(bench.labels, before)


def test_escape_puts_a_label_back(small):
    small.label(1)
    before, active = small.labels, small.viewer.layers.selection.active
    small.point_at(*DISCS[1])
    small.act("touch_up")
    small.paint(200, 300, 0, size=40)
    keys = KeymapHandler()
    keys.keymap_providers = [small.hand]
    keys.press_key("Escape")
    small.settled()
    assert not small.session.touching
    assert small.session.fixing is None
    assert not small.hand.visible
    assert small.viewer.layers.selection.active == active
    np.testing.assert_array_equal(small.labels, before)


def test_pressing_again_shows_the_proposal_again(small):
    small.click(*DISCS[1])
    small.act("touch_up")
    small.paint(200, 300, 0, size=40)
    small.act("touch_up")
    assert small.layer("Ditto preview").visible
    small.act("accept")
    np.testing.assert_array_equal(
        small.labels == 1, disc(1, (600, 600))[: small.labels.shape[0], : small.labels.shape[1]]
    )


def test_a_label_that_is_rubbed_out_is_gone(large):
    large.label(1)
    large.point_at(*DISCS[1])
    large.act("touch_up")
    large.hand.data = np.zeros_like(large.hand.data)
    large.act("accept")
    assert not large.labels.any()
    assert not large.store.levels[-1][...].any()


def test_on_a_large_plane_little_is_held_and_one_layer_serves_all(large):
    large.label(1)
    large.label(3)
    assert isinstance(large.store, PyramidLabels)
    target = large.layer("Ditto labels")
    assert target.multiscale
    assert not target.editable
    large.viewer.scene.camera.zoom = 8
    hands = []
    for label, number in ((1, 1), (2, 3)):
        y, x = DISCS[number]
        large.point_at(y, x)
        large.viewer.scene.camera.center = (y * 0.5, x * 0.5)
        large.act("touch_up")
        hands.append(large.hand)
        assert large.hand.data.size <= 1 << 24
        large.paint(y, x + RADIUS, 1)
        large.act("accept")
        assert large.store.data[y, x + RADIUS + 4] == label
    assert hands[0] is hands[1]
    assert sum(layer.name == "Ditto touch-up" for layer in large.viewer.layers) == 1
    assert large.store.levels[1][y // 2, (x + RADIUS + 4) // 2] == 2


def test_nothing_under_the_cursor_is_one_line(small):
    small.label(1)
    small.point_at(20, 20)
    small.layer("Ditto labels").selected_label = 77
    small.act("touch_up")
    assert "no label under the cursor" in small.session.error
    assert not small.session.touching


def test_what_is_in_hand_is_no_target_and_no_prompt(small):
    small.click(*DISCS[1])
    small.act("touch_up")
    small.controller._on_layers_changed()
    names = [c.text for c in (*small.session.target_choices, *small.session.prompt_choices)]
    assert "Ditto touch-up" not in names
    assert small.dock.buttons["accept"].isEnabled()
    assert small.dock.buttons["touch_up"].text() == "Leave as it was (Shift+T)"


def test_a_new_click_gives_way_to_the_model(small):
    small.click(*DISCS[1])
    small.act("touch_up")
    small.click(*DISCS[2])
    assert not small.session.touching
    assert small.layer("Ditto preview").visible


def test_keys_work_while_painting(small):
    small.click(*DISCS[1])
    small.act("touch_up")
    keys = KeymapHandler()
    keys.keymap_providers = [small.hand]
    keys.press_key(native(ACTIONS["accept"].keys[0]))
    small.settled()
    assert small.labels[DISCS[1]] == 1


def test_a_layer_that_the_user_deletes_is_let_go(small):
    small.click(*DISCS[1])
    small.act("touch_up")
    small.viewer.layers.remove(small.hand)
    small.act("accept")
    assert small.labels[DISCS[1]] == 1
    small.click(*DISCS[2])
    small.act("touch_up")
    assert small.hand.visible
