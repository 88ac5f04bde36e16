"""The window at the end of the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_ditto.cli import demo, demo_window
from napari_ditto.data.pyramid_labels import PyramidLabels


@pytest.mark.gui
def test_the_window_shows_the_results(
    tmp_path: Path, make_napari_viewer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari

    viewer = make_napari_viewer()  # type: ignore[operator]
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(napari, "Viewer", lambda **_: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    for scene in demo.SCENES:
        PyramidLabels.create(tmp_path / f"{scene.name}-prompts.zarr", (303, 384), "yx")
    demo_window.show(tmp_path, demo.SCENES, demo.Console())
    assert [layer.name for layer in viewer.layers] == [
        "tissue",
        "tissue labels",
        "coins",
        "coins labels",
    ]
