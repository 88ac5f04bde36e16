"""What the editing of objects needs of the viewer, and a napari viewer that gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from psygnal import Signal, SignalInstance

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.overlay import FADED
from napari_ditto.ui.preview import Preview, Style, above_images

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

NAME = "Ditto picked"
# Okabe and Ito's yellow: told from the preview's blue and the points' green and vermilion.
COLOR = "#f0e442"
MOST_CELLS = 1 << 22
"""Objects that are picked far apart are outlined more coarsely; this takes some 10 ms."""


def above_labels(viewer: Viewer) -> int:
    """Return where a layer goes that covers all labels, but no prompts."""
    from napari.layers import Labels

    labels = [i for i, layer in enumerate(viewer.layers) if isinstance(layer, Labels)]
    return max(above_images(viewer), max(labels, default=-1) + 1)


STYLE = Style(NAME, COLOR, 0.0, above_labels, MOST_CELLS)


class EditStage(Protocol):
    """The part of the viewer in which objects are picked and worked on."""

    clicked: SignalInstance
    """The pick tool was used on the canvas."""

    def outline(
        self, images: Sequence[str], address: PlaneAddress, objects: Sequence[PlacedMask]
    ) -> None:
        """Draw the outlines of objects on a plane of an image."""
        ...

    def hide(self) -> None:
        """Draw no outlines."""
        ...

    def step_back(self, labels: str) -> None:
        """Fade a Labels layer and the outlines, so that a proposed mask is seen on them."""
        ...

    def come_forward(self) -> None:
        """Show everything as it was before."""
        ...

    def take_up_picker(self, labels: str) -> None:
        """Let clicks on the canvas pick objects."""
        ...

    def take_up_line(self, add: Callable[[], str]) -> None:
        """Let the mouse draw a line in the Shapes layer that `add` makes or finds."""
        ...

    def put_down(self) -> None:
        """Give the user the tool back that was armed before."""
        ...

    def close(self) -> None:
        """Let go of the viewer."""
        ...


class ViewerEditStage:
    """A napari viewer as an :class:`EditStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    clicked = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._outlines = Preview(viewer, STYLE)
        self._faded: dict[str, float] = {}
        self._armed: tuple[Layer, str] | None = None
        self._active: Layer | None = None

    # --- outlines --------------------------------------------------------------------------------

    def outline(
        self, images: Sequence[str], address: PlaneAddress, objects: Sequence[PlacedMask]
    ) -> None:
        """Draw the outlines of objects."""
        image = layers_by_id(self._viewer).get(images[0]) if images else None
        if image is None or not objects:
            return self.hide()
        return self._outlines.show_all(image, address, objects)

    def hide(self) -> None:
        """Draw no outlines; the layer stays."""
        self._outlines.hide()

    def step_back(self, labels: str) -> None:
        """Fade a Labels layer and the outlines."""
        outline = self._outlines.layer
        for layer in (layers_by_id(self._viewer).get(labels), outline):
            if layer is not None and str(layer.unique_id) not in self._faded:
                self._faded[str(layer.unique_id)] = layer.opacity
                layer.opacity = 0.0 if layer == outline else min(FADED, layer.opacity)

    def come_forward(self) -> None:
        """Give faded layers their opacity back."""
        present = layers_by_id(self._viewer)
        for key, opacity in self._faded.items():
            if key in present:
                present[key].opacity = opacity
        self._faded.clear()

    # --- tools -----------------------------------------------------------------------------------

    def take_up_picker(self, labels: str) -> None:
        """Let clicks on the canvas pick objects, and drags move the image."""
        self.put_down()
        layer = layers_by_id(self._viewer).get(labels)
        if layer is not None:
            self._arm(layer, "pan_zoom")
            layer.mouse_drag_callbacks.append(self._on_press)

    def _on_press(self, _: Layer, event: Any) -> Any:  # noqa: ANN401  # vispy's, without types
        moved = False
        yield
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved:
            self.clicked.emit()

    def take_up_line(self, add: Callable[[], str]) -> None:
        """Let the mouse draw a line."""
        self.put_down()
        active = self._viewer.layers.selection.active
        key = add()
        self._arm(layers_by_id(self._viewer)[key], "add_line")
        self._active = active

    def _arm(self, layer: Layer, mode: str) -> None:
        selection = self._viewer.layers.selection
        self._active, self._armed = selection.active, (layer, str(layer.mode))
        layer.visible = True
        selection.active = layer
        layer.mode = mode

    def put_down(self) -> None:
        """Give the user the tool back that was armed before."""
        if self._armed is None:
            return
        (layer, mode), active = self._armed, self._active
        self._armed = self._active = None
        if self._on_press in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_press)
        layer.mode = mode
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def close(self) -> None:
        """Let go of the viewer."""
        self.put_down()
        self.come_forward()
        self._outlines.hide(remove=True)
