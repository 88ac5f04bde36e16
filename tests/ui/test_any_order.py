"""Anything the user does, in any order: every step is undone and redone bit for bit.

A real viewer model and real layers without a window; what waits for Qt's event loop waits in a
queue that is emptied after each operation.
"""

from __future__ import annotations

import os
import sys
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

pytest.importorskip("qtpy.QtCore", reason="no Qt binding", exc_type=Exception)

from napari.components import ViewerModel

from napari_ditto.data.object_records import ObjectClass
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui import bridge, parts, scene
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.prompt_state import capture
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

# 200 runs of 50 operations are 10,000.
RUNS, STEPS = (200, 50) if os.environ.get("DITTO_STRESS") else (6, 25)

SHAPE = (2, 96, 96)
places = st.tuples(*(st.integers(0, size - 1) for size in SHAPE))


class Later:
    """Stands in for a timer of the event loop."""

    waiting: ClassVar[list[Later]] = []

    def __init__(self, call, milliseconds=0, parent=None):
        self.call = call

    def __call__(self, *_):
        if self not in self.waiting:
            self.waiting.append(self)

    ask = __call__

    def stop(self):
        if self in self.waiting:
            self.waiting.remove(self)

    @classmethod
    def settle(cls):
        for _ in range(1000):
            if not cls.waiting:
                return
            cls.waiting.pop(0).call()
        raise AssertionError("the parts of the dock keep calling each other")


def image():
    out = np.zeros(SHAPE, dtype=np.uint8)
    for z, y, x, size in ((0, 10, 10, 24), (0, 40, 50, 30), (1, 12, 12, 30), (1, 60, 8, 20)):
        out[z, y : y + size, x : x + size] = 255
    return out


class AnyOrder(RuleBasedStateMachine):
    """The trail holds what the layers showed at each length of the history."""

    @initialize()
    def open(self):
        Later.waiting.clear()
        self.viewer = ViewerModel()
        self.viewer.add_image(image(), name="cells", axis_labels=("z", "y", "x"))
        self.scene = scene.ViewerScene(self.viewer)
        model = BlobModel()
        workshop = Workshop(lambda: None, load_model=lambda name, device: model)
        self.controller = Controller(self.scene, InlineRunner(), workshop=workshop)
        self.controller.confirm = lambda question: True
        self.history = self.controller._labelling._history
        self.trail, self.ahead = [{}], []
        self.act("new_points")

    # --- what is checked --------------------------------------------------------------------------

    def shown(self):
        """Return what every layer holds, but for layers that hold nothing."""
        found = {}
        for layer in self.viewer.layers:
            kind = type(layer).__name__
            if kind == "Labels" and not self.scene._is_own(layer) and np.any(layer.data):
                key = str(layer.unique_id)
                found[key] = np.asarray(layer.data).tobytes()
                records = self.controller._labelling.tables.of(key).records
                found[key, "records"] = dict(records)
            elif kind in ("Points", "Shapes") and len(layer.data):
                found[str(layer.unique_id)] = capture(layer)
        return found

    def settled(self):
        Later.settle()
        session = self.controller.session
        assert "unexpected" not in session.error, session.error
        assert not session.working
        assert len(self.history) + 1 >= 1

    def forward(self):
        """Check that whatever was changed is a step of the history."""
        self.settled()
        now, steps = self.shown(), len(self.history)
        if steps == len(self.trail) - 1:
            assert now == self.trail[-1], "something was changed that cannot be undone"
            return
        assert steps > len(self.trail) - 1
        self.ahead.clear()
        self.trail += [None] * (steps - len(self.trail)) + [now]

    def act(self, action):
        self.controller.act(action)
        self.forward()

    def layer(self, kind):
        """Return the topmost layer of a kind that is the user's, None if there is none."""
        layers = (x for x in reversed(self.viewer.layers) if type(x).__name__ == kind)
        return next((x for x in layers if not self.scene._is_own(x)), None)

    # --- what the user does -----------------------------------------------------------------------

    @rule(at=places)
    def click(self, at):
        points = self.layer("Points")
        if points is not None:
            self.viewer.dims.set_current_step(0, at[0])
            points.add(np.array(at, dtype=float))
            self.forward()

    @rule(at=places, size=st.integers(4, 40))
    def box(self, at, size):
        self.act("new_boxes")
        z, y, x = at
        self.viewer.dims.set_current_step(0, z)
        corners = [(z, y, x), (z, y, x + size), (z, y + size, x + size), (z, y + size, x)]
        self.layer("Shapes").add_rectangles(np.array(corners, dtype=float))
        self.forward()

    @rule(which=st.integers(0, 9))
    def remove_a_point(self, which):
        points = self.layer("Points")
        if points is not None and len(points.data):
            points.selected_data = {which % len(points.data)}
            points.remove_selected()
            self.forward()

    @rule(z=st.integers(0, 1))
    def other_plane(self, z):
        self.viewer.dims.set_current_step(0, z)
        self.forward()

    @rule(
        action=st.sampled_from(
            [
                *("accept",) * 4,
                *("next_proposal", "toggle_sign", "clear", "new_points", "touch_up", "cancel"),
                *("segment_all", "swap_model", "add_example", "draw_example", "like"),
                *("batch", "next_class", "next_doubt", "merge_objects", "delete_objects"),
                *("split_object", "split_planes", "renumber_objects"),
            ]
        )
    )
    def press(self, action):
        self.act(action)

    @rule(at=places, action=st.sampled_from(["", "merge_objects", "delete_objects", "touch_up"]))
    def pick(self, at, action):
        for place in (at, (at[0], at[2], at[1])):
            self.viewer.dims.set_current_step(0, place[0])
            self.viewer.cursor.position = place
            self.act("pick_object")
        if action:
            self.act(action)

    @rule(at=places, to=places)
    def split(self, at, to):
        """Draw a line over what lies between two places of a plane."""
        labels = self.layer("Labels")
        if labels is None:
            return
        self.viewer.dims.set_current_step(0, at[0])
        self.act("new_boxes")
        ends = np.array([at, (at[0], *to[1:])], dtype=float)
        self.layer("Shapes").add_lines(ends[None])
        self.forward()
        self.act("split_object")

    @rule(id=st.integers(1, 4), kind=st.integers(0, 2))
    def classify(self, id, kind):
        classes = (ObjectClass(1, "cell", "#ff0000"), ObjectClass(2, "debris", "#00ff00"))
        self.controller.choose("objects.classes", classes)
        self.forward()
        self.controller.choose("objects.class_of", ((id,), kind))
        self.forward()

    @rule(per_layer=st.booleans(), by_class=st.booleans())
    def choose_layers(self, per_layer, by_class):
        self.controller.choose("objects.per_layer", per_layer)
        self.controller.choose("objects.by_class", by_class)
        self.forward()

    @rule(policy=st.sampled_from(["keep", "replace"]))
    def choose_overlap(self, policy):
        self.controller.choose("overlap", policy)
        self.forward()

    @rule()
    def to_a_new_layer(self):
        self.controller.choose("target", "")
        self.forward()

    @rule(at=places)
    def touch_up(self, at):
        overlay = self.scene._overlay.layer
        if self.controller.session.touching and overlay is not None:
            corner = [min(c, size - 1) for c, size in zip(at, overlay.data.shape, strict=True)]
            overlay.paint(corner, 1)
            self.forward()
            self.act("accept")

    @rule(at=places, label=st.integers(0, 3))
    def stroke(self, at, label):
        labels = self.layer("Labels")
        key = str(labels.unique_id) if labels is not None else ""
        if key in self.scene.journal_layers._strokes:
            labels.paint(list(at), label)
            self.forward()

    @rule(at=places)
    def accept_keeps_others(self, at):
        """Click and accept: with "keep" no pixel of another object changes."""
        self.controller.choose("overlap", "keep")
        self.click(at)
        before = self.labels()
        self.act("accept")
        for key, data in self.labels().items():
            old = before.get(key, np.zeros_like(data))
            assert self.controller.session.fixing or (data[old != 0] == old[old != 0]).all()

    def labels(self):
        layers = (x for x in self.viewer.layers if type(x).__name__ == "Labels")
        own = self.scene._is_own
        return {str(x.unique_id): np.array(x.data) for x in layers if not own(x)}

    # --- back and forth ---------------------------------------------------------------------------

    @rule()
    def undo(self):
        steps = len(self.history)
        self.controller.act("undo")
        self.settled()
        assert len(self.history) == max(0, steps - 1)
        if steps:
            self.ahead.append(self.trail.pop())
        self.same()

    @rule()
    def redo(self):
        steps = len(self.history)
        self.controller.act("redo")
        self.settled()
        assert len(self.history) == steps + bool(self.ahead)
        if self.ahead:
            self.trail.append(self.ahead.pop())
        self.same()

    def same(self):
        if self.trail[-1] is None:
            self.trail[-1] = self.shown()
        assert self.shown() == self.trail[-1]

    @precondition(lambda self: not self.controller.session.touching)
    @rule(which=st.integers(0, 20))
    def delete_a_layer(self, which):
        layers = [x for x in self.viewer.layers if type(x).__name__ != "Image"]
        if not layers:
            return
        del self.viewer.layers[self.viewer.layers.index(layers[which % len(layers)])]
        self.settled()
        # Steps about the layer are forgotten, and what they led to is known no more.
        self.trail = [None] * len(self.history) + [self.shown()]
        self.ahead = [None] * len(self.history._undone)

    def teardown(self):
        if not hasattr(self, "history"):
            return
        while len(self.history):
            self.controller.act("undo")
            self.settled()
        assert self.shown() == {}
        self.controller.close()


@pytest.fixture
def by_hand(monkeypatch):
    for name, module in list(sys.modules.items()):
        if name.startswith("napari_ditto.ui") and hasattr(module, "Debounce"):
            monkeypatch.setattr(module, "Debounce", Later)
    monkeypatch.setattr(bridge, "Debounce", Later)
    monkeypatch.setattr(parts, "Runner", lambda post: InlineRunner())


@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("by_hand")
def test_any_order():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # To make a failure shorter takes longer than to read it.
            phases=[Phase.generate],
        ),
    )


@pytest.mark.usefixtures("by_hand")
def test_two_viewers_share_nothing():
    one, other = AnyOrder.__new__(AnyOrder), AnyOrder.__new__(AnyOrder)
    for state in (one, other):
        state.open()
    session = other.controller.session
    before = {name: getattr(session, name) for name in session.__dataclass_fields__}
    for at in ((0, 20, 20), (1, 20, 20)):
        one.accept_keeps_others(at)
        one.classify(1, 2)
        one.pick(at, "delete_objects")
        one.press("batch")
        one.choose_layers(per_layer=True, by_class=True)
    one.press("touch_up")
    assert {name: getattr(session, name) for name in before} == before
    assert other.shown() == {}
    assert len(other.history) == 0
    other.accept_keeps_others((0, 20, 20))
    assert len(other.labels()) == 1
    for state in (one, other):
        state.teardown()
