"""Correcting one object by hand: a proposal before it is accepted, or a label that is there."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.data.label_extent import label_extent, with_room
from napari_ditto.data.labels import PLANE_LIMIT
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import LabelsError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.overlay import InHand
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import NEW_LABELS, Fixing

PAINT = "Paint, rub out or fill, then accept; Esc leaves it as it was"
NONE_HERE = "there is no label under the cursor, and the chosen one is not in view"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which object to take up: the one at a pixel, else a label in view."""

    store: LabelStore
    address: PlaneAddress
    shape: tuple[int, int]
    at: tuple[int, int] | None
    label: int
    view: Box


class Touching:
    """Lays an object in the user's hand, and takes it back as a proposal."""

    def __init__(self, desk: Desk, proposing: Proposing, labelling: Labelling) -> None:
        self._desk, self._session, self._scene = desk, desk.session, desk.scene
        self._proposing, self._labelling = proposing, labelling
        self._base: Proposals | None = None
        self._session.events.proposals.connect(self._on_proposals)

    def start(self) -> None:
        """Take up the proposal on show, else the label under the cursor; or let it go again."""
        if self._session.touching:
            self.cancel()
        elif self._session.has_object:
            self._take_proposal()
        else:
            self._take_label()

    def accept(self) -> None:
        """Accept what is painted, or the proposal on show."""
        held = self._scene.painted() if self._session.touching else None
        if held is None:
            self._session.touching = False
            return self._proposing.when_ready(self._labelling.accept)
        session, base = self._session, self._base
        if not held.mask.any() and session.fixing is None:
            raise LabelsError("nothing is painted", todo="Paint the object, or press Esc")
        self._let_go()
        session.choice = 0
        session.proposals = _by_hand(held, base)
        self._labelling.accept()
        session.proposals = None
        return self._scene.hide_preview()

    def cancel(self) -> None:
        """Leave the object as it was."""
        if not self._session.touching:
            return
        base, self._session.fixing = self._base, None
        self._let_go()
        self._session.hint = ""
        if base is not None and self._session.proposals is base:
            self._scene.show_preview(self._session.images, base, self._session.choice)

    def _let_go(self) -> None:
        self._session.touching, self._base = False, None
        self._scene.close_overlay()

    def _on_proposals(self, proposals: Proposals | None) -> None:
        """Give way to a newer mask of the model."""
        if self._session.touching and proposals is not None:
            self._let_go()

    def _take_proposal(self) -> None:
        session, base = self._session, self._session.proposals
        if base is None:
            return
        shape = self._proposing.setup().source.plane_shape(base.address)
        room = self._room(base.box, shape)
        mask = np.zeros(room.shape, dtype=bool)
        mask[base.box.shift(-room.y0, -room.x0).slices] = base.masks[session.choice]
        self._scene.hide_preview()
        self._hold(InHand(base.address, room, mask), base, "")

    def _take_label(self) -> None:
        session, scene = self._session, self._scene
        address, fixing = scene.address(session.images), session.fixing
        wanted = self._wanted(address)
        if fixing is not None and fixing.address == address:
            wanted = replace(wanted, store=fixing.store, at=None, label=fixing.label)
        target = session.target if fixing is None else fixing.layer

        def done(found: tuple[int, InHand]) -> None:
            label, held = found
            session.fixing = fixing or Fixing(target, wanted.store, address, label)
            self._hold(held, None, target)

        self._desk.run("looking for the label", lambda: take_up(wanted), done)

    def _wanted(self, address: PlaneAddress) -> Wanted:
        session, scene, source = self._session, self._scene, self._proposing.setup().source
        if session.target == NEW_LABELS:
            raise LabelsError("there are no labels yet", todo="Choose a Labels layer as target")
        return Wanted(
            scene.label_store(session.target, source, session.images),
            address,
            source.plane_shape(address),
            scene.pointed_at(session.images),
            scene.stage.selected_label(session.target),
            scene.stage.view_box(session.images),
        )

    def _hold(self, held: InHand, base: Proposals | None, below: str) -> None:
        session = self._session
        self._scene.open_overlay(session.images, held, below)
        session.touching, self._base, session.hint = True, base, PAINT

    def _room(self, box: Box, shape: tuple[int, int]) -> Box:
        return room_to_paint(box, self._scene.stage.view_box(self._session.images), shape)


def take_up(wanted: Wanted) -> Generator[Progress, None, tuple[int, InHand]]:
    """Return a label and its mask with room around it.

    Raises
    ------
    LabelsError
        If there is none.
    """
    yield Progress("read", text="looking for the label")
    store, address, shape = wanted.store, wanted.address, wanted.shape
    label = label_at(store, address, shape, wanted.at) if wanted.at else 0
    near = wanted.view
    if label:
        y, x = wanted.at or (0, 0)
        near = Box(y, x, y + 1, x + 1)
    label = label or wanted.label
    view_fits = near.area <= PLANE_LIMIT
    box = label_extent(store, address, shape, label, near) if label and view_fits else None
    if box is None or box.is_empty:
        raise LabelsError(NONE_HERE, todo="Point at a label and press the key, or zoom in on it")
    room = room_to_paint(box, wanted.view, shape)
    return label, InHand(address, room, store.read(address, room) == label)


def room_to_paint(box: Box, view: Box, shape: tuple[int, int]) -> Box:
    """Return what is editable: the view if that is not too much, and some room in any case."""
    near = with_room(box, (max(64, box.height // 2), max(64, box.width // 2)), shape)
    wide = near.union(view.intersect(Box.of_shape(shape)))
    return wide if wide.area <= PLANE_LIMIT else near


def label_at(
    store: LabelStore, address: PlaneAddress, shape: tuple[int, int], at: tuple[int, int]
) -> int:
    """Return the label of a pixel; 0 for background, and outside the plane."""
    y, x = at
    pixel = Box(y, x, y + 1, x + 1)
    if pixel.intersect(Box.of_shape(shape)) != pixel:
        return 0
    return max(0, int(store.read(address, pixel)[0, 0]))


def _by_hand(held: InHand, base: Proposals | None) -> Proposals:
    """Return what was painted as the one proposal there is."""
    scores = np.ones(1, dtype=np.float32)
    made = Proposals(held.mask[None], held.box, scores, 0, held.address, PromptSet(), by_hand=True)
    return made if base is None else replace(made, prompts=base.prompts, model=base.model)
