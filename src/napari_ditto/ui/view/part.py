"""Manners with large images: what is in view is encoded while nobody works, and can be seen.

It never makes anybody wait for more than one tile: its job is an idle one, which every other job
drops, and it rests while the user moves the mouse or the view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from psygnal import SignalInstance

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.engine.ahead import ahead_level
from napari_ditto.engine.predict import Pyramid
from napari_ditto.errors import DittoError
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.ui.desk import Desk, quietly
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.part import Part
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.settings import Settings

MOST_DRAWN = 2000
"""Tiles in the grid; the latest ones where there are more."""


class ViewStage(Protocol):
    """The part of a viewer that is looked at."""

    stirred: SignalInstance
    """The user moves the mouse or the view."""
    rested: SignalInstance
    """The user has done neither for a moment, or it was asked for."""

    def rest_soon(self) -> None:
        """Tell in a moment that the user rests, if it is so."""
        ...

    def show_tiles(
        self, images: Sequence[str], address: PlaneAddress, boxes: Sequence[Box]
    ) -> None:
        """Draw boxes of a plane as a faint grid."""
        ...

    def hide_tiles(self) -> None:
        """Draw no grid."""
        ...

    def close(self) -> None:
        """Let go of the viewer."""
        ...


@dataclass(frozen=True, slots=True)
class ViewState:
    """What a dock shows of the view.

    Attributes
    ----------
    text : str
        The level in use, and how many tiles are ready while the grid is shown.
    grid : bool
        Whether the encoded tiles are shown.
    """

    text: str = ""
    grid: bool = False


class ViewPart(Part):
    """Encodes ahead of the user, and shows what is encoded.

    Parameters
    ----------
    desk, proposing
        The rest of the session.
    stage : ViewStage
        The viewer.
    chosen : callable
        Returns the user's settings.
    """

    name = "view"

    def __init__(
        self, desk: Desk, proposing: Proposing, stage: ViewStage, chosen: Callable[[], Settings]
    ) -> None:
        self._desk, self._session, self._proposing = desk, desk.session, proposing
        self._stage, self._chosen = stage, chosen
        self._stirring = self._grid = False
        self._over: tuple[Setup, PlaneAddress, Box] | None = None
        self._state = ViewState()
        stage.stirred.connect(self._on_stirred)
        stage.rested.connect(lambda: quietly(self._on_rested))
        self._session.events.working.connect(self._on_working)
        self._session.events.proposals.connect(self._tell)

    @property
    def actions(self) -> Mapping[str, Callable[[], None]]:
        """What the user can do."""
        return {"show_tiles": self._toggle_grid}

    def shown(self) -> ViewState:
        """Return what a dock shows."""
        return self._state

    def refresh(self) -> None:
        """Look at another plane or image once the user rests."""
        if not self._session.images:
            self._stage.hide_tiles()
        self._stage.rest_soon()

    def close(self) -> None:
        """Encode no more, and take the grid away."""
        self._stirring = True
        self._stage.close()

    def _on_stirred(self) -> None:
        self._stirring = True

    def _on_working(self, name: str) -> None:
        if not name:
            self._stage.rest_soon()

    def _on_rested(self) -> None:
        self._stirring = False
        self._tell()
        self._draw()
        self._work_ahead()

    # --- ahead -----------------------------------------------------------------------------------

    def _work_ahead(self) -> None:
        wanted = self._wanted()
        if wanted is None or wanted == self._over:
            return
        if self._desk.runner.is_busy:
            self._stage.rest_soon()
            return
        setup, address, view = wanted
        workshop, memory = self._desk.workshop, self._chosen().cache_memory_mb * 2**20 // 2
        self._desk.run_idle(
            "encoding ahead",
            lambda: workshop.ahead(setup, address, view, memory, lambda: not self._stirring),
            lambda over: self._on_encoded(wanted if over else None),
            lambda _: self._on_encoded(None),
        )

    def _wanted(self) -> tuple[Setup, PlaneAddress, Box] | None:
        """Return what to encode now, None where nothing should be."""
        session, scene = self._session, self._desk.scene
        if session.working or session.asked or not session.images:
            return None
        if not (self._chosen().encode_ahead and self._spec()):
            return None
        address = scene.address(session.images)
        return self._proposing.setup(), address, scene.stage.view_box(session.images)

    def _on_encoded(self, over: tuple[Setup, PlaneAddress, Box] | None) -> None:
        self._over = over
        if self._grid:
            self._tell()
            self._draw()

    # --- what is shown ---------------------------------------------------------------------------

    def _toggle_grid(self) -> None:
        self._grid = not self._grid
        self._tell()
        self._draw()

    def _tell(self, *_: object) -> None:
        """Tell docks which level is in use, if that is another one now."""
        try:
            state = ViewState(self._text(), self._grid)
        except DittoError:
            state = ViewState(grid=self._grid)
        if state != self._state:
            self._state = state
            self.changed.emit()

    def _text(self) -> str:
        session = self._session
        if not session.images:
            return ""
        source, address = self._proposing.setup().source, self._desk.scene.address(session.images)
        ready = f"{len(self._tiles(address))} tiles encoded" if self._grid else ""
        if source.levels == 1:
            return ready
        level = self._level(address) if session.proposals is None else session.proposals.level
        used = level_text(level, max(source.factor(address, level)))
        return ", ".join(filter(None, (used, ready)))

    def _level(self, address: PlaneAddress) -> int:
        """Return the level that what is in view is looked at on."""
        source, spec = self._proposing.setup().source, self._spec()
        view = self._desk.scene.stage.view_box(self._session.images)
        size = spec.input_size if spec is not None else 512
        return ahead_level(Pyramid.of(source, address), size, view)

    def _draw(self) -> None:
        session, spec = self._session, self._spec()
        if not (self._grid and session.images and spec is not None):
            return self._stage.hide_tiles()
        address = self._desk.scene.address(session.images)
        pyramid = Pyramid.of(self._proposing.setup().source, address)
        tiles = self._tiles(address)[-MOST_DRAWN:]
        cores = [core(tile, pyramid, spec.input_size) for tile in tiles]
        return self._stage.show_tiles(session.images, address, cores)

    def _tiles(self, address: PlaneAddress) -> tuple[Tile, ...]:
        return self._desk.workshop.encoded(self._proposing.setup(), address)

    def _spec(self) -> ModelSpec | None:
        return self._desk.workshop.spec(self._session.model, self._session.device)


def core(tile: Tile, pyramid: Pyramid, size: int) -> Box:
    """Return where clicks are answered from a tile, pixels at level 0."""
    grid = Grid(pyramid.shapes[tile.level], size, level=tile.level)
    return grid.core(tile).scale(*pyramid.factors[tile.level])


def level_text(level: int, factor: float) -> str:
    """Return a level as the user reads it: ``"level 2 (1/4)"``."""
    return f"level {level} (1/{factor:g})" if level else "level 0 (full resolution)"
