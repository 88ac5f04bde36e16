"""The live preview without Qt and napari: what it asks, what it shows, what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import MagicMock, create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.core.refinement import Refinement
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.hover.part import Hover
from napari_ditto.ui.hover.refining import FURTHEST, NOTCH, Refining
from napari_ditto.ui.hover.stage import Pointed
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.proposing import NOTHING_LEFT, Proposing
from napari_ditto.ui.session import Session
from napari_ditto.ui.views import Scene
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

PLANE = PlaneAddress()
INSIDE, OTHER, OUTSIDE = (20.0, 20.0), (45.0, 45.0), (3.0, 3.0)
AREA = BoxPrompt(9.5, 9.5, 29.5, 29.5)


def image():
    out = np.zeros((64, 64), dtype=np.uint8)
    out[10:30, 10:30] = out[40:50, 40:55] = 255
    out[18:20, 14:16] = 0
    return out


class Stage:
    """A mouse over a canvas, and the contours that were drawn."""

    moved = psygnal.Signal()
    rested = psygnal.Signal()
    left = psygnal.Signal()
    scrolled = psygnal.Signal(int)

    def __init__(self):
        self.at, self.drawn, self.hidden, self.active = None, [], True, True
        self.prepared = self.asked_again = 0
        self.closed = False

    def pointed(self, images, layers):
        if isinstance(self.at, Exception):
            raise self.at
        return self.at

    def is_active(self, layers):
        return self.active

    def look_again(self):
        self.asked_again += 1

    def prepare(self, images):
        self.prepared += 1

    def show(self, images, mask, box, address):
        self.drawn.append((mask.copy(), box))
        self.hidden = False

    def hide(self):
        self.hidden = True

    def refresh(self):
        pass

    def close(self):
        self.closed = True

    def move(self, y, x, positive=True, before=None):
        self.at = Pointed(PLANE, y, x, positive, before)
        self.rested.emit()


class Bench:
    """A session over a fake viewer, with hover and refining as a window has them."""

    def __init__(self, model=None, on=True, how=None, picture=None):
        self.model = model or BlobModel()
        picture = image() if picture is None else picture
        self.scene = create_autospec(Scene, instance=True, spec_set=False)
        self.scene.open_source.side_effect = lambda images, window: open_source(picture)
        self.scene.address.return_value = PLANE
        self.scene.prompts.return_value = CollectedPrompts()
        self.runner = InlineRunner()
        self.session = Session(images=("im",), prompt_layers=("pts",))
        self.workshop = Workshop(lambda: EmbeddingCache(directory=None), lambda n, d: self.model)
        self.desk = Desk(self.session, self.scene, self.runner, self.workshop)
        self.proposing = Proposing(self.desk)
        self.remember, self.stage = MagicMock(), Stage()
        self.refining = Refining(self.session, self.proposing, how or Refinement(), self.remember)
        self.hover = Hover(self.desk, self.proposing, self.refining, self.stage, on, self.remember)
        self.proposing.look()
        self.proposing.prepare()

    def click(self, *points):
        said = PromptSet(tuple(PointPrompt(*p) for p in points))
        self.scene.prompts.return_value = CollectedPrompts(said)
        self.proposing.look()

    @property
    def previews(self):
        return self.scene.show_preview.call_args_list


@pytest.fixture
def bench():
    return Bench()


def shown(bench):
    """The contour as a whole plane."""
    mask, box = bench.stage.drawn[-1]
    plane = np.zeros((64, 64), bool)
    plane[box.slices] = mask
    return plane


def test_what_is_shown_is_what_the_click_gives_bit_for_bit(bench):
    bench.stage.move(20.3, 19.8)
    contour, asked = shown(bench), bench.model.decoded
    bench.click((19.6, 20.4))  # another place in the same pixel
    proposals = bench.session.proposals
    plane = np.zeros((64, 64), bool)
    plane[proposals.box.slices] = proposals.masks[proposals.best]
    assert (contour == plane).all()
    assert bench.model.decoded == asked, "the click takes over the answer"
    fresh = Bench()
    fresh.click((20.1, 20.0))
    assert (fresh.session.proposals.masks == proposals.masks).all()
    assert (fresh.session.proposals.scores == proposals.scores).all()


def test_it_adds_itself_to_what_is_said_with_the_sign_in_use(bench):
    bench.click(INSIDE)
    bench.stage.move(*OTHER)
    assert bench.model.asked[-1].points == (PointPrompt(*INSIDE), PointPrompt(*OTHER))
    assert shown(bench)[45, 45]
    assert shown(bench)[20, 20]
    bench.stage.move(*OTHER, positive=False)
    assert bench.model.asked[-1].points[-1] == PointPrompt(*OTHER, positive=False)
    assert not shown(bench)[45, 45]
    assert shown(bench)[20, 20]


def test_a_click_of_an_earlier_layer_keeps_its_place(bench):
    bench.click(INSIDE, (21.0, 21.0))
    bench.stage.move(*OTHER, before=1)
    said = bench.model.asked[-1].points
    assert said == (PointPrompt(*INSIDE), PointPrompt(*OTHER), PointPrompt(21.0, 21.0))


def test_hints_that_a_click_would_carry_are_asked_with_it():
    bench = Bench()
    bench.session.model = "ditto"
    bench.session.diameter = 15.0
    bench.proposing.additions.append(lambda address, said: replace(said, box=AREA))
    bench.proposing.look()
    bench.proposing.prepare()
    bench.stage.move(*INSIDE)
    assert (bench.model.asked[-1].diameter, bench.model.asked[-1].box) == (15.0, AREA)
    decoded = bench.model.decoded
    bench.click(INSIDE)
    assert bench.model.decoded == decoded


def test_nothing_is_written_said_or_shown_as_work(bench):
    working = []
    bench.session.events.working.connect(working.append)
    before = (bench.session.hint, bench.session.error, bench.session.prompts)
    bench.stage.move(*INSIDE)
    bench.stage.move(*OUTSIDE)
    assert working == []
    assert (bench.session.hint, bench.session.error, bench.session.prompts) == before
    assert bench.session.proposals is None
    bench.scene.show_preview.assert_not_called()


def test_trouble_is_logged_and_not_told(bench, caplog):
    bench.stage.move(*INSIDE)
    bench.model.decode = MagicMock(side_effect=ModelError("no memory"))
    with caplog.at_level("DEBUG"):
        bench.stage.move(*OTHER)
    assert bench.session.error == ""
    assert bench.stage.hidden
    assert "no memory" in caplog.text


@pytest.mark.parametrize(
    "where", [(-3.0, 5.0), (5.0, 64.0), (63.6, 5.0)], ids=["left", "right", "below"]
)
def test_out_of_the_image_is_nothing(bench, where):
    bench.stage.move(*INSIDE)
    asked = bench.model.decoded
    bench.stage.move(*where)
    assert bench.stage.hidden
    assert bench.model.decoded == asked


@pytest.mark.parametrize("at", [None, PromptError("no plane is on show")], ids=["no tool", "3-D"])
def test_without_an_armed_layer_or_a_plane_it_is_nothing(bench, at):
    bench.stage.move(*INSIDE)
    bench.stage.at = at
    bench.stage.rested.emit()
    assert bench.stage.hidden
    assert bench.session.error == ""


def test_another_plane_than_the_one_whose_prompts_are_known_is_nothing(bench):
    bench.stage.at = Pointed(PlaneAddress(fixed=(("z", 1),)), *INSIDE, True)
    bench.stage.rested.emit()
    assert bench.stage.drawn == []


def test_only_exclusions_show_nothing(bench):
    bench.stage.move(*INSIDE, positive=False)
    assert bench.stage.drawn == []


def test_a_click_on_a_click_shows_nothing(bench):
    bench.click(INSIDE)
    bench.stage.move(*INSIDE)
    assert bench.stage.drawn == []


def test_leaving_hides_and_coming_back_asks_nothing_new(bench):
    bench.stage.move(*INSIDE)
    asked = bench.model.decoded
    bench.stage.left.emit()
    assert bench.stage.hidden
    bench.stage.move(*INSIDE)
    assert not bench.stage.hidden
    assert bench.model.decoded == asked


def test_the_old_contour_stays_until_the_answer_is_there(bench):
    bench.stage.move(*INSIDE)
    bench.runner.hold = True
    bench.stage.move(*OTHER)
    assert not bench.stage.hidden, "painting the window twice would take the answer's time"
    bench.runner.release()
    assert shown(bench)[45, 45]
    assert not shown(bench)[20, 20]
    bench.stage.move(*OUTSIDE)
    assert bench.stage.hidden


def test_of_several_places_only_the_last_is_asked_and_shown(bench):
    bench.runner.hold = True
    asked = bench.model.decoded
    for column in range(41, 50):
        bench.stage.move(45.0, float(column))
    bench.runner.release()
    assert bench.model.decoded == asked + 1
    assert len(bench.stage.drawn) == 1
    assert bench.model.asked[-1].points == (PointPrompt(45.0, 49.0),)


def test_an_answer_that_comes_too_late_is_dropped(bench):
    bench.runner.hold = True
    bench.stage.move(*OTHER)
    bench.stage.left.emit()
    bench.runner.release()
    assert bench.stage.hidden


class Ready(BlobModel):
    """Has three things to prepare at each place."""

    def __init__(self):
        super().__init__()
        self.prepared = []
        self.hear = self.hear_decoding = lambda: None

    def decode_steps(self, embedding, prompts):
        yield Progress("decode")
        self.hear_decoding()
        yield Progress("decode")
        return self.decode(embedding, prompts)

    def prepare(self, embedding, prompts):
        if self.prepared.count(prompts) == 3:
            return False
        self.prepared.append(prompts)
        self.hear()
        return True


def glide(bench, y, x):
    bench.stage.at = Pointed(PLANE, y, x, True)
    bench.stage.moved.emit()


def at(y, x):
    return PromptSet((PointPrompt(y, x),))


def test_around_the_mouse_it_prepares_until_nothing_is_left():
    bench = Bench(Ready())
    bench.stage.move(*INSIDE)
    assert bench.model.prepared == [at(*INSIDE)] * 3
    glide(bench, *OTHER)
    assert bench.model.prepared == [at(*INSIDE)] * 3 + [at(*OTHER)] * 3
    assert len(bench.stage.drawn) == 1, "what is passed is not asked about"


def test_what_is_prepared_follows_the_mouse_and_ends_where_it_leaves():
    bench = Bench(Ready())
    bench.stage.move(*OTHER)
    bench.model.prepared.clear()
    course = iter([lambda: glide(bench, 21.0, 20.0), bench.stage.left.emit])
    bench.model.hear = lambda: next(course)()
    glide(bench, *INSIDE)
    assert bench.model.prepared == [at(*INSIDE), at(21.0, 20.0)]


def test_nothing_is_prepared_where_nothing_is_encoded_or_shown():
    bench = Bench(Ready())
    glide(bench, *INSIDE)
    assert bench.model.prepared == []
    bench.stage.move(*INSIDE)
    bench.hover.toggle()
    bench.model.prepared.clear()
    glide(bench, *OTHER)
    assert bench.model.prepared == []


def test_a_mouse_that_moves_on_breaks_off_the_answer_and_can_come_back():
    bench = Bench(Ready())
    bench.model.hear_decoding = lambda: glide(bench, *OTHER)
    bench.stage.move(*INSIDE)
    assert bench.model.decoded == 0
    assert bench.stage.drawn == []
    bench.model.hear_decoding = lambda: None
    glide(bench, *INSIDE)
    bench.stage.move(*INSIDE)
    assert shown(bench)[20, 20]


def test_a_mouse_that_slows_down_is_answered_before_it_rests(bench):
    glide(bench, *INSIDE)
    assert bench.stage.drawn == []
    glide(bench, INSIDE[0] + 0.3, INSIDE[1])
    assert shown(bench)[20, 20]


def test_a_real_prompt_takes_the_place_of_a_look_ahead(bench):
    bench.runner.hold = True
    bench.stage.move(*OTHER)
    ahead = bench.runner._waiting[-1]
    bench.click(INSIDE)
    assert ahead.dropped.is_set()
    assert bench.stage.hidden
    bench.runner.release()
    assert bench.session.has_object
    assert len(bench.previews) == 1


def test_while_a_job_runs_it_is_silent_and_looks_again_after_it(bench):
    bench.stage.move(*INSIDE)
    bench.runner.hold = True
    bench.desk.run("long work", lambda: iter(()), lambda _: None)
    assert bench.stage.hidden
    drawn = len(bench.stage.drawn)
    bench.stage.move(*OTHER)
    assert len(bench.stage.drawn) == drawn
    again = bench.stage.asked_again
    bench.runner.cancel()
    assert bench.stage.asked_again == again + 1


def test_while_an_object_is_painted_it_is_silent(bench):
    bench.session.touching = True
    bench.stage.move(*INSIDE)
    assert bench.stage.drawn == []


def test_switch(bench):
    bench.stage.move(*INSIDE)
    bench.hover.actions["toggle_hover"]()
    assert bench.stage.hidden
    assert not bench.hover.shown().on
    bench.remember.assert_called_once_with(live_preview=False)
    bench.stage.move(*OTHER)
    assert bench.stage.hidden
    bench.hover.choose("hover.on", True)
    bench.stage.rested.emit()
    assert shown(bench)[45, 45]


def slow(**seconds):
    model = BlobModel()
    model.spec = replace(model.spec, **seconds)
    return model


def test_a_slow_encoder_is_asked_only_where_it_has_looked():
    bench = Bench(slow(encode_seconds=15.0))
    bench.stage.move(*INSIDE)
    assert bench.model.encoded == 0
    assert bench.stage.drawn == []
    assert "after the first click" in bench.hover.shown().note
    bench.click(INSIDE)
    assert bench.model.encoded == 1
    bench.click()
    bench.stage.move(*OTHER)
    assert shown(bench)[45, 45]
    assert bench.model.encoded == 1


def long_object():
    out = np.zeros((60, 700), dtype=np.uint8)
    out[20:40, 10:690] = 255
    return out


def test_an_object_that_leaves_its_tile_is_followed_and_taken_over():
    bench = Bench(picture=long_object())
    bench.stage.move(30.0, 60.0)
    first, last = bench.stage.drawn[0][1], bench.stage.drawn[-1][1]
    assert first.x1 < 300, "the part in the tile is shown at once"
    assert (last.x0, last.x1) == (10, 690)
    decoded = bench.model.decoded
    bench.click((30.0, 60.0))
    assert bench.model.decoded == decoded
    proposals = bench.session.proposals
    assert np.flatnonzero(proposals.masks[1].any(axis=0))[-1] + proposals.box.x0 == 689


def test_a_slow_model_does_not_follow_and_the_click_finishes_the_object():
    bench = Bench(slow(encode_seconds=15.0), picture=long_object())
    bench.click((30.0, 60.0))
    bench.click()
    encoded = bench.model.encoded
    bench.stage.move(30.0, 61.0)
    assert bench.stage.drawn[-1][1].x1 < 300
    assert bench.model.encoded == encoded
    bench.click((30.0, 61.0))
    proposals = bench.session.proposals
    assert proposals.complete[proposals.best]
    assert np.flatnonzero(proposals.masks[1].any(axis=0))[-1] + proposals.box.x0 == 689


def test_a_slow_decoder_waits_to_be_asked():
    bench = Bench(slow(decode_seconds=2.0))
    bench.stage.move(*INSIDE)
    assert bench.stage.drawn == []
    assert not bench.hover.shown().on
    bench.hover.toggle()
    bench.remember.assert_not_called()
    bench.stage.rested.emit()
    assert shown(bench)[20, 20]


def test_a_model_that_is_not_loaded_is_not_loaded_for_this():
    bench = Bench()
    bench.session.model = "classic"
    bench.stage.move(*INSIDE)
    assert bench.stage.drawn == []
    assert not bench.workshop.has("classic", "auto")


def test_another_image_has_other_answers(bench):
    bench.stage.move(*INSIDE)
    bench.proposing.start_over()
    asked = bench.model.decoded
    bench.click(INSIDE)
    assert bench.model.decoded == asked + 1


def test_a_new_layer_is_prepared_for_and_closing_lets_go(bench):
    bench.hover.refresh()
    assert bench.stage.prepared == 1
    bench.hover.close()
    assert bench.stage.closed


# --- threshold and the rest ---------------------------------------------------------------------


def wide(bench):
    """A model whose logits fall off round the blob, so that thresholds matter."""
    from scipy.ndimage import distance_transform_edt

    plain = type(bench.model).decode

    def decode(embedding, prompts):
        found = plain(bench.model, embedding, prompts)
        mask = found.logits > 0
        for i, k in np.ndindex(mask.shape[:2]):
            m = mask[i, k]
            far = distance_transform_edt(m) - distance_transform_edt(~m)
            found.logits[i, k] = np.clip(far, -9, 9)
        return found

    bench.model.decode = decode
    return bench


def test_the_wheel_makes_masks_of_the_same_logits(bench):
    wide(bench)
    bench.stage.move(*OTHER)
    before, decoded = shown(bench).sum(), bench.model.decoded
    bench.stage.scrolled.emit(4)
    assert shown(bench).sum() > before
    bench.stage.scrolled.emit(-8)
    assert shown(bench).sum() < before
    assert bench.model.decoded == decoded
    assert bench.refining.shown().threshold == 4 * NOTCH


def test_the_click_takes_the_threshold_over_and_accepts_what_is_drawn(bench):
    wide(bench)
    bench.stage.move(*OTHER)
    bench.stage.scrolled.emit(5)
    contour = shown(bench)
    bench.click(OTHER)
    proposals = bench.session.proposals
    plane = np.zeros((64, 64), bool)
    plane[proposals.box.slices] = proposals.masks[bench.session.choice]
    assert (plane == contour).all()
    job = bench.workshop.accept(
        bench.proposing.setup(), None, proposals, bench.session.choice, "keep"
    )
    while True:
        try:
            next(job)
        except StopIteration as stop:
            written = stop.value
            break
    assert (np.asarray(written.store.data) > 0)[...].astype(bool).tolist() == contour.tolist()
    assert written.provenance[0]["refinement"] == {"threshold": -5 * NOTCH}


def test_the_threshold_begins_anew_with_each_object_the_rest_stays(bench):
    bench.refining.choose("refine.fill_holes", True)
    bench.refining.choose("refine.min_area", 30)
    bench.click(INSIDE)
    assert bench.session.proposals.masks[1][9, 5], "the hole is filled"
    bench.refining.turn(3)
    assert bench.refining.shown().threshold < 0
    bench.click()
    assert bench.refining.shown() == Refinement(fill_holes=True, min_area=30)
    calls = [call.kwargs for call in bench.remember.call_args_list]
    assert calls == [{"fill_holes": True}, {"min_piece_px": 30}]


def test_nothing_left_is_said_and_comes_back(bench):
    bench.click(INSIDE)
    bench.refining.choose("refine.min_area", 10_000)
    assert bench.session.hint == NOTHING_LEFT
    assert not bench.session.has_object
    bench.refining.choose("refine.min_area", 0)
    assert bench.session.has_object
    assert bench.session.hint == ""


def test_next_goes_on_from_what_the_model_gave(bench):
    bench.refining.choose("refine.fill_holes", True)
    bench.click(INSIDE)
    first = bench.session.proposals.masks[1].sum()
    bench.proposing.next()
    bench.proposing.next()
    bench.proposing.next()
    assert bench.session.choice == 1
    assert bench.session.proposals.masks[1].sum() == first == 400


def test_the_threshold_stays_within_reason(bench):
    bench.refining.turn(1000)
    assert bench.refining.shown().threshold == -FURTHEST
    bench.stage.active = False
    bench.stage.scrolled.emit(-1000)
    assert bench.refining.shown().threshold == -FURTHEST


def test_settings_that_persist_are_where_a_session_begins():
    bench = Bench(how=Refinement(smooth=2.0, pieces="largest"))
    bench.click(INSIDE)
    assert bench.session.proposals.refinement == Refinement(smooth=2.0, pieces="largest")
    for name, value in (("smooth", 1.5), ("pieces", "clicked"), ("threshold", -1.0)):
        bench.refining.choose(f"refine.{name}", value)
    assert bench.refining.shown() == Refinement(-1.0, 1.5, pieces="clicked")
