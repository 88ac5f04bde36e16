"""The default model, `classic` one key press away, and what is loaded when."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_ditto.errors import WeightsError
from napari_ditto.models.registry import load_model
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.keymap import ACTIONS
from napari_ditto.ui.workshop import Workshop
from tests.ui.put_in import put_in

pytestmark = [pytest.mark.gui, pytest.mark.once]

MIDDLE = (48.0, 56.0)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Keep settings in our own file, which lies in a temporary folder."""
    monkeypatch.setattr("napari_ditto.ui.settings._napari_section", lambda: None)


def disc():
    y, x = np.ogrid[:128, :160]
    inside = (y - MIDDLE[0]) ** 2 + (x - MIDDLE[1]) ** 2 <= 20**2
    noise = np.random.default_rng(0).normal(0, 4, inside.shape)
    return (np.where(inside, 180, 40) + noise).astype(np.uint8), inside


class NamedBlobs:
    """A model for every name, each asked and loaded under its own."""

    def __init__(self):
        self.loaded, self.models, self.broken, self.seconds = [], {}, set(), 0.0

    def __call__(self, name, device):
        if name in self.broken:
            raise WeightsError("the bundled weights are damaged", todo="Install napari-ditto again")
        model = BlobModel()
        model.spec = replace(model.spec, id=name, encode_seconds=self.seconds)
        self.loaded.append(name)
        self.models[name] = model
        return model


class Window:
    """A viewer, with or without a canvas, an image, and a dock."""

    def __init__(self, viewer, qtbot, load=None):
        from napari_ditto.ui.widgets.dock import DittoDock

        self.viewer, self.qtbot = viewer, qtbot
        viewer.add_image(disc()[0], name="image")
        workshop = Workshop(memory_cache, *([load] if load else []))
        self.controller = controller_for(viewer, workshop)
        self.session = self.controller.session
        self.dock = DittoDock(viewer)
        put_in(viewer, self.dock, "Ditto", qtbot)

    def until(self, done, timeout=60_000):
        self.qtbot.waitUntil(lambda: bool(done()), timeout=timeout)

    def settled(self):
        self.qtbot.wait(80)
        self.until(lambda: not self.session.asked and not self.session.working)
        self.qtbot.wait(20)

    def click(self):
        self.controller.act("new_points")
        self.points.add([MIDDLE])
        self.settled()

    @property
    def points(self):
        return next(la for la in self.viewer.layers if la.name.startswith("Ditto points"))

    def press_key(self):
        key = ACTIONS["swap_model"].keys[0]
        next(f for k, f in self.points.keymap.items() if str(k) == key)(self.points)
        self.settled()

    @property
    def answered_by(self):
        """The model whose mask is on show."""
        return self.session.proposals.model.partition("@")[0]


def memory_cache():
    from napari_ditto.data.embeddings import EmbeddingCache

    return EmbeddingCache(directory=None)


@pytest.fixture
def blobs():
    return NamedBlobs()


@pytest.fixture
def window(viewer_model, qtbot, blobs):
    return Window(viewer_model, qtbot, blobs)


def test_the_key_asks_classic_about_the_same_prompts_and_back(window):
    assert window.dock.model.key == "ditto"
    window.click()
    assert window.answered_by == "ditto"
    assert window.dock.status.line.text() == "This mask is by ditto"
    for model, other in (("classic", "ditto"), ("ditto", "classic")):
        window.press_key()
        assert window.answered_by == model
        assert window.dock.status.line.text() == f"This mask is by {model}"
        assert window.dock.model.key == model
        assert window.dock.buttons["swap_model"].text() == f"Use {other} (C)"
        assert [tuple(p) for p in window.points.data] == [MIDDLE]


def test_the_button_does_what_the_key_does(window):
    window.click()
    button = window.dock.buttons["swap_model"]
    window.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    window.settled()
    assert window.answered_by == "classic"


def test_neither_model_is_loaded_or_asked_twice(window, blobs):
    window.click()
    for _ in range(4):
        window.press_key()
    assert blobs.loaded == ["ditto", "classic"]
    assert {m.encoded for m in blobs.models.values()} == {1}


def test_the_image_is_not_opened_again(window):
    window.click()
    source = window.controller._proposing.setup().source
    window.press_key()
    assert window.controller._proposing.setup().source is source


def test_the_key_leads_back_to_the_model_that_was_chosen(window):
    window.click()
    window.session.choose_model("sam:facebook/sam-vit-base")
    window.press_key()
    assert window.answered_by == "classic"
    window.press_key()
    assert window.answered_by == "sam:facebook/sam-vit-base"
    assert window.dock.buttons["swap_model"].text() == "Use classic (C)"


def test_a_swap_is_not_kept_for_the_next_session(window, make_napari_viewer_proxy, qtbot):
    window.click()
    window.press_key()
    other = Window(make_napari_viewer_proxy(), qtbot, NamedBlobs())
    assert (other.session.model, other.session.other_model) == ("ditto", "classic")
    other.controller.choose("model", "classic")
    third = Window(make_napari_viewer_proxy(), qtbot, NamedBlobs())
    assert (third.session.model, third.session.other_model) == ("classic", "ditto")


def test_damaged_weights_are_one_line_and_classic_goes_on(window, blobs):
    blobs.broken.add("ditto")
    window.click()
    said = window.dock.status.line.text()
    assert said == "the bundled weights are damaged. Install napari-ditto again"
    assert not window.session.has_object
    window.press_key()
    assert window.answered_by == "classic"
    assert window.session.error == ""


def test_the_model_is_loaded_while_the_user_looks(window, blobs):
    assert blobs.loaded == []
    window.controller.warm_up()
    window.settled()
    assert blobs.loaded == ["ditto"]
    assert blobs.models["ditto"].encoded == 0
    window.controller.act("swap_model")
    window.settled()
    assert blobs.loaded == ["ditto", "classic"]


@pytest.mark.parametrize(("seconds", "tried"), [(0.2, 1), (15.0, 0)])
def test_a_quick_model_is_tried_out_and_a_slow_one_is_not(window, blobs, seconds, tried):
    blobs.seconds = seconds
    window.controller.warm_up()
    window.settled()
    assert blobs.models["ditto"].encoded == tried


def test_trouble_of_the_early_load_is_shown(window, blobs):
    blobs.broken.add("ditto")
    window.controller.warm_up()
    window.settled()
    assert "damaged" in window.dock.status.line.text()


def test_a_dock_on_show_loads_its_model(make_napari_viewer_proxy, qtbot, blobs):
    from napari_ditto.ui.widgets.dock import DittoDock

    window = Window(make_napari_viewer_proxy(), qtbot, blobs)
    window.qtbot.wait(500)
    assert not blobs.loaded  # the viewer's window is hidden, and its dock with it
    dock = DittoDock(window.viewer)
    qtbot.addWidget(dock)
    dock.show()
    window.until(lambda: blobs.loaded == ["ditto"])
    window.settled()


# --- the diameter -------------------------------------------------------------------------------


def test_the_diameter_goes_with_the_prompts_of_the_model_that_reads_it(window):
    window.click()
    box = window.dock.advanced.diameter
    assert box.text() == "automatic"
    assert window.session.prompts.diameter is None
    box.setValue(40)
    window.settled()
    assert window.session.prompts.diameter == 40
    assert window.session.proposals.prompts.diameter == 40
    window.press_key()
    assert window.session.prompts.diameter is None
    window.press_key()
    assert window.session.prompts.diameter == 40
    box.setValue(0)
    window.settled()
    assert window.session.prompts.diameter is None


def test_the_diameter_is_shown_only_where_it_counts(window):
    form, box = window.dock.advanced._form, window.dock.advanced.diameter
    window.settled()
    assert form.isRowVisible(box)
    window.click()
    window.press_key()
    assert not form.isRowVisible(box)


# --- the real models ----------------------------------------------------------------------------


def test_the_real_models_answer_in_a_window(make_napari_viewer_proxy, qtbot):
    window = Window(make_napari_viewer_proxy(), qtbot, load_model)
    truth = disc()[1]
    window.click()
    assert window.answered_by == "ditto"
    window.press_key()
    assert window.answered_by == "classic"
    window.press_key()
    assert window.answered_by == "ditto"
    window.controller.act("accept")
    window.until(lambda: window.session.hint.startswith("Accepted"))
    labels = next(la for la in window.viewer.layers if la.name.startswith("Ditto labels"))
    found = np.asarray(labels.data) > 0
    assert (found & truth).sum() / (found | truth).sum() > 0.8


def test_a_dock_with_an_image_opens_without_torch():
    code = """
import sys
import napari, numpy as np
viewer = napari.Viewer(show=False)
viewer.add_image(np.zeros((64, 64)))
_, dock = viewer.window.add_plugin_dock_widget("napari-ditto", "Ditto")
loaded = {"torch", "transformers"} & set(sys.modules)
assert dock.controller.session.model == "ditto", dock.controller.session.model
viewer.close()
sys.exit(f"imported: {loaded}" if loaded else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
