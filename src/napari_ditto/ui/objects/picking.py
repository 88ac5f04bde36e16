"""Objects in the user's hand: picked one by one, outlined, refined by clicks."""

from __future__ import annotations

import functools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from psygnal import Signal

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import MaskPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.data.label_extent import label_extent
from napari_ditto.data.label_search import find_labels
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import DittoError, LabelsError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.objects.edit_stage import EditStage
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import Fixing
from napari_ditto.ui.touching import label_at

NEAR = 0.5
"""Clicks this part of an object's side away from it are about the object."""
NEAR_PIXELS = 8

MANY = 8
"""More objects are looked for all at once."""

NOWHERE = Box(0, 0, 0, 0)

ONE = (
    "Object {} is picked: click to refine it and accept, paint with Shift+T, or split, merge or "
    "delete it; H lets it go"
)


@dataclass(frozen=True, eq=False)
class Picked:
    """Objects of one Labels layer.

    Attributes
    ----------
    layer : str
        Unique id of the layer, ``""`` for none.
    store : LabelStore or None
        What it shows.
    ids : tuple of int
        The objects, in the order in which they were picked.
    address : PlaneAddress
        The plane on which they were looked at last.
    masks : mapping of int to PlacedMask
        Those of them that are on it.
    """

    layer: str = ""
    store: LabelStore | None = None
    ids: tuple[int, ...] = ()
    address: PlaneAddress = field(default_factory=PlaneAddress)
    masks: Mapping[int, PlacedMask] = field(default_factory=dict)

    @property
    def one(self) -> int:
        """The object, if it is one alone; else 0."""
        return self.ids[0] if len(self.ids) == 1 else 0


@dataclass(frozen=True, slots=True)
class Look:
    """What to look for: an object under a pixel, or the places of objects that are known."""

    store: LabelStore
    axes: tuple[str, ...]
    address: PlaneAddress
    shape: tuple[int, int]
    near: Box
    at: tuple[int, int] | None = None
    ids: tuple[int, ...] = ()


class Picking:
    """Keeps the picked objects, and lets the next accepted mask replace the one alone."""

    changed = Signal()

    def __init__(
        self, desk: Desk, proposing: Proposing, labelling: Labelling, stage: EditStage
    ) -> None:
        self._desk, self._session, self._scene = desk, desk.session, desk.scene
        self._proposing, self._stage = proposing, stage
        self.picked = Picked()
        self._fixing: Fixing | None = None
        self._turn = 0
        proposing.additions.append(self._with_mask)
        self._session.events.proposals.connect(self._settle)
        self._session.events.choice.connect(self._settle)
        labelling.fixed.connect(self._on_fixed)
        labelling.written.connect(self._on_written)

    # --- picking ---------------------------------------------------------------------------------

    def target(self) -> str:
        """Return the Labels layer that is meant: the target, else the one that is active.

        Raises
        ------
        LabelsError
            If there is none.
        """
        target = self._session.target or self._scene.stage.likely_labels()
        if not target:
            raise LabelsError("there are no labels yet", todo="Accept an object first")
        return target

    def toggle_pointed(self) -> None:
        """Pick the object under the cursor as well, or let it go; beside objects, let all go."""
        target = self.target()
        look = replace(self._look(target), at=self._scene.pointed_at(self._session.images))
        self._desk.run(
            "looking for the object",
            lambda: find_picked(look),
            lambda found: self._toggle(target, look, found),
        )

    def _toggle(self, target: str, look: Look, found: Mapping[int, PlacedMask]) -> None:
        picked = self.picked if self.picked.layer == target else Picked()
        if not found:
            return self.let_go()
        label = next(iter(found))
        if label in picked.ids:
            ids = tuple(i for i in picked.ids if i != label)
        else:
            ids = (*picked.ids, label)
        known = picked.masks if picked.address == look.address else {}
        masks = {i: m for i, m in {**known, **found}.items() if i in ids}
        self._hold(Picked(target, look.store, ids, look.address, masks))
        return None

    def pick(self, layer: str, ids: Sequence[int], hint: str | None = "") -> None:
        """Pick these objects and no others; say `hint` about them, None for nothing new."""
        look = replace(self._look(layer), ids=tuple(ids))
        self._turn += 1
        turn = self._turn

        def done(found: Mapping[int, PlacedMask]) -> None:
            if turn == self._turn:  # else something else was picked, or let go, meanwhile
                # In a stack an object may be elsewhere; where there is one plane, it is gone.
                stacked = math.prod(look.store.shape) > math.prod(look.shape)
                there = look.ids if stacked else tuple(found)
                self._hold(Picked(layer, look.store, there, look.address, found), hint)

        self._desk.run("looking for the object", lambda: find_picked(look), done)

    def let_go(self) -> None:
        """Have nothing picked."""
        if self.picked.ids:
            self._hold(Picked())
        else:
            self._turn += 1  # what is on its way comes too late

    def _look(self, layer: str) -> Look:
        images, source = self._session.images, self._proposing.setup().source
        store = self._scene.label_store(layer, source, images)
        address = self._scene.address(images)
        view = self._scene.stage.view_box(images)
        return Look(store, source.axes, address, source.plane_shape(address), view)

    def _hold(self, picked: Picked, hint: str | None = "") -> None:
        self._turn += 1
        before, self.picked = self.picked, picked
        if picked.ids:
            shown = tuple(picked.masks.values())
            self._stage.outline(self._session.images, picked.address, shown)
            if hint is not None:
                self._session.hint = hint or _told(picked)
        elif before.ids:
            self._stage.hide()
            self._session.hint = ""
        self._settle()
        if not self._session.prompts.is_empty:
            self._proposing.look()
        self.changed.emit()

    # --- keeping up ------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Another plane may be on show, or the layer gone."""
        picked = self.picked
        if not picked.ids:
            return
        if not self._scene.stage.name(picked.layer):
            self.let_go()
        elif self._address() != picked.address:
            self._look_again()

    def _address(self) -> PlaneAddress | None:
        try:
            return self._scene.address(self._session.images)
        except DittoError:
            return None  # no plane of the image is on show, such as in 3-D view

    def _look_again(self) -> None:
        if self._address() is None:
            return self._stage.hide()
        try:
            return self.pick(self.picked.layer, self.picked.ids, None)
        except LabelsError:
            return self.let_go()  # another image is chosen, which they do not fit

    def _on_written(self, layer: str) -> None:
        if layer == self.picked.layer and self.picked.ids:
            self._desk.guarded(self._look_again)

    def _on_fixed(self, fixing: Fixing) -> None:
        if fixing is self._fixing:
            self._fixing = None
            hint = self._session.hint
            self.let_go()
            self._session.hint = hint

    # --- refining --------------------------------------------------------------------------------

    def _with_mask(self, address: PlaneAddress, prompts: PromptSet) -> PromptSet:
        """Tell the model of the picked object, if the prompts are about it."""
        mask = self.picked.masks.get(self.picked.one)
        if mask is None or address != self.picked.address or prompts.mask or prompts.box:
            return prompts
        if not _near(prompts, mask.box):
            return prompts
        return replace(prompts, mask=MaskPrompt(mask.box, mask.mask))

    def _settle(self, _: object = None) -> None:
        """Let the next accepted mask replace the picked object, unless it is another one."""
        session, picked = self._session, self.picked
        if session.fixing is not None and session.fixing is not self._fixing:
            return  # of the review, which knows what it does
        session.fixing = self._fixing = self._wanted(session.proposals, session.choice)
        if session.has_object and self._fixing is not None:
            self._stage.step_back(picked.layer)
        else:
            self._stage.come_forward()

    def _wanted(self, proposals: Proposals | None, choice: int) -> Fixing | None:
        """Return what the mask on show is to replace: the picked object if they meet."""
        picked, known = self.picked, self._fixing
        mask = picked.masks.get(picked.one)
        if mask is None or picked.store is None or not _meets(proposals, choice, mask):
            return None
        if known and (known.label, known.address) == (picked.one, picked.address):
            return known
        return Fixing(picked.layer, picked.store, picked.address, picked.one)


def _told(picked: Picked) -> str:
    several = f"Objects {', '.join(map(str, picked.ids))} are picked; H lets them go"
    return ONE.format(picked.one) if picked.one else several


def find_picked(look: Look) -> Generator[Progress, None, dict[int, PlacedMask]]:
    """Return the object under a pixel, or all of some objects that are on a plane."""
    yield Progress("read", text="looking for the object")
    ids, near = look.ids, look.near
    if look.at is not None:
        label = label_at(look.store, look.address, look.shape, look.at)
        ids, near = (label,) if label else (), Box(*look.at, look.at[0] + 1, look.at[1] + 1)
    if len(ids) > MANY:
        boxes = yield from _many(look)
    else:
        place = look.store, look.address, look.shape
        boxes = {label: label_extent(*place, label, near) for label in ids}
    return {
        label: PlacedMask(box, look.store.read(look.address, box) == label)
        for label, box in boxes.items()
        if not box.is_empty
    }


def _many(look: Look) -> Generator[Progress, None, dict[int, Box]]:
    """Return the boxes of many objects of a plane, which is looked through once."""
    found = yield from find_labels(look.store, look.axes, look.ids, look.address)
    return {
        label: functools.reduce(Box.union, (place.box for place in places), NOWHERE)
        for label, places in found.items()
    }


def _near(prompts: PromptSet, box: Box) -> bool:
    margin = max(NEAR_PIXELS, round(NEAR * max(box.shape)))
    around = box.grow(margin)
    spots = [(p.y, p.x) for p in prompts.points]
    spots += [spot for stroke in prompts.scribbles for spot in stroke.path]
    return any(around.contains(y, x) for y, x in spots)


def _meets(proposals: Proposals | None, choice: int, mask: PlacedMask) -> bool:
    """Whether a proposed mask shares a pixel with an object; without a proposal it may yet."""
    if proposals is None or proposals.is_empty:
        return True
    return bool((mask.in_box(proposals.box) & proposals.masks[choice]).any())
