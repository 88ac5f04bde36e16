"""What the controller needs of the viewer and of a dock; both can be faked in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import SignalInstance

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.lineage import Lineage
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.run_plan import Kind, Polygon
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.examples.state import ExamplesState
from napari_ditto.ui.overlay import InHand
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.prompt_state import PromptState
from napari_ditto.ui.session import Choice
from napari_ditto.ui.whole.state import WholeState

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Scene(Protocol):
    """The viewer, as far as the controller is concerned; layers go by their unique ids.

    Methods that look at layers raise :class:`DittoError` where a layer is gone or does not fit.
    """

    layers_changed: SignalInstance
    """Layers came, went or got another name."""
    image_edited: SignalInstance
    """An image layer holds other pixels now; carries its id."""
    prompts_changed: SignalInstance
    """Points, shapes or the chosen label changed; not while the mouse still drags."""
    plane_changed: SignalInstance
    """Another slice, axis order or 2-D/3-D view is shown."""
    stroked: SignalInstance
    """The user painted into labels of ours with napari's tools; carries the ValueEdit."""
    action_pressed: SignalInstance
    """A key of ours was pressed on a layer; carries the action."""

    def image_choices(self) -> tuple[Choice, ...]:
        """Return all Image layers, the selected one first where there is one."""
        ...

    def target_choices(self) -> tuple[Choice, ...]:
        """Return all Labels layers that could be written to."""
        ...

    def prompt_choices(self) -> tuple[Choice, ...]:
        """Return all layers that can be read as prompts."""
        ...

    def watch(self, prompt_layers: Sequence[str]) -> None:
        """Report changes of these prompt layers, and bind our keys to them."""
        ...

    def open_source(
        self, images: Sequence[str], window: Window | Literal["sampled", "contrast"]
    ) -> Source:
        """Return a lazy source over these Image layers."""
        ...

    def address(self, images: Sequence[str]) -> PlaneAddress:
        """Return the plane on show."""
        ...

    def prompts(self, layers: Sequence[str], images: Sequence[str]) -> CollectedPrompts:
        """Return what these layers say about the plane on show, and what was left out."""
        ...

    def prompt_sets(self, layers: Sequence[str], images: Sequence[str]) -> tuple[PromptSet, ...]:
        """Return what these layers say where each point, area and stroke is its own object."""
        ...

    def prompt_state(self, layers: Sequence[str]) -> PromptState:
        """Return everything in these layers, for undo."""
        ...

    def restore_prompts(self, state: PromptState) -> None:
        """Put the layers of `state` back to it; a layer that is gone is left out."""
        ...

    def clear_prompts(self, layers: Sequence[str], images: Sequence[str]) -> tuple[str, ...]:
        """Remove what :meth:`prompts` returns; return the layers that stay in use.

        Other planes keep their prompts. A Labels layer cannot be cleared, so it is let go.
        """
        ...

    def add_points(self, images: Sequence[str]) -> str:
        """Make (or find) our Points layer, arm it, return its id."""
        ...

    def add_boxes(self, images: Sequence[str]) -> str:
        """Make (or find) our Shapes layer, arm it with the rectangle, return its id."""
        ...

    def toggle_sign(self, layers: Sequence[str], positive: bool) -> bool:
        """Flip the selected prompts, or the next one's sign; return the sign of the next."""
        ...

    def show_preview(self, images: Sequence[str], proposals: Proposals, choice: int) -> None:
        """Draw the outline of one candidate."""
        ...

    def show_previews(
        self, images: Sequence[str], address: PlaneAddress, masks: Sequence[PlacedMask]
    ) -> None:
        """Draw the outlines of objects that are accepted together."""
        ...

    def hide_preview(self) -> None:
        """Draw no outline."""
        ...

    def open_overlay(self, images: Sequence[str], held: InHand, below: str) -> None:
        """Lay an object in the user's hand, above the labels it comes from if there are any."""
        ...

    def painted(self) -> InHand | None:
        """Return the object in hand as it is painted now, None if there is none."""
        ...

    def close_overlay(self) -> None:
        """Let the object in hand go."""
        ...

    def pointed_at(self, images: Sequence[str]) -> tuple[int, int] | None:
        """Return row and column under the cursor on the plane on show."""
        ...

    def label_store(self, target: str, source: Source, images: Sequence[str]) -> LabelStore:
        """Return the store behind a Labels layer; raises :class:`LabelsError` on misfit."""
        ...

    def add_labels(
        self, images: Sequence[str], source: Source, store: LabelStore, name: str = ""
    ) -> str:
        """Show a new store as a Labels layer on the image, by default named after it.

        Returns the id of the layer.
        """
        ...

    def take_out(self, layer: str) -> object:
        """Take a layer out of the viewer, if it is there; return what :meth:`put_back` wants."""
        ...

    def put_back(self, held: object) -> None:
        """Put a layer back that was taken out."""
        ...

    def refresh_labels(self, target: str) -> None:
        """Draw a Labels layer again after a write."""
        ...

    @property
    def viewer_for_parts(self) -> Viewer | None:
        """The viewer itself, for the stages of other capabilities; None where there is none."""
        ...

    @property
    def stage(self) -> Stage:
        """What examples and their results need of the viewer."""
        ...

    @property
    def runs(self) -> RunStage:
        """What runs over whole images need of the viewer."""
        ...

    def close(self) -> None:
        """Let go of the viewer: disconnect, and remove the preview."""
        ...


class Stage(Protocol):
    """The part of the viewer that examples are taken from and results are shown on."""

    labels_edited: SignalInstance
    """A watched Labels layer was edited by hand; carries its id. Debounced."""

    def watch(self, labels: Sequence[str]) -> None:
        """Report edits of these Labels layers, and bind the keys of the review to them."""
        ...

    def likely_labels(self) -> str:
        """Return the Labels layer that the user most likely means, ``""`` if there is none."""
        ...

    def selected_label(self, labels: str) -> int:
        """Return the id that is selected in a Labels layer."""
        ...

    def name(self, key: str) -> str:
        """Return the name of a layer, ``""`` if it is gone."""
        ...

    def is_partly_labelled(self, labels: str) -> bool:
        """Whether the labels were made object by object, so that others may be unlabelled."""
        ...

    def labels_on_plane(
        self, labels: str, images: Sequence[str], address: PlaneAddress, box: Box
    ) -> NDArray[np.integer]:
        """Return a copy of the labels in a box of an image's plane, shape ``box.shape``."""
        ...

    def drawing(
        self, layers: Sequence[str], images: Sequence[str], box: Box
    ) -> NDArray[np.integer]:
        """Return what is drawn on the plane on show, each shape under an id of its own."""
        ...

    def view_box(self, images: Sequence[str]) -> Box:
        """Return the part of the plane that the canvas shows."""
        ...

    def go_to(self, images: Sequence[str], address: PlaneAddress) -> None:
        """Show a plane of an image."""
        ...

    def select_label(
        self, labels: str, label: int, images: Sequence[str], center: tuple[float, float] | None
    ) -> None:
        """Make a Labels layer active with a label selected, and bring `center` into view."""
        ...

    def add_result(
        self, images: Sequence[str], source: Source, store: LabelStore, name: str
    ) -> str:
        """Show a new store as a Labels layer named after the image, return its id."""
        ...

    def describe_labels(
        self, labels: str, ids: Sequence[int], confidence: Sequence[float], model: str
    ) -> None:
        """Put a table of confidences into the layer's features, and draw it again."""
        ...

    def redraw(self, labels: str, images: Sequence[str], address: PlaneAddress) -> None:
        """Draw a Labels layer again if it shows this plane."""
        ...

    def add_tracks(self, images: Sequence[str], source: Source, lineage: Lineage) -> str:
        """Show tracks and their graph as a Tracks layer, return its id."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class RunStage(Protocol):
    """The part of the viewer that runs over whole images look at and show themselves in."""

    def area_choices(self) -> tuple[Choice, ...]:
        """Return all Shapes layers."""
        ...

    def areas(
        self, shapes: str, images: Sequence[str], address: PlaneAddress
    ) -> tuple[Polygon, ...]:
        """Return the shapes of a layer as polygons on the planes of an image."""
        ...

    def image_path(self, images: Sequence[str]) -> Path | None:
        """Return the file or folder that the viewer has opened an image from."""
        ...

    def show_run(self, images: Sequence[str], levels: Sequence[object]) -> str:
        """Show the levels of an unfinished run over an image, read only; return the layer's id."""
        ...

    def refresh_run(self, layer: str, *, now: bool = False) -> None:
        """Draw the layer again, unless it was drawn a moment ago."""
        ...

    def finish_run(self, layer: str, store: LabelStore, provenance: Mapping[str, object]) -> None:
        """Make the layer one like any other, over its store."""
        ...

    def begin_again(self, layer: str) -> None:
        """Let a layer be no target any more: a run writes to it again."""
        ...

    def go_to_tile(self, images: Sequence[str], address: PlaneAddress, box: Box) -> None:
        """Show a tile: move the sliders to its plane, the camera over it."""
        ...


class DockView(Protocol):
    """A passive dock: it draws a state, and tells what the user pressed or chose."""

    acted: SignalInstance
    """A button was pressed; carries the action's name."""
    chose: SignalInstance
    """A setting was changed; carries the session's field name and the value."""

    def show_state(self, state: DockState) -> None:
        """Show this and nothing else."""
        ...

    def show_examples(self, state: ExamplesState) -> None:
        """Show this of the examples and their results; a dock may have no place for it."""
        ...

    def show_whole(self, states: Mapping[Kind, WholeState]) -> None:
        """Show this of runs over whole images: for everything, and for what is like examples."""
        ...

    def show_part(self, name: str, state: object) -> None:
        """Show this of another capability, by its name; a dock may have no place for it."""
        ...

    def confirm(self, question: str) -> bool:
        """Ask the user before something long."""
        ...

    def ask_text(self, question: str, suggestion: str) -> str:
        """Ask for a name; ``""`` if the user thinks better of it."""
        ...

    def ask_open(self, title: str, pattern: str) -> str:
        """Ask for a file to read, ``"Examples (*.ditto-examples)"``; ``""`` for none."""
        ...

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write; ``""`` for none."""
        ...

    def ask_folder(self, title: str) -> str:
        """Ask for a folder, ``""`` if the user thinks better of it."""
        ...
