"""What a dock shows, worked out from the session by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from napari_ditto.core.window import Window
from napari_ditto.data.protocols import OverlapPolicy
from napari_ditto.models.registry import reads_diameter, reads_text
from napari_ditto.ui.session import NEW_LABELS, Choice, Session

NEW_LABELS_CHOICE = Choice(NEW_LABELS, "new layer", "Made when you accept the first object")
FIRST_HINT = "Add points or boxes, then click on an object"


@dataclass(frozen=True, slots=True)
class Button:
    """Whether a button works now, and if not, why."""

    enabled: bool = True
    why: str = ""


@dataclass(frozen=True)
class DockState:
    """Everything a dock draws; see :class:`Session` for the meaning of the fields.

    Attributes
    ----------
    status : str
        One line: what is being done, or what to do next.
    mood : {"ready", "busy", "hint", "error"}
        How to colour it.
    fraction : float or None
        Part done of the running job; None where it cannot be known.
    busy : bool
        Whether progress and Cancel make sense.
    diameter : float or None
        The hint to the model; None where the model reads none.
    text : str or None
        What to look for by name; None where the model reads no words.
    proposal : str
        "2 of 3, score 0.87", or ``""``.
    touching : bool
        Whether an object is being corrected by hand.
    unsaved : str
        What can be restored, or ``""``.
    buttons : mapping of str to Button
        By action.
    """

    images: tuple[Choice, ...] = ()
    chosen_images: tuple[str, ...] = ()
    targets: tuple[Choice, ...] = (NEW_LABELS_CHOICE,)
    target: str = NEW_LABELS
    models: tuple[Choice, ...] = ()
    model: str = ""
    other_model: str = ""
    devices: tuple[Choice, ...] = ()
    device: str = ""
    prompt_layers: tuple[Choice, ...] = ()
    chosen_prompt_layers: tuple[str, ...] = ()
    overlap: OverlapPolicy = "keep"
    window_mode: str = "sampled"
    window: Window | None = None
    min_area_px: int = 20
    min_score: float = 0.5
    diameter: float | None = None
    text: str | None = None
    positive: bool = True
    status: str = ""
    mood: Literal["ready", "busy", "hint", "error"] = "ready"
    fraction: float | None = None
    busy: bool = False
    proposal: str = ""
    touching: bool = False
    unsaved: str = ""
    buttons: Mapping[str, Button] = field(default_factory=dict)


def resolve(session: Session) -> DockState:
    """Return what a dock shows of a session."""
    status, mood = _status(session)
    return DockState(
        images=session.image_choices,
        chosen_images=session.images,
        targets=(NEW_LABELS_CHOICE, *session.target_choices),
        target=session.target,
        models=session.model_choices,
        model=session.model,
        other_model=session.other_model,
        devices=session.device_choices,
        device=session.device,
        prompt_layers=session.prompt_choices,
        chosen_prompt_layers=session.prompt_layers,
        overlap=session.overlap,
        window_mode=session.window_mode,
        window=session.window,
        min_area_px=session.min_area_px,
        min_score=session.min_score,
        diameter=session.diameter if reads_diameter(session.model) else None,
        text=session.text if reads_text(session.model) else None,
        positive=session.positive,
        status=status,
        mood=mood,
        fraction=_fraction(session),
        busy=bool(session.working) and session.cancellable,
        proposal=_proposal(session),
        touching=session.touching,
        unsaved=session.unsaved,
        buttons=_buttons(session),
    )


def _status(session: Session) -> tuple[str, Literal["ready", "busy", "hint", "error"]]:
    if session.error:
        return session.error, "error"
    if session.working:
        told = session.progress.text if session.progress else ""
        return told or session.working, "busy"
    if session.hint or session.undo_note:
        return ". ".join(filter(None, (session.hint, session.undo_note))), "hint"
    if not session.images:
        return "Open an image to begin", "hint"
    if session.remark:
        return session.remark, "hint"
    if session.prompts.is_empty:
        return FIRST_HINT, "ready"
    if session.offered:
        return f"These masks are by {session.model}: accept them all", "ready"
    return f"This mask is by {session.model}" if session.has_object else "Ready", "ready"


def _fraction(session: Session) -> float | None:
    progress = session.progress
    if not session.working or progress is None or progress.total <= 1:
        return None
    return min(1.0, progress.done / progress.total)


def _proposal(session: Session) -> str:
    proposals = session.proposals
    if session.offered:
        return "1 object" if session.offered == 1 else f"{session.offered} objects"
    if proposals is None or not session.has_object:
        return ""
    score = float(proposals.scores[session.choice])
    return f"{session.choice + 1} of {len(proposals)}, score {score:.2f}"


def _buttons(session: Session) -> dict[str, Button]:
    image = when(bool(session.images), "Open an image first")
    asking = bool(session.working) and session.cancellable
    mask = when(
        session.has_object or session.offered > 0 or session.asked or session.touching,
        "Nothing to accept yet: click on an object",
    )
    several = session.has_object and session.proposals is not None and len(session.proposals) > 1
    return {
        "new_points": image,
        "new_boxes": image,
        "toggle_sign": when(bool(session.prompt_layers), "Add points or boxes first"),
        "next_proposal": when(
            several,
            "There is only one proposal"
            if session.has_object
            else "No proposal yet: click on an object",
        ),
        "accept": mask,
        "touch_up": when(
            session.has_object or session.touching or session.target != NEW_LABELS,
            "Nothing to correct yet: click on an object, or choose a Labels layer",
        ),
        "swap_model": Button(),
        "undo": when(bool(session.undo_text), "Nothing to undo"),
        "redo": when(bool(session.redo_text), "Nothing to redo"),
        "clear": when(not session.prompts.is_empty, "No prompts on this plane"),
        "segment_all": _everything(session, image),
        "cancel": when(asking, "Nothing is running"),
    }


def when(possible: bool, otherwise: str) -> Button:
    """Return an enabled button, or a disabled one with the reason."""
    return Button() if possible else Button(False, otherwise)


def _everything(session: Session, image: Button) -> Button:
    if not image.enabled:
        return image
    if session.address is None:
        return Button(False, "Show a plane of the image in 2-D first")
    if session.working:
        return Button(False, "Wait for what is running, or cancel it")
    return Button()
