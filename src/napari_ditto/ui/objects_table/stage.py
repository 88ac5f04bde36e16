"""What the table of objects needs of the viewer, and a napari viewer that gives it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal, SignalInstance

from napari_ditto.core.bounded import Bounded
from napari_ditto.data.label_reading import wrap_labels
from napari_ditto.data.measured import Subject, short_unit
from napari_ditto.data.regions import Region
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.image_layers import axis_names, level_0
from napari_ditto.ui.label_layers import UNFINISHED
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.objects_table.colouring import Colors
from napari_ditto.ui.overlay import NAME as IN_HAND
from napari_ditto.ui.preview import NAME as PREVIEW
from napari_ditto.ui.preview import OWN
from napari_ditto.ui.strokes import touched
from napari_ditto.ui.transforms import data_to_world, transform

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.events import Event
    from napari.viewer import Viewer

CALM_MILLISECONDS = 250
"""A stroke of the brush ends before its labels are looked at."""

FILL = 0.5
"""An object that is jumped to with the camera fills at most so much of the canvas."""

SMALLEST = 1 / 40
"""And at least so much."""

MAX_PLACES = 100
"""As many strokes as napari can undo."""

MOST_COMPARED = 1 << 20
"""Pixels of the place of a stroke that are looked at."""

Place = tuple[tuple[int, int], ...]


class ObjectsStage(Protocol):
    """The Labels layers of a viewer, as far as the table of objects is concerned."""

    selected: SignalInstance
    """Another layer is active, or another label is selected in it."""
    edited: SignalInstance
    """The user painted in the layer that is followed; carries its id and a list of regions, None
    if all of it may be different."""

    def labels(self, target: str) -> str:
        """Return the Labels layer that the user means: the active one, else the target."""
        ...

    def all_labels(self) -> tuple[str, ...]:
        """Return all Labels layers but those that only show something."""
        ...

    def name(self, layer: str) -> str:
        """Return the name of a layer."""
        ...

    def is_unfinished(self, layer: str) -> bool:
        """Whether a run still writes to a layer."""
        ...

    def subject(self, layer: str) -> Subject:
        """Return what to measure; the same value as long as the layer shows the same data."""
        ...

    def selected_label(self, layer: str) -> int:
        """Return the id that is selected in a layer."""
        ...

    def follow(self, layer: str) -> None:
        """Report what happens to this layer, ``""`` for none, and to no other."""
        ...

    def go_to(
        self, layer: str, label: int, at: Sequence[float], size: Sequence[float], *, zoom: bool
    ) -> None:
        """Select a label and show it: `at` and `size` in the layer's pixels.

        Without `zoom` the camera moves only if the place is out of view.
        """
        ...

    def paint(self, layer: str, colors: Colors | None) -> None:
        """Draw a layer in these colours, None for napari's own by id."""
        ...

    def dtype(self, layer: str) -> np.dtype[Any]:
        """Return the type of a layer's ids."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...


class ViewerObjects:
    """A napari viewer as an :class:`ObjectsStage`.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    """

    selected = Signal()
    edited = Signal(str, object)

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._followed: Followed | None = None
        self._subjects: dict[str, tuple[object, Subject]] = {}
        self._before: dict[str, Any] = {}
        self._selected_soon = Debounce(self.selected.emit)
        viewer.layers.selection.events.active.connect(self._selected_soon.ask)

    # --- what is there ---------------------------------------------------------------------------

    def labels(self, target: str) -> str:
        """Return the active Labels layer, else the target, else the topmost one."""
        keys = self.all_labels()
        active = self._viewer.layers.selection.active
        chosen = "" if active is None else str(active.unique_id)
        wanted = [key for key in (chosen, target) if key in keys]
        return (*wanted, *reversed(keys), "")[0]

    def all_labels(self) -> tuple[str, ...]:
        """Return all Labels layers but those that only show something, the lowest first."""
        from napari.layers import Labels

        return tuple(
            str(layer.unique_id)
            for layer in self._viewer.layers
            if isinstance(layer, Labels)
            and layer.name not in (PREVIEW, IN_HAND)
            and not layer.metadata.get(OWN)
        )

    def name(self, layer: str) -> str:
        """Return the name of a layer, ``""`` if it is gone."""
        found = layers_by_id(self._viewer).get(layer)
        return "" if found is None else str(found.name)

    def is_unfinished(self, layer: str) -> bool:
        """Whether a run still writes to a layer."""
        found = layers_by_id(self._viewer).get(layer)
        return found is not None and bool(found.metadata.get(UNFINISHED))

    def subject(self, layer: str) -> Subject:
        """Return what to measure."""
        found = layers_by_id(self._viewer)[layer]
        data = level_0(found)
        axes = tuple(axis_names(found))
        scale = tuple(float(abs(size)) or 1.0 for size in found.scale)
        units = tuple(short_unit(unit) for unit in found.units)
        kept, subject = self._subjects.get(layer, (None, None))
        now = (axes, scale, units)
        if kept is data and subject and (subject.axes, subject.scale, subject.units) == now:
            return subject
        made = Subject(wrap_labels(data, f"layer '{found.name}'"), *now)
        self._subjects[layer] = (data, made)
        return made

    def dtype(self, layer: str) -> np.dtype[Any]:
        """Return the type of a layer's ids."""
        return np.dtype(level_0(layers_by_id(self._viewer)[layer]).dtype)

    def selected_label(self, layer: str) -> int:
        """Return the id that is selected in a layer, 0 if it is gone."""
        found = layers_by_id(self._viewer).get(layer)
        return 0 if found is None else int(found.selected_label)

    # --- what happens ----------------------------------------------------------------------------

    def follow(self, layer: str) -> None:
        """Report what happens to this layer and to no other."""
        found = layers_by_id(self._viewer).get(layer)
        if self._followed is not None and found is self._followed.layer:
            return
        if self._followed is not None:
            self._followed.close()
        self._followed = None if found is None else Followed(found, self)
        self._subjects = {key: kept for key, kept in self._subjects.items() if self.name(key)}

    def tell_selected(self, _: Event | None = None) -> None:
        """Report soon that something else is selected."""
        self._selected_soon()

    # --- what is shown ---------------------------------------------------------------------------

    def go_to(
        self, layer: str, label: int, at: Sequence[float], size: Sequence[float], *, zoom: bool
    ) -> None:
        """Select a label and show it."""
        found, dims = layers_by_id(self._viewer)[layer], self._viewer.dims
        found.selected_label = label
        found.visible = True
        world = transform(data_to_world(found, dims.units), np.asarray(at, dtype=float)[None])[0]
        missing = dims.ndim - found.ndim
        shown = [axis - missing for axis in dims.displayed if axis >= missing]
        fixed = [axis for axis in range(found.ndim) if axis not in shown]
        if fixed:
            dims.set_point([axis + missing for axis in fixed], [float(world[a]) for a in fixed])
        view = _view(found)[:, shown]
        inside = ((view[0] <= np.asarray(at)[shown]) & (np.asarray(at)[shown] <= view[1])).all()
        if zoom or not inside:
            camera = self._viewer.scene.camera
            center = [float(world[axis]) for axis in shown]
            camera.center = (*camera.center[: 3 - len(center)], *center)
        if zoom:
            share = float((np.asarray(size)[shown] / np.maximum(view[1] - view[0], 1)).max())
            self._viewer.scene.camera.zoom *= _bounded(share) / share if share > 0 else 1.0

    def paint(self, layer: str, colors: Colors | None) -> None:
        """Draw a layer in these colours, or as it was before."""
        found = layers_by_id(self._viewer).get(layer)
        if found is None:
            self._before.pop(layer, None)
        elif colors is not None:
            self._before.setdefault(layer, found.colormap)
            found.colormap = colors
        elif layer in self._before:
            found.colormap = self._before.pop(layer)

    def close(self) -> None:
        """Disconnect."""
        self._selected_soon.stop()
        self._viewer.layers.selection.events.active.disconnect(self._selected_soon.ask)
        self.follow("")


class Followed:
    """One Labels layer whose selection and whose strokes are reported.

    napari tells where it paints, but not where it undoes: so whenever the layer is drawn anew, the
    places of the last strokes are compared with what they were.
    """

    def __init__(self, layer: Labels, stage: ViewerObjects) -> None:
        self.layer, self._stage = layer, stage
        self._places: Bounded[Place, int] = Bounded(MAX_PLACES)
        self._again = Debounce(self._compare, CALM_MILLISECONDS)
        # A run that ends shows other data first, and is finished after that.
        self._on_data = Debounce(self._tell_all)
        layer.events.selected_label.connect(stage.tell_selected)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._again.ask)
        layer.events.data.connect(self._on_data.ask)
        # Results tell by their table of confidences that they were written anew.
        layer.events.features.connect(self._on_data.ask)

    def close(self) -> None:
        """Hear no more."""
        self._again.stop()
        self._on_data.stop()
        events = self.layer.events
        events.selected_label.disconnect(self._stage.tell_selected)
        events.paint.disconnect(self._on_paint)
        events.set_data.disconnect(self._again.ask)
        events.data.disconnect(self._on_data.ask)
        events.features.disconnect(self._on_data.ask)

    def _tell_all(self) -> None:
        self._tell(None)

    def _on_paint(self, event: Event) -> None:
        for atom in event.value:
            region = touched(atom, level_0(self.layer).shape)
            if region is None:
                return self._tell(None)
            self._places[tuple((s.start, s.stop) for s in region)] = 0
        self._again()
        return None

    def _compare(self) -> None:
        changed = []
        for place, before in self._places.items():
            region = tuple(slice(*ends) for ends in place)
            now = _digest(np.asarray(level_0(self.layer)[region]))
            if now != before:
                self._places[place] = now
                changed.append(region)
        if changed:
            self._tell(changed)

    def _tell(self, regions: list[Region] | None) -> None:
        self._stage.edited.emit(str(self.layer.unique_id), regions)


def _digest(block: Any) -> int:  # noqa: ANN401  # an array of ids
    step = max(1, round((block.size / MOST_COMPARED) ** 0.5))
    return zlib.crc32(block[..., ::step, ::step].tobytes())


def _view(layer: Labels) -> NDArray[np.float64]:
    """Return the first and the last pixel that the canvas shows of a layer, shape (2, axes)."""
    view = np.asarray(layer.corner_pixels, dtype=np.float64)
    return view * layer.downsample_factors[layer.data_level] if layer.multiscale else view


def _bounded(share: float) -> float:
    return min(max(share, SMALLEST), FILL)
