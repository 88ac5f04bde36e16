"""The capabilities behind the docks, in the order in which they hear of things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari_ditto.ui.desk import Desk
from napari_ditto.ui.examples.parts import Examples
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.part import Part
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.runner import Runner
from napari_ditto.ui.session import Session
from napari_ditto.ui.touching import Touching
from napari_ditto.ui.views import Scene
from napari_ditto.ui.whole.runs import WholeRuns

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_ditto.data.object_extents import Extents
    from napari_ditto.ui.objects_table.part import ObjectsPart


class Ask(Protocol):
    """What only the user knows; without a dock every answer is no."""

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        ...

    def ask_text(self, question: str, suggestion: str) -> str:
        """Ask for a name."""
        ...

    def ask_open(self, title: str, pattern: str) -> str:
        """Ask for a file to read."""
        ...

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write."""
        ...

    def ask_folder(self, title: str) -> str:
        """Ask for a folder."""
        ...


@dataclass(frozen=True)
class Tools:
    """What a part may use of the rest of a session.

    Attributes
    ----------
    interrupt : callable
        Drops what is running, whatever it has found.
    act, choose : callable
        As a dock's: do an action, take over a setting.
    """

    session: Session
    desk: Desk
    scene: Scene
    prompting: Prompting
    proposing: Proposing
    labelling: Labelling
    touching: Touching
    examples: Examples
    whole: WholeRuns
    ask: Ask
    interrupt: Callable[[], None]
    act: Callable[[str], None]
    choose: Callable[[str, object], None]


def make_parts(tools: Tools) -> tuple[Part, ...]:
    """Return the parts of one session."""
    parts: list[Part] = [_batch(tools)]
    viewer = tools.scene.viewer_for_parts
    if viewer is not None:
        objects = _objects(tools, viewer)
        edit = _objects_edit(tools, viewer, objects.known_extents)
        parts += [*_hover(tools, viewer), _keys(tools, viewer), edit, objects]
        parts += [_models(tools, viewer), _view(tools, viewer)]
        parts.append(_export(tools, viewer))
        parts.append(_project(tools, viewer, parts))
    return tuple(parts)


def _batch(tools: Tools) -> Part:
    from napari_ditto.ui.batch.part import BatchPart

    return BatchPart(tools.desk, tools.prompting, tools.proposing, tools.labelling, tools.touching)


def _hover(tools: Tools, viewer: Viewer) -> tuple[Part, ...]:
    from napari_ditto.ui import settings
    from napari_ditto.ui.hover.part import Hover
    from napari_ditto.ui.hover.refining import Refining, refinement_of
    from napari_ditto.ui.hover.stage import ViewerHover

    chosen, _ = settings.load()
    how, keep = refinement_of(chosen), settings.save
    refining = Refining(tools.session, tools.proposing, how, keep)
    stage, on = ViewerHover(viewer), chosen.live_preview
    return (Hover(tools.desk, tools.proposing, refining, stage, on, keep), refining)


def _keys(tools: Tools, viewer: Viewer) -> Part:
    from napari_ditto.ui.keymap import ACTIONS
    from napari_ditto.ui.keys.part import KeysPart
    from napari_ditto.ui.keys.stage import ViewerKeys

    handlers = {name: partial(tools.act, name) for name in ACTIONS}
    return KeysPart(tools.session, ViewerKeys(viewer, handlers))


def _view(tools: Tools, viewer: Viewer) -> Part:
    from napari_ditto.ui import settings
    from napari_ditto.ui.view.part import ViewPart
    from napari_ditto.ui.view.stage import ViewerView

    return ViewPart(tools.desk, tools.proposing, ViewerView(viewer), lambda: settings.load()[0])


def _objects_edit(tools: Tools, viewer: Viewer, extents: Callable[[str], Extents | None]) -> Part:
    from napari_ditto.ui.objects.edit_part import EditPart
    from napari_ditto.ui.objects.edit_stage import ViewerEditStage

    return EditPart(tools, ViewerEditStage(viewer), extents)


def _objects(tools: Tools, viewer: Viewer) -> ObjectsPart:
    from napari_ditto.ui.bridge import MainThread
    from napari_ditto.ui.commands import show_objects
    from napari_ditto.ui.objects_table.part import ObjectsPart
    from napari_ditto.ui.objects_table.stage import ViewerObjects

    thread, stage = Runner(MainThread().post), ViewerObjects(viewer)
    return ObjectsPart(tools.desk, tools.labelling, stage, thread, partial(show_objects, viewer))


def _models(tools: Tools, viewer: Viewer) -> Part:
    from napari_ditto.ui.bridge import MainThread
    from napari_ditto.ui.commands import show_models
    from napari_ditto.ui.models.part import ModelsPart

    thread = Runner(MainThread().post)
    return ModelsPart(tools.session, thread, tools.ask, tools.choose, partial(show_models, viewer))


def _project(tools: Tools, viewer: Viewer, others: Sequence[Part]) -> Part:
    from napari_ditto.ui.project.part import ProjectPart
    from napari_ditto.ui.project.stage import ViewerProject

    return ProjectPart(tools, ViewerProject(viewer), tuple(others))


def _export(tools: Tools, viewer: Viewer) -> Part:
    from napari_ditto.ui.bridge import MainThread
    from napari_ditto.ui.export.part import ExportPart
    from napari_ditto.ui.export.stage import ViewerExport

    thread = Runner(MainThread().post)
    return ExportPart(tools.session, ViewerExport(viewer), thread, tools.ask)
