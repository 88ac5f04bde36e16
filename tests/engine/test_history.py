"""Undo and redo: bit for bit, within a budget, and honest about what was forgotten."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.engine.history import Accepted, History
from napari_ditto.testing.strategies import boxes_in

PLANE = PlaneAddress("y", "x")


def write(history, box, label, overlap="replace"):
    mask = np.ones(box.shape, bool)
    delta = history.store.write(PLANE, box, mask, label, overlap)
    history.record(Accepted(delta, PromptSet((PointPrompt(0.0, float(label)),))))


@given(st.lists(boxes_in((20, 20)), max_size=8), st.lists(st.booleans(), max_size=30))
def test_any_walk_through_the_history_shows_that_moments_labels(boxes, moves):
    history = History(ArrayLabels(np.zeros((20, 20), np.int32), "yx"))
    states = [history.store.data.copy()]
    for label, box in enumerate(boxes, 1):
        write(history, box, label)
        states.append(history.store.data.copy())
    at = len(boxes)
    for back in moves:
        entry = history.undo() if back else history.redo()
        moved = (at > 0) if back else (at < len(boxes))
        assert (entry is not None) == moved
        at += (-1 if back else 1) * moved
        assert np.array_equal(history.store.data, states[at])
        assert len(history.done) == at
        assert len(history.undone) == len(boxes) - at


def test_prompts_come_back_with_the_labels():
    history = History(ArrayLabels(np.zeros((9, 9), np.int32), "yx"))
    write(history, Box(0, 0, 3, 3), 1)
    write(history, Box(4, 4, 8, 8), 2)
    assert history.undo().prompts.points[0].x == 2
    assert history.redo().prompts.points[0].x == 2
    history.undo()
    write(history, Box(5, 0, 8, 3), 3)
    assert history.redo() is None


def test_the_oldest_are_forgotten_and_counted():
    history = History(ArrayLabels(np.zeros((64, 64), np.int32), "yx"), budget=3000)
    for label in range(1, 6):
        write(history, Box(0, 0, 10, 10), label)
    assert history.dropped == 2
    assert len(history.done) == 3
    assert history.nbytes <= 3000
    write(history, Box(0, 0, 64, 64), 9)
    assert len(history.done) == 1
    assert history.undo()
    assert (history.store.data[:10, :10] == 5).all()
