"""Sessions and series on real layers without a window: saved, closed, opened, replayed."""

from __future__ import annotations

from unittest.mock import create_autospec

import numpy as np
import psygnal
import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.data.session_folder import read_session
from napari_ditto.engine.replay import Replay
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.controller import Controller
from napari_ditto.ui.project.state import resolve
from napari_ditto.ui.views import DockView
from napari_ditto.ui.workshop import Workshop
from tests.ui.inline import InlineRunner

pytestmark = [pytest.mark.gui, pytest.mark.once]

SPOTS = [(20, 20), (22, 60), (60, 25)]


class Window:
    """A viewer with a controller, and short words for what a user does."""

    def __init__(self, qtbot):
        from napari.components import ViewerModel

        from napari_ditto.ui.scene import ViewerScene

        self.qtbot, self.viewer, self.model = qtbot, ViewerModel(), BlobModel()
        self.view = create_autospec(DockView, instance=True, spec_set=False)
        self.view.acted, self.view.chose = psygnal.Signal(str), psygnal.Signal(str, object)
        self.view.acted = psygnal.SignalInstance((str,))
        self.view.chose = psygnal.SignalInstance((str, object))
        workshop = Workshop(lambda: None, load_model=lambda name, device: self.model)
        self.runner = InlineRunner()
        self.controller = Controller(ViewerScene(self.viewer), self.runner, workshop=workshop)
        self.controller.attach(self.view)
        self.session = self.controller.session
        self.part = next(p for p in self.controller.parts if p.name == "project")

    @property
    def camera(self):
        return self.viewer.scene.camera

    def calm(self):
        self.qtbot.wait(30)

    def open_image(self, image, **options):
        self.viewer.add_image(image, **options)
        self.calm()

    def click(self, *spots, accept=True):
        if not self.layers("Ditto points"):
            self.controller.act("new_points")
        (points,) = self.layers("Ditto points")
        points.add(np.array(spots, float))
        self.calm()
        if accept:
            self.controller.act("accept")
            self.calm()

    def layers(self, name):
        return [layer for layer in self.viewer.layers if layer.name.startswith(name)]

    def labels(self):
        return self.layers("Ditto labels")[0].data

    def act(self, *actions):
        for action in actions:
            self.controller.act(action)
            self.calm()

    def choose(self, field, value):
        self.controller.choose(f"project.{field}", str(value) if field != "series" else value)
        self.calm()

    def replay(self, path):
        return drain(Replay(path, load_model=lambda *_: BlobModel()).steps())

    def close(self):
        self.controller.close()


@pytest.fixture
def window(qtbot, monkeypatch):
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)
    made = []

    def make():
        made.append(Window(qtbot))
        return made[-1]

    yield make
    for one in made:
        one.close()


def discs(seed=0, shape=(96, 96)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    image = np.full(shape, 20, np.uint8)
    for cy, cx in [*SPOTS, (64, 70)]:
        image[(y - cy) ** 2 + (x - cx) ** 2 <= 100] = 200
    return image + np.random.default_rng(seed).integers(0, 9, shape, dtype=np.uint8)


def test_a_session_comes_back_bit_for_bit(window, tmp_path):
    path = tmp_path / "work.ditto-session"
    one = window()
    place = {"scale": (0.1, 0.3), "translate": (3, 1 / 3)}
    one.open_image(discs(), name="discs", colormap="viridis", **place)
    one.click(SPOTS[0])
    one.click(SPOTS[1])
    one.act("undo")  # gives the label's prompt back
    one.click((1 / 3, 90.1), accept=False)
    one.controller.choose("overlap", "replace")
    one.controller.choose("refine.smooth", 1.5)
    one.controller.choose("where", "view")
    one.camera.zoom = 3.25
    (points,) = one.layers("Ditto points")
    assert one.part.is_changed
    one.choose("save", path)
    assert not one.part.is_changed
    assert one.session.hint == "Saved in work.ditto-session"

    two = window()
    two.choose("open", path)
    assert two.session.error == ""
    np.testing.assert_array_equal(two.labels(), one.labels())
    assert two.labels().dtype == one.labels().dtype
    (again,) = two.layers("Ditto points")
    np.testing.assert_array_equal(again.data, points.data)
    assert list(again.features["ditto"]) == list(points.features["ditto"])
    for name in ("scale", "translate"):
        np.testing.assert_array_equal(getattr(again, name), getattr(points, name))
        old, new = one.layers("discs")[0], two.layers("discs")[0]
        np.testing.assert_array_equal(getattr(new, name), getattr(old, name))
    assert new.colormap.name == "viridis"
    assert two.session.overlap == "replace"
    assert two.controller.examples.state.where == "view"
    refine = next(part for part in two.controller.parts if part.name == "refine")
    assert refine.shown().smooth == 1.5
    assert two.camera.zoom == 3.25
    assert two.session.target == str(two.layers("Ditto labels")[0].unique_id)
    assert two.session.images == (str(new.unique_id),)
    assert two.session.prompts.points == one.session.prompts.points
    assert not two.part.is_changed
    assert two.part.shown().name == "work"


def test_undone_steps_vanish_and_replay_is_identical(window, tmp_path):
    path = tmp_path / "work.ditto-session"
    one = window()
    one.open_image(discs(), name="discs")
    one.controller.choose("refine.smooth", 1.5)
    for spot in SPOTS:
        one.click(spot)
    one.act("undo", "undo", "redo", "undo", "redo")
    one.labels()[80:84, 80:90] = 55  # napari's brush
    one.choose("save", path)
    assert [step.label for step in read_session(path).labels[0].steps] == [1, 2]
    assert read_session(path).labels[0].steps[0].refinement == {"smooth": 1.5}
    result = one.replay(path)
    assert (result.is_identical, result.steps) == (True, 2)
    np.testing.assert_array_equal(result.labels.data, one.labels())

    two = window()
    two.choose("open", path)
    two.click(SPOTS[2])
    two.choose("save", path)
    assert read_session(path).steps == 3
    assert two.replay(path).is_identical


def test_what_is_missing_is_told_and_the_rest_opened(window, tmp_path):
    from PIL import Image

    path, file = tmp_path / "work.ditto-session", tmp_path / "discs.png"
    Image.fromarray(discs()).save(file)
    one = window()
    one.viewer.open(str(file), plugin="napari")
    one.calm()
    one.click(SPOTS[0])
    one.click(SPOTS[1], accept=False)
    one.choose("save", path)
    assert not list(path.glob("image-*"))
    file.unlink()

    two = window()
    two.choose("open", path)
    assert "image 'discs' is not there: it was at" in two.session.error
    np.testing.assert_array_equal(two.labels(), one.labels())
    two.choose("save", path)  # what is missing is not forgotten
    Image.fromarray(discs()).save(file)
    assert two.replay(path).is_identical

    Image.fromarray(discs(seed=5)).save(file)
    three = window()
    three.choose("open", path)
    assert "'discs' has changed since" in three.session.error
    assert three.layers("discs")


def test_unsaved_work_is_asked_about(window, tmp_path):
    path = tmp_path / "work.ditto-session"
    one = window()
    one.open_image(discs(), name="discs")
    one.click(SPOTS[0])
    one.choose("save", path)
    one.click(SPOTS[1])
    one.view.confirm.return_value = False
    one.choose("open", path)
    assert one.labels().max() == 2
    one.view.confirm.return_value = True
    one.choose("open", path)
    assert one.labels().max() == 1
    assert len(one.layers("discs")) == len(one.layers("Ditto labels")) == 1


def test_a_session_that_is_none_changes_nothing(window, tmp_path):
    one = window()
    one.open_image(discs(), name="discs")
    one.click(SPOTS[0])
    before = [layer.name for layer in one.viewer.layers]
    (tmp_path / "x.ditto-session").mkdir()
    one.choose("open", tmp_path / "x.ditto-session")
    assert "cannot be read" in one.session.error
    assert [layer.name for layer in one.viewer.layers] == before


def test_examples_and_classes_come_back(window, tmp_path):
    from napari_ditto.data.object_records import ObjectClass

    path = tmp_path / "work.ditto-session"
    one = window()
    one.open_image(discs(), name="discs")
    one.click(SPOTS[0])
    one.controller.examples.open()
    one.act("add_example")
    labelling = one.part.sources.labelling
    table = labelling.tables.of(one.session.target)
    nucleus = ObjectClass(1, "nucleus", "#e69f00")
    labelling.tables.put(one.session.target, type(table)(table.records, (nucleus,), table.models))
    one.choose("save", path)
    two = window()
    two.choose("open", path)
    assert len(two.controller.examples.state.rows) == 1
    assert not two.part.is_changed
    again = two.part.sources.labelling.tables.of(two.session.target)
    assert again.classes == (nucleus,)
    assert again.records == table.records


@pytest.fixture
def images(tmp_path):
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(discs(number)).save(folder / f"im{number}.png")
    return folder


def test_a_series_is_walked_saved_and_replayed(window, images, tmp_path):
    path = tmp_path / "walk.ditto-session"
    one = window()
    one.choose("series", [str(images)])
    one.choose("save", path)
    one.click(SPOTS[0])
    one.click(SPOTS[1])
    one.act("next_image")
    assert [layer.name for layer in one.viewer.layers if "preview" not in layer.name] == [
        "im1", "Ditto points [im1]",
    ]  # fmt: skip
    assert one.part.shown().progress == "1 of 3 done"
    assert (images / "im0.labels.ome.zarr").is_dir()
    one.click(SPOTS[2])
    one.act("previous_image")
    assert sorted(np.unique(one.labels())) == [0, 1, 2]
    assert isinstance(one.labels(), np.ndarray)
    one.act("undo")  # of another image: nothing is taken back here
    assert one.labels().max() == 2
    one.click((64, 70))
    one.act("next_image")
    assert one.labels().max() == 1
    assert not one.part.is_changed  # going on saves the session

    two = window()
    two.choose("open", path)
    assert two.part.shown().image == "2: im1.png"
    assert two.part.shown().progress == "1 of 3 done"
    two.act("previous_image")
    assert two.labels().max() == 3
    job = Replay(path, load_model=lambda *_: BlobModel())
    outcomes = [drain(job.steps(name)) for name in job.names]
    assert sorted(one.steps for one in outcomes) == [1, 3]
    assert all(one.is_identical for one in outcomes)


def test_going_on_waits_for_what_was_accepted(window, images):
    """The label layer of the image is not there yet when the key is pressed."""
    one = window()
    one.choose("series", [str(images)])
    one.click(SPOTS[0], accept=False)
    one.runner.hold = True
    one.controller.act("accept")
    one.controller.act("next_image")
    one.controller.act("next_image")
    assert not one.layers("Ditto labels")
    one.runner.release()
    one.calm()
    assert one.part.shown().image == "2: im1.png"
    assert one.part.shown().progress == "1 of 3 done"
    one.act("previous_image")
    assert one.labels().max() == 1


def test_a_series_goes_on_over_a_file_that_is_none(window, images):
    (images / "im1.png").write_text("no picture")
    one = window()
    one.choose("series", [str(images)])
    one.click(SPOTS[0])
    one.act("next_image")
    assert "cannot read this file" in one.session.error
    assert one.part.shown().image == "2: im1.png"
    one.act("next_image")
    assert one.layers("im2")
    one.act("next_undone")
    assert one.layers("im1") == []


def test_layers_are_kept_if_their_labels_cannot_be_saved(window, images):
    one = window()
    one.choose("series", [str(images)])
    one.choose("labels_folder", images / "none")
    one.click(SPOTS[0])
    one.act("next_image")
    assert "there is no such folder" in one.session.error
    assert one.layers("im0")
    assert one.labels().max() == 1


def test_layers_can_be_a_series(window):
    one = window()
    one.open_image(discs(0), name="a")
    one.open_image(discs(1), name="b")
    one.controller.choose("project.layers", ())
    one.calm()
    one.click(SPOTS[0])
    one.act("next_image")
    assert [layer.visible for name in "ab" for layer in one.layers(name)] == [False, True]
    assert one.session.target == ""
    one.click(SPOTS[1])
    one.act("previous_image")
    assert one.session.target == str(one.layers("Ditto labels [a]")[0].unique_id)
    assert one.part.shown().progress == "1 of 2 done"


def test_the_end_of_a_series_is_told(window, images):
    one = window()
    one.act("next_image")
    assert "there is no series" in one.session.error
    one.choose("series", [str(images / "im0.png")])
    one.act("next_image")
    assert "no further image" in one.session.hint
    one.act("image_done", "end_series")
    assert one.part.shown().progress == ""


def test_without_a_viewer_the_reader_gives_the_labels(window, tmp_path, monkeypatch):
    from napari_ditto.ui.project.reader import get_reader

    path = tmp_path / "work.ditto-session"
    one = window()
    one.open_image(discs(), name="discs")
    one.click(SPOTS[0])
    one.choose("save", path)
    monkeypatch.setattr("napari.current_viewer", lambda: None)
    assert get_reader(str(tmp_path)) is None
    ((data, facts, kind),) = get_reader(str(path))(str(path))
    assert (facts["name"], kind) == ("Ditto labels [discs]", "labels")
    np.testing.assert_array_equal(data, one.labels())


def test_buttons_say_why_not():
    state = resolve("", "", False, None, False, True)
    assert state.buttons["save_session"].why == "Open an image first"
    assert state.buttons["next_image"].why == "Choose a folder of images first"
