"""A dock in the window of its viewer, or, where the viewer has none, by itself."""

from __future__ import annotations


def put_in(viewer, dock, name, qtbot):
    if hasattr(viewer, "window"):
        viewer.window.add_dock_widget(dock, name=name)
    else:
        qtbot.addWidget(dock)
