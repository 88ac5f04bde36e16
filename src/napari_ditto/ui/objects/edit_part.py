"""Working on accepted objects, as a capability of the docks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from napari_ditto.ui.objects.doubting import Doubting, KnownExtents
from napari_ditto.ui.objects.edit_stage import EditStage
from napari_ditto.ui.objects.edit_state import EditState, resolve_edit
from napari_ditto.ui.objects.editing import Editing
from napari_ditto.ui.objects.picking import Picking
from napari_ditto.ui.part import Part
from napari_ditto.ui.parts import Tools


class EditPart(Part):
    """Picks objects, does what is asked to them, and goes through the doubtful ones.

    Settings: ``objects_edit.everywhere`` (bool) and ``objects_edit.pick`` (layer and ids), which
    picks these objects and no others.

    Parameters
    ----------
    tools : Tools
        The rest of the session.
    stage : EditStage
        The viewer.
    extents : callable
        Where the objects of a layer are, if somebody knows.
    """

    name = "objects_edit"

    def __init__(
        self, tools: Tools, stage: EditStage, extents: KnownExtents = lambda _: None
    ) -> None:
        self._tools, self._stage = tools, stage
        self._picking = Picking(tools.desk, tools.proposing, tools.labelling, stage)
        self._editing = Editing(tools, self._picking, stage)
        self._doubting = Doubting(tools, self._picking, extents)
        self._by_clicks = False
        stage.clicked.connect(self._on_clicked)
        self._picking.changed.connect(self.changed.emit)
        for event in (
            tools.session.events.target,
            tools.session.events.target_choices,
            tools.session.events.prompts,
            tools.session.events.address,
        ):
            event.connect(self._tell)

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What keys and buttons do; the keys of the review work on accepted objects, too."""
        own = {
            "pick_object": self._picking.toggle_pointed,
            "pick_tool": self._toggle_picker,
            "merge_objects": self._editing.merge,
            "split_object": self._editing.split,
            "split_planes": self._editing.split_planes,
            "delete_objects": self._editing.delete,
            "renumber_objects": self._editing.renumber,
        }
        return {
            **{name: self._telling(call) for name, call in own.items()},
            **self._doubting.actions(self._tools.examples.actions),
        }

    def _tell(self) -> None:
        self.changed.emit()

    def _telling(self, call: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            call()
            self.changed.emit()

        return act

    def choose(self, field: str, value: object) -> None:
        """Take over a setting."""
        if field == "objects_edit.everywhere":
            self._editing.everywhere = bool(value)
        elif field == "objects_edit.pick":
            layer, ids = cast("tuple[str, tuple[int, ...]]", value)
            self._picking.pick(layer, ids)
        self.changed.emit()

    def shown(self) -> EditState:
        """Return what the buttons draw."""
        return resolve_edit(
            self._tools.session,
            self._picking.picked,
            picking=self._by_clicks,
            cutting=self._editing.cutting,
            everywhere=self._editing.everywhere,
        )

    def refresh(self) -> None:
        """Look at the picked objects on the plane on show, if they are still there."""
        self._picking.refresh()
        self.changed.emit()

    def prompted(self) -> None:
        """Cut along the line that was waited for."""
        self._editing.prompted()

    def cancelled(self) -> None:
        """Let objects and tools go."""
        self._editing.cancelled()
        self._put_picker_down()
        self._picking.let_go()

    def close(self) -> None:
        """Let go of the viewer."""
        self._stage.close()

    # --- the pick tool ---------------------------------------------------------------------------

    def _toggle_picker(self) -> None:
        if self._by_clicks:
            return self._put_picker_down()
        self._editing.cancelled()
        self._stage.take_up_picker(self._picking.target())
        self._by_clicks = True
        self._tools.session.hint = "Click on objects to pick them, again to let them go"
        return None

    def _put_picker_down(self) -> None:
        if self._by_clicks:
            self._by_clicks = False
            self._stage.put_down()

    def _on_clicked(self) -> None:
        self._tools.desk.guarded(self._picking.toggle_pointed)
