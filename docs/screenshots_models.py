"""Make docs/images/models*.png and dock-find.png: the dock "Ditto models", and the line "Find".

xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots_models.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

from fresh import fresh_settings


def main(folder: Path) -> None:
    """Measure ditto, look at models that are not here, and at the line for a word."""
    models(folder)
    find(folder)


def models(folder: Path) -> None:
    """The dock with a model that comes along, one to download, and one to get by hand."""
    import napari
    from screenshots import save, settle, wait
    from skimage.data import coins

    from napari_ditto.ui.widgets.models_dock import ModelsDock

    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.window.resize(1280, 900)
    viewer.add_image(coins(), name="coins")
    dock = ModelsDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto models", area="right")
    settle(1.0)
    viewer.reset_view()
    wait(lambda: not dock.controller.session.working)
    dock.panel.measure.click()
    settle()
    wait(lambda: not dock.work.isVisible() and dock.note.isVisible())
    settle()
    viewer.screenshot(str(folder / "models.png"), canvas_only=False, flash=False)
    names = {"sam:vit_b_lm": "models-download.png", "sam3:facebook/sam3": "models-by-hand.png"}
    for name, picture in names.items():
        dock.chose.emit("models.select", name)
        settle()
        save(dock, folder / picture)
    viewer.close()


def find(folder: Path) -> None:
    """The main dock while a model is chosen that reads words."""
    import napari
    from screenshots import save, settle, wait
    from skimage.data import coins

    from napari_ditto.ui.widgets.dock import DittoDock

    viewer = napari.Viewer(show=True, title="napari-ditto")
    viewer.add_image(coins(), name="coins")
    dock = DittoDock(viewer)
    viewer.window.add_dock_widget(dock, name="Ditto", area="right")
    settle(1.0)
    session = dock.controller.session
    wait(lambda: not session.working)
    session.choose_model("sam3:facebook/sam3")
    dock.chose.emit("text", "coin")
    settle()
    save(dock, folder / "dock-find.png")
    viewer.close()


if __name__ == "__main__":
    fresh_settings()
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
