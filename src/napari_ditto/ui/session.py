"""What the dock knows: one evented state, the single source of truth, free of Qt and napari."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.window import Window
from napari_ditto.data.protocols import LabelStore, OverlapPolicy
from napari_ditto.models.names import DEFAULT_MODEL, FALLBACK_MODEL

NEW_LABELS = ""
"""The target that stands for a Labels layer which is made at the first accept."""

WindowMode = Literal["sampled", "contrast", "given"]


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a list that the user can pick from.

    Attributes
    ----------
    key : str
        What the program calls it: a layer's unique id, a model's name.
    text : str
        What the user reads.
    note : str
        A tooltip.
    """

    key: str
    text: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Fixing:
    """One object on one plane that the next accepted mask replaces.

    Attributes
    ----------
    layer : str
        Unique id of the Labels layer.
    store : LabelStore
        What it shows.
    address : PlaneAddress
        The plane.
    label : int
        The object.
    """

    layer: str
    store: LabelStore
    address: PlaneAddress
    label: int


@dataclass
class Session:
    """Everything that one dock shows; each field emits an event when it changes.

    Attributes
    ----------
    image_choices, target_choices, prompt_choices : tuple of Choice
        Layers of the viewer that can play each part; refreshed when layers come and go.
    model_choices, device_choices : tuple of Choice
        What this machine can run.
    images : tuple of str
        Unique ids of one to three Image layers, read as channels of one image.
    prompt_layers : tuple of str
        Unique ids of the layers whose content is read as prompts.
    model, other_model : str
        The model that answers, and the one that is a key press away: `classic`, or the chosen one.
    target : str
        Unique id of the Labels layer to write to, or `NEW_LABELS`.
    window : Window or None
        The intensity window in use; None until the image has been opened.
    min_area_px, min_score
        Size and estimated IoU that an object needs to count when everything is segmented.
    diameter : float
        About how large the objects are, pixels at level 0; 0 is not known.
    text : str
        What the objects are called, for a model that finds things by name; ``""`` for no name.
    positive : bool
        Sign of the next click or stroke.
    address : PlaneAddress or None
        The plane on show; None while nothing 2-D of the image is shown.
    proposals, choice
        What the model offers for `prompts`, and which candidate is shown.
    offered : int
        How many objects are on show that are accepted together.
    asked : bool
        Whether a newer proposal is on its way.
    working : str
        What is being done, ``""`` when nothing is.
    cancellable : bool
        Whether Cancel makes sense for what is being done.
    hint, error : str
        One line of advice, one line of trouble; ``""`` for none.
    remark : str
        One line on prompts that are not read as the user may think.
    ready : bool
        Whether image and model are loaded, so that the next click is quick.
    fixing : Fixing or None
        What the next accepted mask replaces, if it is on that plane.
    touching : bool
        Whether an object is being corrected by hand.
    unsaved : str
        What an earlier session has left and can be restored, ``""`` for nothing.
    undo_text, redo_text : str
        What Undo and Redo would do, ``""`` for nothing.
    undo_note : str
        What can no longer be undone, said once; ``""`` for nothing.
    undo_bytes : int
        Memory for what can be undone; read once, at the start.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    image_choices: tuple[Choice, ...] = ()
    target_choices: tuple[Choice, ...] = ()
    prompt_choices: tuple[Choice, ...] = ()
    model_choices: tuple[Choice, ...] = (Choice(DEFAULT_MODEL, DEFAULT_MODEL),)
    device_choices: tuple[Choice, ...] = (Choice("auto", "auto"),)
    images: tuple[str, ...] = ()
    prompt_layers: tuple[str, ...] = ()
    target: str = NEW_LABELS
    model: str = DEFAULT_MODEL
    other_model: str = FALLBACK_MODEL
    device: str = "auto"
    overlap: OverlapPolicy = "keep"
    window_mode: WindowMode = "sampled"
    window: Window | None = None
    min_area_px: int = 20
    min_score: float = 0.5
    diameter: float = 0.0
    text: str = ""
    positive: bool = True
    address: PlaneAddress | None = None
    prompts: PromptSet = field(default_factory=PromptSet)
    proposals: Proposals | None = None
    choice: int = 0
    offered: int = 0
    asked: bool = False
    working: str = ""
    cancellable: bool = True
    progress: Progress | None = None
    hint: str = ""
    error: str = ""
    remark: str = ""
    ready: bool = False
    fixing: Fixing | None = None
    touching: bool = False
    unsaved: str = ""
    undo_text: str = ""
    redo_text: str = ""
    undo_note: str = ""
    undo_bytes: int = 256 * 2**20

    def __post_init__(self) -> None:
        if self.model == FALLBACK_MODEL:
            self.other_model = DEFAULT_MODEL

    def choose_model(self, model: str) -> None:
        """Let a model answer; from `classic` a key press leads back to the one before."""
        if model == self.model:
            return
        if model != FALLBACK_MODEL:
            self.other_model = FALLBACK_MODEL
        elif self.model != FALLBACK_MODEL:
            self.other_model = self.model
        self.model = model

    @property
    def has_object(self) -> bool:
        """Whether there is a mask to accept."""
        return self.proposals is not None and not self.proposals.is_empty
