"""What sessions and series need of the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from napari_ditto.data.image_file import ImageFile
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.session_folder import SUFFIX
from napari_ditto.data.session_layers import (
    SessionImage,
    SessionLabels,
    SessionPrompts,
    SessionView,
)
from napari_ditto.data.session_pixels import can_keep, fingerprint
from napari_ditto.errors import DittoError
from napari_ditto.ui.image_layers import level_0
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.preview import above_images
from napari_ditto.ui.project import putting, taking
from napari_ditto.ui.settings import PLUGIN
from napari_ditto.ui.transforms import copy_transform

if TYPE_CHECKING:
    from napari.viewer import Viewer

Levels = tuple[Any, ...]

QUICK_BYTES = 1 << 23
"""Images up to this size are compared on the main thread."""


class ProjectStage(Protocol):
    """The layers of a viewer, as entries of a session; layers go by their unique ids."""

    def images(self) -> tuple[str, ...]:
        """Return all Image layers, the lowest first."""
        ...

    def image(self, key: str) -> tuple[SessionImage, Levels]:
        """Return an image and its levels."""
        ...

    def labels(self, key: str, objects: Mapping[str, Any]) -> tuple[SessionLabels, LabelStore]:
        """Return labels and their store; raises :class:`LabelsError` if they cannot be saved."""
        ...

    def prompts(self, keys: Sequence[str]) -> tuple[SessionPrompts, ...]:
        """Return those of these layers that are prompts, and all that we have made."""
        ...

    def view(self) -> SessionView:
        """Return what is shown."""
        ...

    def find(self, entry: SessionImage) -> str:
        """Return an image that is open already, ``""`` if it is not."""
        ...

    def add_image(self, entry: SessionImage, levels: Levels, path: str) -> str:
        """Show an image."""
        ...

    def add_file(self, file: ImageFile) -> str:
        """Show an image file."""
        ...

    def add_labels(self, entry: SessionLabels, store: LabelStore, images: Sequence[str]) -> str:
        """Show labels; without a place of their own they lie on the first of `images`."""
        ...

    def add_prompts(self, entry: SessionPrompts, image: str) -> str:
        """Show prompts that belong to an image."""
        ...

    def show(self, view: SessionView) -> None:
        """Show what was shown."""
        ...

    def show_image(self, key: str) -> None:
        """Show one image, with what lies on it, and no other of the images."""
        ...

    def armed(self) -> str:
        """Return ``"points"`` or ``"boxes"`` if one of our prompt layers is in the user's hand."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Take layers out of the viewer; those that are gone are left out."""
        ...

    def has(self, key: str) -> bool:
        """Whether a layer is there."""
        ...

    def open_by_us(self) -> None:
        """Let sessions that are dropped on the window be opened by us, unless the user chose."""
        ...


def _same_pixels(layer: Any, entry: SessionImage) -> bool:  # noqa: ANN401 - an Image
    """Whether an image shows what a session says, as far as that is told in no time."""
    levels = tuple(layer.data) if layer.multiscale else (layer.data,)
    if not entry.fingerprint or not can_keep(levels) or levels[0].nbytes > QUICK_BYTES:
        return True
    return fingerprint(levels, entry.name) == entry.fingerprint


class ViewerProject:
    """A :class:`ProjectStage` over a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer

    def images(self) -> tuple[str, ...]:
        """Return all Image layers, the lowest first."""
        from napari.layers import Image

        return tuple(str(x.unique_id) for x in self._viewer.layers if isinstance(x, Image))

    def image(self, key: str) -> tuple[SessionImage, Levels]:
        """Return an image and its levels."""
        return taking.take_image(self._layer(key))

    def labels(self, key: str, objects: Mapping[str, Any]) -> tuple[SessionLabels, LabelStore]:
        """Return labels and their store."""
        return taking.take_labels(self._layer(key), objects)

    def prompts(self, keys: Sequence[str]) -> tuple[SessionPrompts, ...]:
        """Return those of these layers that are prompts, and all that we have made."""
        return tuple(
            taking.take_prompts(layer, key)
            for key, layer in layers_by_id(self._viewer).items()
            if hasattr(layer, "feature_defaults")
            and hasattr(layer, "selected_data")
            and (key in keys or taking.OWNER in layer.metadata)
        )

    def view(self) -> SessionView:
        """Return what is shown."""
        return taking.take_view(self._viewer)

    def find(self, entry: SessionImage) -> str:
        """Return an image that is open already: of the same shape, and the same file or name."""
        for key in self.images():
            layer = self._layer(key)
            if tuple(level_0(layer).shape) != entry.shapes[0]:
                continue
            path = taking.image_path(layer)
            same = path == entry.path if entry.path else layer.name == entry.name
            if same and _same_pixels(layer, entry):
                return key
        return ""

    def add_image(self, entry: SessionImage, levels: Levels, path: str) -> str:
        """Show an image."""
        return self._add(putting.make_image(entry, levels, path), images=True)

    def add_file(self, file: ImageFile) -> str:
        """Show an image file."""
        return self._add(putting.make_file(file), images=True)

    def add_labels(self, entry: SessionLabels, store: LabelStore, images: Sequence[str]) -> str:
        """Show labels; without a place of their own they lie on the first of `images`."""
        layer = putting.make_labels(entry, store)
        if not entry.place and images:
            copy_transform(self._layer(images[0]), layer)
        return self._add(layer, images=True)

    def add_prompts(self, entry: SessionPrompts, image: str) -> str:
        """Show prompts that belong to an image."""
        return self._add(putting.make_prompts(entry, self._layer(image)))

    def show(self, view: SessionView) -> None:
        """Show what was shown."""
        putting.show_view(self._viewer, view)

    def show_image(self, key: str) -> None:
        """Show one image, with what lies on it, and no other of the images."""
        layers, chosen = self._viewer.layers, self._layer(key)
        for other in self.images():
            self._layer(other).visible = other == key
        layers.selection.active = chosen
        self._viewer.reset_view()

    def armed(self) -> str:
        """Return ``"points"`` or ``"boxes"`` if one of our prompt layers is in the user's hand."""
        active = self._viewer.layers.selection.active
        owner = None if active is None else active.metadata.get(taking.OWNER)
        if owner is None or not str(active.mode).startswith("add"):
            return ""
        return "points" if owner[0] == "Points" else "boxes"

    def remove(self, keys: Sequence[str]) -> None:
        """Take layers out of the viewer; those that are gone are left out."""
        present = layers_by_id(self._viewer)
        for key in keys:
            if key in present:
                self._viewer.layers.remove(present[key])

    def has(self, key: str) -> bool:
        """Whether a layer is there."""
        return key in layers_by_id(self._viewer)

    def open_by_us(self) -> None:
        """Let sessions that are dropped on the window be opened by us, unless the user chose.

        napari's own reader takes every folder, so that it would ask who is meant.
        """
        from napari.settings import get_settings

        plugins = get_settings().plugins
        if not any(SUFFIX in pattern for pattern in plugins.extension2reader):
            plugins.extension2reader = {**plugins.extension2reader, f"*{SUFFIX}/": PLUGIN}

    def _layer(self, key: str) -> Any:  # noqa: ANN401 - a proxied layer
        layer = layers_by_id(self._viewer).get(key)
        if layer is None:
            raise DittoError("a layer of the session is gone", todo="Open the image again")
        return layer

    def _add(self, layer: Any, images: bool = False) -> str:  # noqa: ANN401 - any layer
        layers = self._viewer.layers
        layers.insert(above_images(self._viewer) if images else len(layers), layer)
        return str(layer.unique_id)
