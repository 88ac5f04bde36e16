"""The dock of examples: a state is drawn, and what the user does is told; nothing is decided."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.propagation import Doubt
from napari_ditto.ui.dockstate import Button, resolve
from napari_ditto.ui.examples.session import ExamplesSession, Mark
from napari_ditto.ui.examples.state import ExamplesState, RowState, resolve_examples
from napari_ditto.ui.session import Choice, Session
from napari_ditto.ui.widgets.confidence_curve import ConfidenceCurve

pytestmark = pytest.mark.gui

EMPTY = resolve_examples(Session(), ExamplesSession())


def row(key="0", **changes):
    picture = np.zeros((64, 64, 3), np.uint8)
    return replace(RowState(key, "nuclei, z 3", "1 object", True, False, True, picture), **changes)


def doubt(z, label=1, confidence=0.2):
    return Doubt(PlaneAddress("y", "x", (("z", z),)), label, confidence, ("low score 0.20",))


@pytest.fixture
def dock(qtbot):
    from napari_ditto.ui.widgets.examples_dock import ExamplesWidget

    dock = ExamplesWidget()
    qtbot.addWidget(dock)
    dock.told = []
    dock.acted.connect(dock.told.append)
    dock.chose.connect(lambda field, value: dock.told.append((field, value)))
    dock.resize(340, 900)
    dock.show()
    show(dock, EMPTY)
    return dock


def show(dock, state):
    dock.show_state(resolve(Session()))
    dock.show_examples(state)
    dock.draw()


def enabled(state):
    return replace(state, buttons={name: Button() for name in state.buttons})


def press(qtbot, widget):
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def test_empty_dock_says_what_to_do(dock):
    assert dock.list.empty.isVisible()
    assert "Label one object" in dock.list.empty.text()
    assert not dock.buttons["add_example"].isEnabled()
    assert dock.buttons["add_example"].toolTip() == "Open an image first"
    assert not dock.offer.isVisible()


def test_rows_are_drawn_kept_and_removed(dock, qtbot):
    show(dock, replace(EMPTY, rows=(row("0"), row("1", enabled=False, note="2 objects"))))
    first = dock.list.rows["0"]
    assert first.tick.isChecked()
    assert not dock.list.rows["1"].tick.isChecked()
    assert dock.list.rows["1"].note.whole == "2 objects"
    assert first.picture.pixmap().width() == 40
    show(dock, replace(EMPTY, rows=(row("0", changed="edited"),)))
    assert dock.list.rows == {"0": first}
    assert first.update_button.isVisibleTo(first)
    qtbot.waitUntil(first.isVisible, timeout=2000)
    press(qtbot, first.update_button)
    press(qtbot, first.remove)
    press(qtbot, first.tick)
    first.negative.trigger()
    assert dock.told == [
        ("renew_example", "0"),
        ("remove_example", "0"),
        ("example", ("0", "enabled", False)),
        ("example", ("0", "negative", True)),
    ]


def test_every_button_acts(dock, qtbot):
    show(dock, enabled(replace(EMPTY, axis="t", planes=3, kind="cells")))
    buttons = {
        **dock.buttons, "like": dock.like.run, "tune": dock.like.tune, "follow": dock.follow.run,
        "export_tracks": dock.follow.export, **dock.review.buttons,
    }  # fmt: skip
    assert set(buttons) == set(EMPTY.buttons)
    for button in buttons.values():
        button.click()
    assert dock.told == list(buttons)


def test_offer_of_a_drawing(dock, qtbot):
    show(dock, replace(EMPTY, sharpened="2 objects outlined"))
    assert dock.offer.isVisible()
    press(qtbot, dock.offer.use)
    press(qtbot, dock.offer.discard)
    assert dock.told == [("use_drawing", True), ("use_drawing", False)]


def test_kinds(dock):
    dock.classes.click()
    dock.one_kind.click()
    assert dock.told == [("one_kind", False), ("one_kind", True)]


def test_slider_is_there_with_a_result_and_tells_the_newest_value(dock, qtbot):
    assert not dock.like.slider.isVisible()
    show(dock, replace(EMPTY, has_result=True, threshold=0.5, found="3 objects"))
    assert dock.like.slider.isVisible()
    assert dock.like.found.text() == "3 objects"
    assert dock.told == []
    for value in (60, 70, 80):
        dock.like.slider.setValue(value)
    qtbot.waitUntil(lambda: bool(dock.told), timeout=2000)
    assert dock.told == [("threshold", 0.8)]


def test_other_images(dock):
    choices = (Choice("a", "one"), Choice("b", "two"))
    show(dock, replace(EMPTY, where="images", images=choices))
    assert dock.like.images.isVisible()
    dock.like.images.item(1).setCheckState(Qt.CheckState.Checked)
    assert dock.told == [("other_images", ("b",))]
    show(dock, replace(EMPTY, where="plane", images=choices))
    assert not dock.like.images.isVisible()


def test_follow_without_an_axis_is_one_line(dock):
    dock.tabs.setCurrentWidget(dock.follow)
    assert dock.follow.nothing.isVisible()
    assert not dock.follow.axis.isVisible()
    axes = (Choice("z", "z"), Choice("t", "t"))
    show(dock, replace(EMPTY, axis_choices=axes, axis="z", planes=10, first=2, last=7))
    assert not dock.follow.nothing.isVisible()
    assert (dock.follow.first.value(), dock.follow.last.value()) == (2, 7)
    assert dock.told == []
    dock.follow.last.setValue(5)
    assert dock.told == [("last", 5)]


def test_review_table(dock, qtbot):
    dock.tabs.setCurrentWidget(dock.review)
    doubts = ((doubt(7), "z 7"), (doubt(3, 0, 0.4), "z 3"))
    show(dock, enabled(replace(EMPTY, doubts=doubts, doubt=1, review="2 doubtful")))
    assert dock.tabs.tabText(2) == "Review (2)"
    model = dock.review.model
    cells = [[model.index(r, c).data() for c in range(4)] for r in range(2)]
    assert cells == [
        ["z 7", "1", "0.20", "low score 0.20"],
        ["z 3", "all", "0.40", "low score 0.20"],
    ]
    assert dock.review.table.selectionModel().currentIndex().row() == 1
    assert dock.told == []
    spot = dock.review.table.visualRect(model.index(0, 0)).center()
    qtbot.mouseClick(dock.review.table.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert dock.told == [("doubt", 0)]


# --- the curve ------------------------------------------------------------------------------------


@pytest.fixture
def curve(qtbot):
    curve = ConfidenceCurve()
    qtbot.addWidget(curve)
    curve.resize(214, 72)
    curve.show()
    curve.picked_positions = []
    curve.picked.connect(curve.picked_positions.append)
    marks = [Mark((n,), 0.9) for n in range(11)]
    marks[5] = Mark((5,), 1.0, anchor=True)
    marks[8] = Mark((8,), 0.1, doubtful=True)
    marks[10] = Mark((10,), None)
    curve.show_marks(marks, (5,))
    return curve


def test_a_click_goes_to_the_nearest_plane(curve, qtbot):
    qtbot.mouseClick(curve, Qt.MouseButton.LeftButton, pos=QPoint(7 + 20 * 8 + 3, 40))
    assert curve.picked_positions == [(8,)]


def test_arrows_home_and_end(curve, qtbot):
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Home, Qt.Key.Key_End):
        qtbot.keyClick(curve, key)
    assert curve.picked_positions == [(6,), (4,), (0,), (10,)]


def test_it_is_drawn_in_the_colours_of_the_theme(curve, qtbot):
    for ink, paper in (("white", "#23242b"), ("#1e1e21", "#ebe7e6")):
        curve.setStyleSheet(f"color: {ink}; background-color: {paper};")
        picture = curve.grab().toImage()
        seen = {
            picture.pixelColor(x, y).name()
            for x in range(picture.width())
            for y in range(picture.height())
        }
        assert "#d55e00" in seen, "the doubtful plane"
        assert "#0072b2" in seen, "the anchor"
        assert len(seen) > 5


def test_an_empty_curve_can_be_drawn_and_clicked(qtbot):
    curve = ConfidenceCurve()
    qtbot.addWidget(curve)
    curve.show()
    curve.show_marks((), None)
    curve.grab()
    qtbot.mouseClick(curve, Qt.MouseButton.LeftButton)
    qtbot.keyClick(curve, Qt.Key.Key_Right)


# --- the state ------------------------------------------------------------------------------------


def test_buttons_give_reasons():
    session, examples = Session(), ExamplesSession()
    assert resolve_examples(session, examples).buttons["like"].why == "Open an image first"
    session.images = ("im",)
    assert "Label an object first" in resolve_examples(session, examples).buttons["like"].why
    session.target_choices = (Choice("lab", "lab"),)
    assert "2-D" in resolve_examples(session, examples).buttons["like"].why
    session.address = PlaneAddress()
    state = resolve_examples(session, examples)
    assert state.buttons["like"].enabled
    assert "only one plane" in state.buttons["follow"].why
    session.working = "looking"
    state = resolve_examples(session, examples)
    assert "Wait" in state.buttons["like"].why
    assert isinstance(state, ExamplesState)


def test_similarity_is_told_where_there_is_something_to_compare():
    from napari_ditto.data.plane_example import PlaneExample
    from napari_ditto.data.source import open_source
    from napari_ditto.ui.examples.session import Row

    source = open_source(np.zeros((8, 8), np.uint8))
    example = PlaneExample(source, source.plane(), np.ones((8, 8), np.uint8), name="a")
    one = Row("0", example, "", "", source.plane(), 1, similarity=0.5)
    alone = resolve_examples(Session(), ExamplesSession(rows=(one,)))
    assert alone.rows[0].note == "1 object"
    both = resolve_examples(Session(), ExamplesSession(rows=(one, replace(one, key="1"))))
    assert both.rows[1].note == "1 object · alike 50%"
