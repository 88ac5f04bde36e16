"""The viewer as the controller sees it: layers by id, events once things have calmed down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from psygnal import Signal

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.errors import DittoError, PromptError
from napari_ditto.ui import adapters
from napari_ditto.ui.batch.reading import objects_on_plane
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.examples.stage import ViewerStage
from napari_ditto.ui.journal_layers import JournalLayers, image_note
from napari_ditto.ui.journals import Journals
from napari_ditto.ui.keymap import ACTIONS, REVIEW_ACTIONS, TOUCH_ACTIONS
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.overlay import InHand, Overlay
from napari_ditto.ui.preview import OWN, Preview, above_images
from napari_ditto.ui.prompt_state import PromptState, capture, put_back
from napari_ditto.ui.prompt_watch import PromptWatch
from napari_ditto.ui.session import Choice
from napari_ditto.ui.transforms import data_to_world, inverse, transform
from napari_ditto.ui.whole.stage import ViewerRuns

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer

PLANE_MILLISECONDS = 60
"""A slider that is dragged passes many planes; only the one it rests on is looked at."""


class ViewerScene:
    """A napari viewer as a :class:`~napari_ditto.ui.views.Scene`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    journals : Journals, optional
        Where every write to labels of this viewer is noted.
    """

    layers_changed = Signal()
    image_edited = Signal(str)
    prompts_changed = Signal()
    plane_changed = Signal()
    stroked = Signal(object)
    action_pressed = Signal(str)

    def __init__(self, viewer: Viewer, journals: Journals | None = None) -> None:
        self._viewer, self._journals = viewer, journals or Journals()
        self.journal_layers = JournalLayers(viewer, self._journals)
        self.journal_layers.stroked.connect(self.stroked.emit)
        self._preview = Preview(viewer)
        self._images: dict[str, Layer] = {}
        self._handlers = {action: partial(self.action_pressed.emit, action) for action in ACTIONS}
        touch = {name: self._handlers[name] for name in TOUCH_ACTIONS}
        self._overlay = Overlay(viewer, touch, escape=self._handlers["cancel"])
        self._stage = ViewerStage(viewer, {name: self._handlers[name] for name in REVIEW_ACTIONS})
        self._runs = ViewerRuns(viewer)
        self._prompts = PromptWatch(viewer, self.prompts_changed.emit, self._handlers)
        self._layers_soon = Debounce(self._tell_layers)
        self._plane_soon = Debounce(self.plane_changed.emit, PLANE_MILLISECONDS)
        self._connect("connect")
        self._follow_images()

    def _connect(self, how: str) -> None:
        layers, dims = self._viewer.layers.events, self._viewer.dims.events
        for event in (layers.inserted, layers.removed, layers.renamed, layers.reordered):
            getattr(event, how)(self._on_layers)
        for event in (dims.current_step, dims.ndisplay, dims.order):
            getattr(event, how)(self._on_plane)

    # --- events --------------------------------------------------------------------------------

    def _on_layers(self, event: Event | None = None) -> None:
        self._layers_soon()

    def _on_plane(self, event: Event | None = None) -> None:
        self._plane_soon()

    def _tell_layers(self) -> None:
        self._follow_images()
        self.journal_layers.follow()
        self.layers_changed.emit()

    def _follow_images(self) -> None:
        """Hear of new pixels in the images that are there now."""
        present = layers_by_id(self._viewer)
        for key in [key for key in self._images if key not in present]:
            self._images.pop(key).events.data.disconnect(self._on_image_data)
        for key, layer in present.items():
            if _is(layer, "Image") and key not in self._images:
                layer.events.data.connect(self._on_image_data)
                self._images[key] = layer

    def _on_image_data(self, event: Event) -> None:
        self.image_edited.emit(str(event.source.unique_id))

    def watch(self, prompt_layers: Sequence[str]) -> None:
        """Report changes of these layers from now on, and of no others."""
        self._prompts.follow(prompt_layers)

    # --- what is there -------------------------------------------------------------------------

    def image_choices(self) -> tuple[Choice, ...]:
        """Return all Image layers: selected ones first, then visible ones, the topmost first."""
        chosen = self._viewer.layers.selection
        images = [layer for layer in reversed(self._viewer.layers) if _is(layer, "Image")]
        images.sort(key=lambda layer: (layer not in chosen, not layer.visible))
        return _choices(images)

    def target_choices(self) -> tuple[Choice, ...]:
        """Return all Labels layers but the preview and what is in hand."""
        return _choices(
            layer
            for layer in self._viewer.layers
            if _is(layer, "Labels") and not self._is_own(layer)
        )

    def prompt_choices(self) -> tuple[Choice, ...]:
        """Return all Points, Shapes and Labels layers but the preview and what is in hand."""
        return _choices(
            layer
            for layer in self._viewer.layers
            if _is(layer, "Points", "Shapes", "Labels") and not self._is_own(layer)
        )

    def _is_own(self, layer: Layer) -> bool:
        shown = OWN in layer.metadata
        return shown or any(layer == own for own in (self._preview.layer, self._overlay.layer))

    def _layer(self, key: str) -> Layer:
        layer = layers_by_id(self._viewer).get(key)
        if layer is None:
            raise DittoError("the layer is gone", todo="Choose another one in the dock")
        return layer

    def _image(self, images: Sequence[str]) -> Image:
        if not images:
            raise PromptError("no image is chosen", todo="Open an image first")
        return self._layer(images[0])

    # --- image and plane -----------------------------------------------------------------------

    def open_source(
        self, images: Sequence[str], window: Window | Literal["sampled", "contrast"]
    ) -> Source:
        """Return a lazy source over these Image layers."""
        source = adapters.source_from_layer([self._layer(key) for key in images], window)
        self._journals.describe(source, image_note(self._image(images)))
        return source

    def address(self, images: Sequence[str]) -> PlaneAddress:
        """Return the plane on show."""
        return adapters.plane_from_viewer(self._viewer.dims, self._image(images))

    # --- prompts -------------------------------------------------------------------------------

    def prompts(self, layers: Sequence[str], images: Sequence[str]) -> adapters.CollectedPrompts:
        """Return what these layers say about the plane on show, and what was left out."""
        image = self._image(images)
        members = [self._layer(key) for key in layers]
        return adapters.collect_prompts(members, image, self.address(images), self._viewer.dims)

    def prompt_sets(self, layers: Sequence[str], images: Sequence[str]) -> tuple[PromptSet, ...]:
        """Return what these layers say about each of many objects on the plane on show."""
        members = [self._layer(key) for key in layers]
        address = self.address(images)
        return objects_on_plane(members, self._image(images), address, self._viewer.dims)

    def prompt_state(self, layers: Sequence[str]) -> PromptState:
        """Return everything in these layers."""
        present = layers_by_id(self._viewer)
        return {key: capture(present[key]) for key in layers if key in present}

    def restore_prompts(self, state: PromptState) -> None:
        """Put the layers of `state` back to it; a layer that is gone is left out."""
        present = layers_by_id(self._viewer)
        for key, content in state.items():
            if key in present and not _is(present[key], "Labels"):
                put_back(present[key], content)

    def clear_prompts(self, layers: Sequence[str], images: Sequence[str]) -> tuple[str, ...]:
        """Remove the prompts of the plane on show; return the layers that stay in use."""
        image, address = self._image(images), self.address(images)
        stay = []
        for key in layers:
            layer = self._layer(key)
            if _is(layer, "Labels"):
                continue
            used = adapters.which_on_plane(layer, image, address, self._viewer.dims)
            put_back(layer, capture(layer).only(~used))
            stay.append(key)
        return tuple(stay)

    def add_points(self, images: Sequence[str]) -> str:
        """Arm our Points layer on the image; make it if there is none."""
        return self._arm(images, "Points", "add", adapters.new_points_layer)

    def add_boxes(self, images: Sequence[str]) -> str:
        """Arm our Shapes layer on the image with the rectangle; make it if there is none."""
        return self._arm(images, "Shapes", "add_rectangle", adapters.new_shapes_layer)

    def _arm(
        self, images: Sequence[str], kind: str, mode: str, make: Callable[[Image], Layer]
    ) -> str:
        image = self._image(images)
        ours = [
            layer
            for layer in self._viewer.layers
            if layer.metadata.get(_OWNER) == (kind, images[0])
        ]
        if ours:
            layer = ours[0]
        else:
            layer = make(image)
            layer.metadata[_OWNER] = (kind, images[0])
            self._viewer.layers.append(layer)
        layer.visible = True
        self._viewer.layers.selection.active = layer
        layer.mode = mode
        self._preview.prepare(image)
        return str(layer.unique_id)

    def toggle_sign(self, layers: Sequence[str], positive: bool) -> bool:
        """Flip the selected prompts of the active layer, else the sign of the next one."""
        active = self._viewer.layers.selection.active
        members = [self._layer(key) for key in layers]
        members = [layer for layer in members if not _is(layer, "Labels")]
        if active in members and str(active.mode) in ("select", "direct") and active.selected_data:
            adapters.toggle_sign(active)
            return not positive
        for layer in members:
            adapters.set_next_sign(layer, positive=positive)
        return positive

    # --- preview and labels --------------------------------------------------------------------

    def show_preview(self, images: Sequence[str], proposals: Proposals, choice: int) -> None:
        """Draw the outline of one candidate."""
        self._preview.show(self._image(images), proposals, choice)

    def show_previews(
        self, images: Sequence[str], address: PlaneAddress, masks: Sequence[PlacedMask]
    ) -> None:
        """Draw the outlines of objects that are accepted together."""
        self._preview.show_all(self._image(images), address, masks)

    def hide_preview(self) -> None:
        """Draw no outline."""
        self._preview.hide()

    def open_overlay(self, images: Sequence[str], held: InHand, below: str) -> None:
        """Lay an object in the user's hand; labels below are faded."""
        self._overlay.open(self._image(images), held, layers_by_id(self._viewer).get(below))

    def painted(self) -> InHand | None:
        """Return the object in hand as it is painted now."""
        return self._overlay.painted()

    def close_overlay(self) -> None:
        """Let the object in hand go."""
        self._overlay.close()

    def pointed_at(self, images: Sequence[str]) -> tuple[int, int]:
        """Return row and column under the cursor on the plane on show, inside of it or not."""
        image, dims = self._image(images), self._viewer.dims
        into = inverse(data_to_world(image, dims.units))
        world = np.asarray(self._viewer.cursor.position, dtype=np.float64)[-image.ndim :]
        at, names = transform(into, world[None])[0], adapters.axis_names(image)
        plane = self.address(images)
        row, column = (round(float(at[names.index(n)])) for n in (plane.rows, plane.columns))
        return row, column

    def label_store(self, target: str, source: Source, images: Sequence[str]) -> LabelStore:
        """Return the store behind a Labels layer."""
        layer, image = self._layer(target), self._image(images)
        store = adapters.label_store_for(layer, source, image)
        self._journals.record(store, image_note(image), layer.name)
        self.journal_layers.follow()
        return store

    def add_labels(
        self, images: Sequence[str], source: Source, store: LabelStore, name: str = ""
    ) -> str:
        """Show a new store as a Labels layer on the image, return its id."""
        layer = adapters.new_labels_layer(self._image(images), source, store)
        layer.name = name or layer.name
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(above_images(self._viewer), layer)
        self._viewer.layers.selection.active = active
        return str(layer.unique_id)

    def take_out(self, layer: str) -> object:
        """Take a layer out of the viewer, if it is there; return what :meth:`put_back` wants."""
        layers, found = self._viewer.layers, layers_by_id(self._viewer).get(layer)
        if found is None:
            return None
        place = layers.index(found)
        self.journal_layers.expect_back(layer)
        layers.remove(found)
        return found, place

    def put_back(self, held: object) -> None:
        """Put a layer back that was taken out, where it was; what was selected stays selected."""
        if held is None:
            return
        layer, place = cast("tuple[Layer, int]", held)
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(min(place, len(layers)), layer)
        layers.selection.active = active

    def refresh_labels(self, target: str) -> None:
        """Draw a Labels layer again after its store was written; one that is gone is left."""
        layer = layers_by_id(self._viewer).get(target)
        if layer is not None:
            adapters.refresh_labels(layer)

    @property
    def viewer_for_parts(self) -> Viewer | None:
        """The viewer itself, for the stages of other capabilities."""
        return self._viewer

    @property
    def stage(self) -> ViewerStage:
        """What examples and their results need of the viewer."""
        return self._stage

    @property
    def runs(self) -> ViewerRuns:
        """What runs over whole images need of the viewer."""
        return self._runs

    def close(self) -> None:
        """Let go of the viewer."""
        self._stage.close()
        self.journal_layers.close()
        self._layers_soon.stop()
        self._plane_soon.stop()
        self._prompts.close()
        for layer in self._images.values():
            layer.events.data.disconnect(self._on_image_data)
        self._connect("disconnect")
        self._preview.hide(remove=True)
        self._overlay.close(remove=True)


_OWNER = "ditto_prompts"


def _is(layer: object, *kinds: str) -> bool:
    from napari import layers

    return isinstance(layer, tuple(getattr(layers, kind) for kind in kinds))


def _choices(layers: Iterable[Any]) -> tuple[Choice, ...]:
    return tuple(Choice(str(layer.unique_id), layer.name) for layer in layers)
