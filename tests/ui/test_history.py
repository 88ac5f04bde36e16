"""The one line of steps: order, budget, layers that go, and layers that Undo takes out itself."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.ui.history import STEP_BYTES, History, LabelEdit, PromptEdit, ValueEdit
from napari_ditto.ui.prompt_state import ARRAY_BYTES, LayerState

PLANE = PlaneAddress()


def prompts(n=0):
    return PromptEdit({}, {"a": LayerState((np.full(n, 1.0),))})


def value(name, **about):
    return ValueEdit(name, lambda: None, lambda: None, **about)


def labels(target, also=()):
    store = ArrayLabels(np.zeros((8, 8), np.uint8), "yx")
    delta = store.write(PLANE, Box(0, 0, 2, 2), np.ones((2, 2), bool), 1)
    return LabelEdit(target, store, (delta,), prompts(), also)


def test_it_is_a_line():
    history = History()
    first, second = prompts(1), prompts(2)
    history.add(first)
    history.add(second)
    assert history.take_undo() is second
    history.put_undone(second)
    assert history.redo_text == "prompt"
    history.add(prompts(3))
    assert history.redo_text == ""


@given(st.lists(st.sampled_from(["add", "undo", "redo"]), max_size=60), st.integers(1, 20))
def test_budget_and_order_hold(acts, room):
    history = History(max_bytes=room * STEP_BYTES)
    done, undone, dropped = deque(), [], 0
    for number, act in enumerate(acts):
        if act == "add":
            history.add(value(str(number)))
            done.append(str(number))
            undone.clear()
        elif act == "undo":
            edit = history.take_undo()
            assert (edit.text if edit else None) == (done.pop() if done else None)
            if edit:
                history.put_undone(edit)
                undone.append(edit.text)
        else:
            edit = history.take_redo()
            assert (edit.text if edit else None) == (undone.pop() if undone else None)
            if edit:
                history.put_done(edit)
                done.append(edit.text)
        while len(done) > max(1, room):
            done.popleft()
            dropped += 1
        assert history.dropped == dropped
        assert history.undo_text == (done[-1] if done else "")


def test_a_large_step_takes_the_place_of_many():
    history = History(max_bytes=10_000)
    for n in range(5):
        history.add(prompts(n))
    assert history.dropped == 0
    history.add(prompts(5_000))
    assert history.dropped == 5
    assert history.take_undo() is not None
    assert history.take_undo() is None


def test_a_step_that_still_grows_is_measured_again():
    deltas = list(labels("a").deltas)
    edit = labels("a")
    growing = LabelEdit("a", edit.store, deltas, prompts())
    history = History(max_bytes=3 * STEP_BYTES)
    history.add(growing)
    deltas *= 1_000
    history.add(prompts())
    assert history.dropped == 1


def test_small_arrays_are_counted_with_what_they_take():
    assert prompts(1).nbytes == 8 + ARRAY_BYTES


def test_it_forgets_a_layer_that_is_gone():
    history = History()
    history.add(prompts())
    history.add(labels("gone"))
    history.add(value("class", targets=frozenset({"gone"})))
    history.add(labels("here", also=(value("class of 1", targets=frozenset({"gone"})),)))
    history.forget_gone({"a", "here"}.__contains__)
    assert history.undo_text == "prompt"


def test_what_was_written_to_a_layer_waits_while_undo_keeps_it_out():
    history = History()
    history.add(value("run", creates="run"))
    history.add(labels("run"))
    for _ in range(2):
        history.put_undone(history.take_undo())
    history.forget_gone(set().__contains__)
    assert history.redo_text == "run"
    history.put_done(history.take_redo())
    assert history.redo_text == "label 1"


def test_a_layer_that_the_user_deletes_takes_its_making_along():
    history = History()
    history.add(value("run", creates="run"))
    history.forget_gone(set().__contains__)
    assert history.undo_text == ""


def test_prompts_of_a_layer_that_is_gone_are_no_step():
    history = History()
    one, other = LayerState((np.zeros(1),)), LayerState((np.ones(1),))
    history.add(PromptEdit({"a": one, "b": one}, {"a": other, "b": one}))
    history.add(PromptEdit({"a": other, "b": one}, {"a": one, "b": other}))
    history.forget_gone({"b"}.__contains__)
    assert len(history) == 1
    assert history.take_undo().after["b"] == other
