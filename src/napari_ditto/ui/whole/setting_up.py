"""From what the user chooses to an order: axes, part, target; nothing is read or computed here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.run_plan import Join, Polygon
from napari_ditto.data.protocols import Source
from napari_ditto.errors import PromptError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.everything import name_of
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.whole.areas import corners
from napari_ditto.ui.whole.jobs import Order
from napari_ditto.ui.whole.session import AxisRange, WholeSession
from napari_ditto.ui.whole.state import join_choices
from napari_ditto.ui.whole.targets import suggest_target

NO_CLUSTER = (
    "This image lives in the memory of this program: save it as OME-Zarr or TIFF and open "
    "that, and a cluster can read it too"
)
MOST_THREADS = 4


class SettingUp:
    """Keeps the settings of a run true to the viewer, and makes orders of them."""

    def __init__(
        self, desk: Desk, proposing: Proposing, examples: ExamplesSession, state: WholeSession
    ) -> None:
        self._desk, self._proposing = desk, proposing
        self._examples, self._state = examples, state
        self._of: tuple[str, ...] = ()
        self._join: Join | None = None
        state.workers = usual_workers()

    def choose(self, name: str, value: Any) -> None:  # noqa: ANN401 - what the dock says
        """Take over one setting."""
        state = self._state
        if name == "range":
            axis, first, last = value
            state.axes = tuple(
                AxisRange(a.name, a.size, min(first, last), max(first, last))
                if a.name == axis
                else a
                for a in state.axes
            )
        elif name == "target":
            state.target, state.target_given = str(value).strip(), bool(str(value).strip())
            state.report, state.failures = "", ()
        else:
            self._join = value if name == "join" else self._join
            setattr(state, name, value)

    def look(self) -> None:
        """Bring choices up to date with the layers, the image and the plane on show."""
        state, session, scene = self._state, self._desk.session, self._desk.scene
        state.area_choices = scene.runs.area_choices()
        known = [choice.key for choice in state.area_choices]
        if state.areas not in known:
            state.areas = known[0] if known else ""
        if not session.images:
            return
        source, address = self._proposing.setup().source, scene.address(session.images)
        state.axes = _ranges(source, address, state.axes if self._of == session.images else ())
        self._look_at_source(source)
        self._of = session.images
        keys = [c.key for c in join_choices(state, state.kind, self._examples.one_kind)]
        usual: Join = "z" if "z" in keys else "t" if "t" in keys else "none"
        state.join = self._join if self._join in keys and self._join else usual

    def _look_at_source(self, source: Source) -> None:
        """Note who can read the image, and where its labels go."""
        state, images = self._state, self._desk.session.images
        origin = getattr(source, "origin", None)
        state.why_no_cluster = "" if origin is not None else NO_CLUSTER
        if origin is None:
            state.where = "here"
        if self._of != images or not state.target:
            state.target_given = False
            state.target = str(suggest_target(self._image_path(source), source.name))

    def _image_path(self, source: Source) -> Path | None:
        opened = self._desk.scene.runs.image_path(self._desk.session.images)
        if opened is not None:
            return opened
        origin = getattr(source, "origin", None)
        while origin is not None and origin.parts:
            origin = origin.parts[0]
        return image_folder(Path(origin.paths[0])) if origin is not None else None

    def order(self) -> Order:
        """Return what the user wants.

        Raises
        ------
        PromptError
            If no image, no plane, or no area is there.
        """
        state, session, examples = self._state, self._desk.session, self._examples
        if not session.images:
            raise PromptError("no image is chosen", todo="Open an image first")
        address = self._desk.scene.address(session.images)
        here = state.where == "here"
        return Order(
            self._proposing.setup(),
            state.kind,
            address,
            self._within(address),
            self._region(address),
            state.folder.absolute(),
            state.target_given,
            state.join,
            state.skip_empty,
            session.min_area_px,
            session.min_score,
            examples.enabled,
            examples.tuned,
            examples.one_kind,
            examples.threshold,
            state.workers if here else 1,
            "" if here else state.cluster,
            name_of(session) if state.kind == "all" else "",
        )

    def _within(self, address: PlaneAddress) -> dict[str, tuple[int, int]]:
        state = self._state
        if state.planes == "this":
            return {name: (index, index + 1) for name, index in address.fixed}
        if state.planes == "all":
            return {axis.name: (0, axis.size) for axis in state.axes}
        return {axis.name: (axis.first, axis.last + 1) for axis in state.axes}

    def _region(self, address: PlaneAddress) -> tuple[Polygon, ...]:
        state, images = self._state, self._desk.session.images
        if state.part == "view":
            return (corners(self._desk.scene.stage.view_box(images)),)
        if state.part != "areas":
            return ()
        if not state.areas:
            raise PromptError(
                "there is no Shapes layer",
                todo="Make one and draw a rectangle, an ellipse or a polygon",
            )
        return self._desk.scene.runs.areas(state.areas, images, address)


def _ranges(
    source: Source, address: PlaneAddress, before: tuple[AxisRange, ...]
) -> tuple[AxisRange, ...]:
    """Return the axes that are not shown, with the ranges that were chosen before."""
    sizes = dict(zip(source.axes, source.shape, strict=True))
    kept = {(axis.name, axis.size): axis for axis in before}
    return tuple(
        kept.get((name, sizes[name]), AxisRange(name, sizes[name], 0, sizes[name] - 1))
        for name, _ in address.fixed
    )


def usual_workers() -> int:
    """Return how many tiles at once leave room for what the user does meanwhile."""
    return max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))


def image_folder(path: Path) -> Path:
    """Return the outermost zarr group that a level of an image lies in, or the path itself."""
    marks = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
    while any((path.parent / mark).is_file() for mark in marks):
        path = path.parent
    return path
