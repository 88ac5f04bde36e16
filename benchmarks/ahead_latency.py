"""How long a click waits on an image of 60,000 x 60,000 pixels, with and without encoding ahead.

xvfb-run -a python benchmarks/ahead_latency.py [clicks [seconds]]

Three kinds of clicks: without encoding ahead, at once after a jump (so that the first tiles are
being encoded), and after a rest (so that tiles in view are ready). With seconds given, a stand-in
that sleeps for so long per tile takes the place of ditto: that shows who waits for whom on a busy
machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace

import napari  # noqa: TID253
import napari.settings  # noqa: TID253
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_ditto.core.prompts import PointPrompt, PromptSet


def wait(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)
    return condition()


def rest(seconds):
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end, seconds + 1)


def jump(viewer, rng):
    """Show another place, at half the resolution; return what is in its middle, level-0 pixels."""
    place = rng.integers(5000, 55_000, 2)
    viewer.scene.camera.center = (0, *(0.25 * place))
    rest(0.3)  # napari reads what it shows
    return place


def clicks(viewer, dock, count, seconds, rng):
    """Return how long clicks waited, and in how many cases the tile was ready."""
    session, points = dock.controller.session, next(
        layer for layer in viewer.layers if layer.name.startswith("Ditto points")
    )  # fmt: skip
    waited = []
    annotator = next(iter(dock.controller._desk.workshop._annotators.values()))
    ready = 0
    for _ in range(count):
        place = jump(viewer, rng)
        rest(seconds)
        spot = place + rng.integers(-150, 150, 2)
        click = PromptSet((PointPrompt(*spot.astype(float).tolist()),))
        ready += annotator.has_encoded(click, session.address)
        start = time.perf_counter()
        points.add([spot])
        wait(lambda: session.asked)
        wait(lambda: not session.asked)
        waited.append(1000 * (time.perf_counter() - start))
        dock.controller.act("clear")
        rest(0.1)
    return np.array(waited), ready


def stand_in(seconds):
    """Return a workshop whose model sleeps while it encodes."""
    from napari_ditto.data.embeddings import EmbeddingCache
    from napari_ditto.testing.blobs import BlobModel
    from napari_ditto.ui.workshop import Workshop

    model = BlobModel(encode_seconds=seconds)
    model.spec = replace(model.spec, encode_seconds=seconds, embedding_bytes=2**20, input_size=512)
    return Workshop(lambda: EmbeddingCache(directory=None), lambda name, device: model)


def main(count, seconds):
    napari.settings._CFG_PATH = None  # the user's own settings stay as they are
    from napari_ditto.ui import samples, settings
    from napari_ditto.ui.assembly import controller_for
    from napari_ditto.ui.widgets.dock import DittoDock

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1100, 800)
    ((data, about, _),) = samples.huge()
    viewer.add_image(data, **about)
    viewer.scene.camera.zoom = 2.0
    kept = controller_for(viewer, stand_in(seconds) if seconds else None)
    dock, rng = DittoDock(viewer), np.random.default_rng(0)
    assert dock.controller is kept
    viewer.window.add_dock_widget(dock, name="Ditto")
    workshop = dock.controller._desk.workshop
    wait(lambda: workshop.has("ditto", "auto"))
    dock.controller.act("new_points")
    wait(lambda: dock.controller.session.ready)
    next(la for la in viewer.layers if la.name.startswith("Ditto points")).add([(100, 100)])
    wait(lambda: dock.controller.session.has_object)
    dock.controller.act("clear")
    for title, on, rests in (
        ("not encoded ahead", False, 0.0),
        ("0.7 s after a jump, while it is encoded ahead", True, 0.7),
        ("8 s after a jump, encoded ahead", True, 8.0),
    ):
        settings.save(encode_ahead=on)
        waited, ready = clicks(viewer, dock, count, rests, rng)
        print(
            f"{title}: median {np.median(waited):.0f} ms, longest {waited.max():.0f} ms, "
            f"{ready} of {count} tiles were ready; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in ("CONFIG", "CACHE", "JOURNAL"):
            os.environ[f"NAPARI_DITTO_{name}"] = f"{folder}/{name}"
        main(int((*sys.argv, "10")[1]), float((*sys.argv, "0", "0")[2]))
