"""What the controller needs of the viewer and of a dock; both can be faked in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from psygnal import SignalInstance

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.ui.dockstate import DockState
from napari_ditto.ui.prompt_reading import CollectedPrompts
from napari_ditto.ui.prompt_state import PromptState
from napari_ditto.ui.session import Choice


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

    def hide_preview(self) -> None:
        """Draw no outline."""
        ...

    def label_store(self, target: str, source: Source, images: Sequence[str]) -> LabelStore:
        """Return the store behind a Labels layer; raises :class:`LabelsError` on misfit."""
        ...

    def add_labels(self, images: Sequence[str], source: Source, store: LabelStore) -> str:
        """Show a new store as a Labels layer on the image, return its id."""
        ...

    def refresh_labels(self, target: str, provenance: Sequence[Mapping[str, object]] = ()) -> None:
        """Draw a Labels layer again after a write, and note where its labels come from."""
        ...

    def close(self) -> None:
        """Let go of the viewer: disconnect, and remove the preview."""
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

    def confirm(self, question: str) -> bool:
        """Ask the user before something long."""
        ...
