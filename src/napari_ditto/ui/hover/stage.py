"""What the live preview needs of the viewer: where the mouse rests, and a contour there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal, SignalInstance

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.ui import adapters
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.hover.contour import Contour
from napari_ditto.ui.plane_map import plane_map

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points
    from napari.viewer import Viewer

REST_MILLISECONDS = 20
"""A mouse that moves on within this time has not rested; events come every 8 to 16 ms."""

PAUSE_SECONDS = 0.06
"""After such a pause the first move counts at once: it may be the only one."""


@dataclass(frozen=True, slots=True)
class Pointed:
    """The click that the mouse would make now.

    Attributes
    ----------
    address : PlaneAddress
        The plane on show.
    y, x : float
        Pixels of the plane at level 0.
    positive : bool
        Its sign.
    before : int or None
        How many clicks of the plane are read before it; None where all of them are.
    """

    address: PlaneAddress
    y: float
    x: float
    positive: bool
    before: int | None = None


class HoverStage(Protocol):
    """The viewer, as far as the live preview is concerned."""

    moved: SignalInstance
    """The mouse is somewhere else over the canvas, no button pressed."""
    rested: SignalInstance
    """The mouse has come to rest there."""
    left: SignalInstance
    """The mouse drags or has left, or another tool is in the user's hand."""
    scrolled: SignalInstance
    """The wheel was turned with Shift; carries the notches, up is positive."""

    def pointed(self, images: Sequence[str], layers: Sequence[str]) -> Pointed | None:
        """Return the click that one of these prompt layers would take now, None if none would.

        Raises
        ------
        DittoError
            Where no plane of the image is on show.
        """
        ...

    def is_active(self, layers: Sequence[str]) -> bool:
        """Whether one of these layers is the active one."""
        ...

    def look_again(self) -> None:
        """Tell once more where the mouse rests, if it is over the canvas."""
        ...

    def prepare(self, images: Sequence[str]) -> None:
        """Make ready for the first contour while the user aims."""
        ...

    def show(
        self, images: Sequence[str], mask: NDArray[np.bool_], box: Box, address: PlaneAddress
    ) -> None:
        """Draw round a mask that lies in a box of a plane of an image."""
        ...

    def hide(self) -> None:
        """Draw nothing."""
        ...

    def refresh(self) -> None:
        """Layers came, went or may have moved."""
        ...

    def close(self) -> None:
        """Let go of the viewer."""
        ...


class ViewerHover:
    """A napari viewer as a :class:`HoverStage`."""

    moved = Signal()
    rested = Signal()
    left = Signal()
    scrolled = Signal(int)

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._contour = viewer, Contour(viewer)
        self._position: tuple[float, ...] | None = None
        self._moved = self._turned = 0.0
        self._rests_soon = Debounce(self.rested.emit, REST_MILLISECONDS)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_wheel_callbacks.append(self._on_wheel)
        self._connect("connect")

    def _connect(self, how: str) -> None:
        getattr(self._viewer.events.mouse_over_canvas, how)(self._on_over)
        getattr(self._viewer.layers.selection.events.active, how)(self._on_leave)

    def _on_move(self, _: object, event: Any) -> None:  # noqa: ANN401 - napari's
        if event.is_dragging:
            return self._on_leave()
        self._position = tuple(event.position)
        before, self._moved = self._moved, monotonic()
        if self._moved - before > PAUSE_SECONDS:
            self._rests_soon.stop()
            return self.rested.emit()
        self.moved.emit()
        return self._rests_soon()

    def _on_wheel(self, _: object, event: Any) -> None:  # noqa: ANN401 - napari's
        """Count notches; Control and Alt are napari's, and no modifier zooms."""
        if list(event.modifiers) != ["Shift"]:
            return
        # Some systems turn a wheel with Shift sideways.
        self._turned += float(np.sum(event.delta))
        notches = int(self._turned)
        self._turned -= notches
        if notches:
            self.scrolled.emit(notches)

    def _on_over(self) -> None:
        if not self._viewer.mouse_over_canvas:
            self._on_leave()

    def _on_leave(self, *_: object) -> None:
        self._position = None
        self._rests_soon.stop()
        self.left.emit()

    def pointed(self, images: Sequence[str], layers: Sequence[str]) -> Pointed | None:
        """Return the click that the active layer would take where the mouse is."""
        layer, image = self._active(layers), self._image(images)
        if self._position is None or image is None or layer is None or not _is_armed(layer):
            return None
        dims = self._viewer.dims
        address = adapters.plane_from_viewer(dims, image)
        # As napari's own handler of the click makes its coordinates.
        coords = np.asarray(layer.world_to_data(self._position), dtype=np.float64)
        yx, here = plane_map(layer, image, address, dims)(coords[None])
        if not here[0]:
            return None
        y, x = yx[0].tolist()
        before = self._before(layer, layers, image, address)
        return Pointed(address, y, x, adapters.next_is_positive(layer), before)

    def is_active(self, layers: Sequence[str]) -> bool:
        """Whether one of these layers is the active one."""
        return self._active(layers) is not None

    def look_again(self) -> None:
        """Tell once more where the mouse rests."""
        if self._position is not None:
            self._rests_soon()

    def prepare(self, images: Sequence[str]) -> None:
        """Make the layer; napari takes a fifth of a second for that."""
        image = self._image(images)
        if image is not None:
            self._contour.prepare(image, adapters.plane_from_viewer(self._viewer.dims, image))

    def show(
        self, images: Sequence[str], mask: NDArray[np.bool_], box: Box, address: PlaneAddress
    ) -> None:
        """Draw round a mask."""
        image = self._image(images)
        if image is not None:
            self._contour.show(image, mask, box, address)

    def hide(self) -> None:
        """Draw nothing."""
        self._contour.hide()

    def refresh(self) -> None:
        """Look again where layers lie."""
        self._contour.forget()

    def close(self) -> None:
        """Let go of the viewer."""
        self._connect("disconnect")
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.mouse_wheel_callbacks.remove(self._on_wheel)
        # At the end of the program Qt may have taken its parts away before us.
        with suppress(RuntimeError):
            self._rests_soon.stop()
            self._contour.remove()

    def _active(self, layers: Sequence[str]) -> Layer | None:
        layer = self._viewer.layers.selection.active
        return layer if layer is not None and str(layer.unique_id) in layers else None

    def _image(self, images: Sequence[str]) -> Image | None:
        found = (la for la in self._viewer.layers if images and str(la.unique_id) == images[0])
        return next(found, None)

    def _before(
        self, layer: Points, layers: Sequence[str], image: Image, address: PlaneAddress
    ) -> int | None:
        """Return how many clicks are read before a new one of this layer; None for all."""
        from napari.layers import Points

        rest = layers[list(layers).index(str(layer.unique_id)) + 1 :]
        present = {str(la.unique_id): la for la in self._viewer.layers}
        if not any(isinstance(present.get(key), Points) for key in rest):
            return None
        upto = [present[key] for key in layers if key not in rest and key in present]
        points = [la for la in upto if isinstance(la, Points)]
        used = (adapters.which_on_plane(la, image, address, self._viewer.dims) for la in points)
        return sum(int(which.sum()) for which in used)


def _is_armed(layer: Layer) -> bool:
    """Whether a click on the canvas adds a point to a layer."""
    from napari.layers import Points

    return isinstance(layer, Points) and layer.visible and str(layer.mode) == "add"
