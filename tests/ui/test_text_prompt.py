"""A name typed into the dock: only where the model reads it, found as one step of undo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.core.window import Window
from napari_ditto.data.source import open_source
from napari_ditto.testing.fakes import NamingModel, paint_truth
from napari_ditto.ui.workshop import Workshop
from tests.ui.test_controller import (  # noqa: F401  # fixtures
    controller,
    last,
    runner,
    say,
    scene,
    view,
)

TRUTH = np.zeros((64, 64), np.uint8)
TRUTH[5:20, 5:20], TRUTH[30:50, 30:50], TRUTH[30:45, 5:15] = 1, 2, 3


@pytest.fixture
def model():
    return NamingModel({1: "nucleus", 2: "cell", 3: "nucleus"}, tile=64)


@pytest.fixture
def named(controller, scene):  # noqa: F811
    whole = Window((0.0,) * 3, (255.0,) * 3)
    scene.open_source.side_effect = lambda images, window: open_source(
        paint_truth(TRUTH), channel_axis=2, window=whole
    )
    controller.choose("model", "sam3:/data/sam3")
    return controller


def test_the_field_is_there_only_where_words_are_read(controller, view):  # noqa: F811
    assert last(view).text is None
    controller.choose("model", "sam3:/data/sam3")
    assert last(view).text == ""
    controller.choose("text", "nucleus")
    assert last(view).text == "nucleus"
    controller.choose("model", "ditto")
    assert last(view).text is None


def test_all_of_a_name_in_one_step_of_undo(named, scene):  # noqa: F811
    named.choose("text", "nucleus")
    named.act("segment_all")
    assert named.session.error == ""
    store = scene.add_labels.call_args.args[2]
    np.testing.assert_array_equal(store.data > 0, np.isin(TRUTH, (1, 3)))
    assert len(np.unique(store.data)) == 3
    named.act("undo")
    assert not np.asarray(store.data).any()


def test_labels_say_what_they_were_looked_for_as(named, model):
    workshop = Workshop(lambda: None, load_model=lambda name, device: model)
    setup = named._proposing.setup()
    for text, told in (("nucleus", "named nucleus"), ("", "everything")):
        found = drain(workshop.everything(setup, setup.source.plane(), 1, 0.5, text))
        written = drain(workshop.write_all(setup, None, found, "keep"))
        assert {note["prompts"] for note in written.provenance} == {told}


def test_without_a_name_it_asks_for_one(named):
    named.act("segment_all")
    assert "Type what to look for" in named.session.error


def test_a_name_that_is_not_there_says_so(named):
    named.choose("text", "mitochondrion")
    named.act("segment_all")
    assert "No object found" in named.session.hint


def test_a_click_goes_with_the_name(named, scene):  # noqa: F811
    named.choose("text", "cell")
    say(scene, PromptSet((PointPrompt(40.0, 40.0),)))
    assert named.session.prompts.text == "cell"
    assert named.session.has_object
    named.choose("text", "nucleus")
    assert named.session.prompts.text == "nucleus"
    named.choose("model", "ditto")
    assert replace(named.session.prompts, text="") == named.session.prompts


@pytest.mark.gui
def test_enter_asks_once_and_typing_is_not_disturbed(qtbot):
    from qtpy.QtCore import Qt

    from napari_ditto.ui.widgets.text_prompt import TextPrompt

    field = TextPrompt()
    qtbot.addWidget(field)
    told = []
    field.named.connect(lambda text: told.append(text))
    field.wanted.connect(lambda: told.append("!"))
    field.show_text("")
    qtbot.keyClicks(field, "nucleus")
    field.show_text("")  # the dock draws again while the user types
    assert field.text() == "nucleus"
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert told == ["nucleus", "!"]
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert told == ["nucleus", "!", "!"]
