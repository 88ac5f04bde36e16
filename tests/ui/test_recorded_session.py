"""The recorded session of the docs, by mouse and keyboard, with each Qt binding."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
from npe2 import PluginManifest

pytestmark = pytest.mark.gui

DOCS = Path(__file__).parents[2] / "docs"
LONG = pytest.mark.skipif(
    "DITTO_STRESS" not in os.environ, reason="half a minute; runs with DITTO_STRESS=1"
)


@pytest.mark.parametrize("part", ["coins", pytest.param("stack", marks=LONG)])
def test_every_step_does_what_the_docs_show(
    part, make_napari_viewer_proxy, npe2pm, monkeypatch
) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    recorded = runpy.run_path(str(DOCS / "recorded_session.py"))
    npe2pm.register(PluginManifest.from_distribution("napari-ditto"))
    viewer = make_napari_viewer_proxy(show=True, title="napari-ditto")
    viewer.window.resize(1000, 700)  # half as many pixels to draw
    session = recorded["Session"](viewer)
    recorded["PARTS"][part](session)
    assert len(session.shots) >= 4
