"""Time to open the dock in a napari window that is already there."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.gui


def test_open_dock(benchmark, make_napari_viewer_proxy, qtbot):
    from napari_ditto.ui.widgets.dock import DittoDock

    viewer = make_napari_viewer_proxy(show=True)

    def open_it():
        dock = DittoDock(viewer)
        viewer.window.add_dock_widget(dock, name="Ditto")
        qtbot.wait(1)
        return dock

    def close_it(dock):
        viewer.window.remove_dock_widget(dock)

    docks = []

    def setup():
        while docks:
            close_it(docks.pop())

    benchmark.pedantic(lambda: docks.append(open_it()), setup=setup, rounds=5)
    setup()
    assert benchmark.stats.stats.max < 1.0
