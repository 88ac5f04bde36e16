"""What a closed viewer or dock leaves behind: nothing."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtWidgets import QApplication

from napari_ditto.testing.blobs import BlobContextModel, BlobModel
from napari_ditto.ui.assembly import controller_for
from napari_ditto.ui.objects_table.stage import ViewerObjects
from napari_ditto.ui.workshop import Workshop

pytestmark = pytest.mark.gui


def disc():
    y, x = np.ogrid[:512, :512]
    return np.where((y - 250) ** 2 + (x - 250) ** 2 < 60**2, 200, 20).astype(np.uint8)


class Session:
    """A viewer with an image and docks, all of it known by weak references alone."""

    def __init__(self, viewer, qtbot, model):
        self.qtbot, self.known = qtbot, {}
        self.others = set(threading.enumerate())
        image = disc()
        viewer.add_image(image, name="image")
        self.know(viewer=viewer, image=image, model=model)
        held = [model]
        workshop = Workshop(load_model=lambda name, device: held[0])
        self.controller = weakref.ref(controller := controller_for(viewer, workshop))
        self.know(controller=controller, session=controller.session, workshop=workshop)
        self.know(**{f"part {part.name}": part for part in controller.parts})

    def know(self, **things):
        self.known |= {name: weakref.ref(thing) for name, thing in things.items()}

    def left(self, but=()):
        """Return what is still there once Qt and the collector have done their work."""
        for _ in range(5):
            self.qtbot.wait(10)
            QApplication.processEvents()
            gc.collect()
        return {name for name, thing in self.known.items() if thing() is not None} - set(but)

    def has_threads(self):
        return [t for t in set(threading.enumerate()) - self.others if t.name.startswith("ditto")]

    def settled(self):
        self.qtbot.wait(80)
        session = self.known["session"]()
        self.qtbot.waitUntil(lambda: not session.asked and not session.working)

    def use(self, viewer):
        """Click, accept, take as an example, look for more, look at the keys and the tiles."""
        controller = self.controller()
        controller.act("new_points")
        viewer.layers.selection.active.add([(250, 250)])
        self.settled()
        for action in ("accept", "add_example", "like", "show_keys", "show_tiles", "undo", "redo"):
            controller.act(action)
            self.settled()
        labels = next(la for la in viewer.layers if la.name.startswith("Ditto labels"))
        assert labels.data.any()
        self.know(labels=labels, pixels=labels.data)


def open_docks(viewer, session):
    from napari_ditto.ui.widgets.dock import DittoDock
    from napari_ditto.ui.widgets.examples_dock import ExamplesDock
    from napari_ditto.ui.widgets.models_dock import ModelsDock
    from napari_ditto.ui.widgets.objects_dock import ObjectsDock

    for kind in (DittoDock, ExamplesDock, ObjectsDock, ModelsDock):
        dock = kind(viewer)
        viewer.window.add_dock_widget(dock, name=kind.__name__)
        session.know(**{kind.__name__: dock})


def test_a_closed_viewer_goes_with_all_that_was_in_it(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    session = Session(viewer, qtbot, BlobContextModel())
    open_docks(viewer, session)
    session.use(viewer)
    viewer.close()
    del viewer
    assert not session.left()
    assert not session.has_threads()


def test_closed_docks_go_and_leave_the_viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    session = Session(viewer, qtbot, BlobContextModel())
    open_docks(viewer, session)
    session.use(viewer)
    first = session.controller
    viewer.window.remove_dock_widget("all")
    stays = {"viewer", "image", "labels", "pixels"}
    assert not session.left(but=stays)
    assert not session.has_threads()
    again = Session(viewer, qtbot, BlobModel())
    assert first() is None
    open_docks(viewer, again)
    viewer.close()
    del viewer
    assert not session.left() | again.left()


def test_a_viewer_that_is_closed_while_a_model_computes_goes_too(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    session = Session(viewer, qtbot, BlobModel(encode_seconds=0.3))
    open_docks(viewer, session)
    session.controller().act("new_points")
    viewer.layers.selection.active.add([(250, 250)])
    qtbot.waitUntil(lambda: session.known["session"]().asked)
    qtbot.wait(50)
    viewer.close()
    del viewer
    assert not session.left()
    qtbot.waitUntil(lambda: not session.has_threads())


def test_what_qt_has_taken_already_is_let_go_of(viewer_model, qtbot):
    """A program that ends takes timers first and tells of its windows later."""
    layer = viewer_model.add_labels(np.zeros((8, 8), np.uint8))
    stage = ViewerObjects(viewer_model)
    stage.follow(str(layer.unique_id))
    timers = [stage._selected_soon, stage._followed._again, stage._followed._on_data]
    for timer in timers:
        timer.deleteLater()
    qtbot.waitUntil(lambda: not any(map(isalive, timers)))
    viewer_model.layers.selection.clear()
    layer.data = np.ones((8, 8), np.uint8)
    stage.close()
    assert stage._followed is None
