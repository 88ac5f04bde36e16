"""The object in hand: one small editable Labels layer, moved rather than made anew.

The labels of a large image are a pyramid, which napari shows but does not edit. Here only the
surroundings of one object are held in memory, and napari's own brush, eraser and fill work on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.ui.adapters import source_axes, transform_kwargs
from napari_ditto.ui.keymap import Handler, bind
from napari_ditto.ui.preview import COLOR, from_axes, in_axes, move

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

NAME = "Ditto touch-up"
OPACITY = 0.6
FADED = 0.25
"""Opacity of the labels below, so that what was rubbed out can be told from what is there."""


@dataclass(frozen=True, eq=False)
class InHand:
    """What is laid in the user's hand.

    Attributes
    ----------
    address, box : PlaneAddress, Box
        Where; nothing can be painted outside the box.
    mask : ndarray of bool, shape ``box.shape``
        The object.
    """

    address: PlaneAddress
    box: Box
    mask: NDArray[np.bool_]


class Overlay:
    """Holds one mask at a time in a layer that the user paints in.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    handlers : mapping of str to callable
        What the keys of these actions do on the layer.
    escape : callable
        What Escape does on the layer.
    """

    def __init__(self, viewer: Viewer, handlers: Mapping[str, Handler], escape: Handler) -> None:
        self._viewer, self._handlers, self._escape = viewer, handlers, escape
        self._layer: Labels | None = None
        self._held: InHand | None = None
        self._axes: tuple[str, ...] = ()
        self._below: tuple[Layer, float] | None = None
        self._active: Layer | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer if it is in the viewer."""
        layers = self._viewer.layers
        return self._layer if self._layer is not None and self._layer in layers else None

    def open(self, image: Image, held: InHand, below: Layer | None = None) -> None:
        """Lay a mask on an image, to be painted; the labels below are faded meanwhile."""
        self.close()
        axes, selection = source_axes(image), self._viewer.layers.selection
        active = selection.active
        data, corner = in_axes(held.mask.astype(np.uint8), held.box, held.address, axes)
        layer = self._shown(data, transform_kwargs(image, corner, ndim=len(axes)))
        if below is not None:
            self._below = (below, below.opacity)
            below.opacity = min(FADED, below.opacity)
        self._held, self._axes, self._active = held, axes, active
        selection.active = layer
        layer.selected_label = 1
        layer.mode = "paint"

    def painted(self) -> InHand | None:
        """Return the mask as it is now; None if nothing is in hand."""
        layer, held = self.layer, self._held
        if layer is None or held is None:
            return None
        painted = np.asarray(layer.data) != 0
        return replace(held, mask=from_axes(painted, held.box, held.address, self._axes))

    def close(self, *, remove: bool = False) -> None:
        """Let the mask go; the layer stays, hidden, unless it is to be removed."""
        layer, layers = self.layer, self._viewer.layers
        if self._below is not None:
            below, below_opacity = self._below
            below.opacity = below_opacity
        if self._held is not None and self._active in layers:
            layers.selection.active = self._active
        self._held = self._below = self._active = None
        if layer is not None:
            layer.visible = False
            if remove:
                layers.remove(layer)

    def _shown(self, data: NDArray[np.uint8], placed: dict[str, Any]) -> Labels:
        layer = self.layer
        if layer is None or layer.ndim != data.ndim:
            self.close(remove=True)
            layer = self._layer = self._made(data, placed)
            self._viewer.layers.append(layer)
        else:
            move(layer, data, placed)
        layer.visible = True
        return layer

    def _made(self, data: NDArray[np.uint8], placed: dict[str, Any]) -> Labels:
        from napari.layers import Labels
        from napari.utils.colormaps import DirectLabelColormap

        # Whatever label the user picks is the object: there is only one.
        colors = DirectLabelColormap(color_dict={0: "transparent", None: COLOR})
        layer = Labels(data, name=NAME, colormap=colors, opacity=OPACITY, **placed)
        bind(layer, self._handlers)
        layer.bind_key("Escape", lambda _: self._escape())
        return layer
