"""What the editing of objects needs of the viewer, and a napari viewer that gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal, SignalInstance

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.ui.adapters import source_axes, transform_kwargs
from napari_ditto.ui.overlay import FADED
from napari_ditto.ui.preview import OWN, above_images, in_axes, move

if TYPE_CHECKING:
    from napari.layers import Labels, Layer
    from napari.viewer import Viewer

NAME = "Ditto picked"
# Okabe and Ito's yellow: told from the preview's blue and the points' green and vermilion.
COLOR = "#f0e442"
LARGEST = 1 << 22
"""Pixels round the picked objects that are drawn at most."""


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
        self._layer: Labels | None = None
        self._faded: dict[str, float] = {}
        self._armed: tuple[Layer, str] | None = None
        self._active: Layer | None = None

    def _by_id(self) -> dict[str, Any]:
        return {str(layer.unique_id): layer for layer in self._viewer.layers}

    # --- outlines --------------------------------------------------------------------------------

    def outline(
        self, images: Sequence[str], address: PlaneAddress, objects: Sequence[PlacedMask]
    ) -> None:
        """Draw the outlines of objects; those far from the last one are left out."""
        image = self._by_id().get(images[0]) if images else None
        if image is None or not objects:
            return self.hide()
        shown, box = together(objects)
        axes = source_axes(image)
        data, offset = in_axes(outlines(shown, box), box, address, axes)
        placed = transform_kwargs(image, offset, ndim=len(axes))
        layer = self._present()
        if layer is None or layer.ndim != len(axes):
            self._remove()
            layer = self._add(data, placed)
        else:
            move(layer, data, placed)
        layer.visible = True
        return None

    def hide(self) -> None:
        """Draw no outlines; the layer stays."""
        layer = self._present()
        if layer is not None:
            layer.visible = False

    def step_back(self, labels: str) -> None:
        """Fade a Labels layer and the outlines."""
        outline = self._present()
        for layer in (self._by_id().get(labels), outline):
            if layer is not None and str(layer.unique_id) not in self._faded:
                self._faded[str(layer.unique_id)] = layer.opacity
                layer.opacity = 0.0 if layer == outline else min(FADED, layer.opacity)

    def come_forward(self) -> None:
        """Give faded layers their opacity back."""
        present = self._by_id()
        for key, opacity in self._faded.items():
            if key in present:
                present[key].opacity = opacity
        self._faded.clear()

    def _present(self) -> Labels | None:
        layers = self._viewer.layers
        return self._layer if self._layer is not None and self._layer in layers else None

    def _add(self, data: NDArray[np.uint8], placed: dict[str, Any]) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        colors = DirectLabelColormap(color_dict={1: COLOR, None: "transparent"})
        metadata = {OWN: True}
        layer = Labels(data, name=NAME, colormap=colors, opacity=1.0, metadata=metadata, **placed)
        layer.editable = False
        layers = self._viewer.layers
        before, active = set(layers.selection), layers.selection.active
        top = above_images(self._viewer)
        labels = [i for i, other in enumerate(layers) if isinstance(other, Labels)]
        layers.insert(max([top, *(i + 1 for i in labels)]), layer)
        # Adding selects; the tool in the user's hand must stay armed.
        layers.selection.active = active
        layers.selection.update(before)
        layers.selection.discard(layer)
        self._layer = layer
        return layer

    def _remove(self) -> None:
        layer = self._present()
        if layer is not None:
            self._viewer.layers.remove(layer)
        self._layer = None

    # --- tools -----------------------------------------------------------------------------------

    def take_up_picker(self, labels: str) -> None:
        """Let clicks on the canvas pick objects, and drags move the image."""
        self.put_down()
        layer = self._by_id().get(labels)
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
        self._arm(self._by_id()[key], "add_line")
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
        self._remove()


def together(objects: Sequence[PlacedMask]) -> tuple[list[PlacedMask], Box]:
    """Return the last of some objects with those that are not too far from it, and their box."""
    shown: list[PlacedMask] = []
    box = Box(0, 0, 0, 0)
    for item in reversed(objects):
        wider = box.union(item.box)
        if not shown or wider.area <= LARGEST:
            shown.append(item)
            box = wider
    return shown, box


def outlines(objects: Sequence[PlacedMask], box: Box) -> NDArray[np.uint8]:
    """Return 1 on the outermost pixels of objects, shape ``box.shape``."""
    drawn = np.zeros(box.shape, dtype=np.uint8)
    for item in objects:
        mask = np.pad(item.mask, 1)
        core = (
            mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        )
        view = drawn[item.box.shift(-box.y0, -box.x0).slices]
        view[item.mask & ~core] = 1
    return drawn
