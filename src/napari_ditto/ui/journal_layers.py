"""The viewer as journals see it: what an image is called, strokes of the brush, restored layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.regions import Region
from napari_ditto.errors import DittoError
from napari_ditto.ui import label_layers
from napari_ditto.ui.bridge import Debounce
from napari_ditto.ui.history import ValueEdit
from napari_ditto.ui.image_layers import layer_shape, level_0, source_axes
from napari_ditto.ui.journal_prompts import KeptPrompts
from napari_ditto.ui.journals import Journals
from napari_ditto.ui.layers_by_id import layers_by_id
from napari_ditto.ui.preview import above_images
from napari_ditto.ui.prompt_layers import NEGATIVE, POSITIVE, SIGN, signs
from napari_ditto.ui.prompt_state import LayerState, capture, put_back
from napari_ditto.ui.strokes import stroke_edit, touched
from napari_ditto.ui.transforms import data_to_world, inverse, transform, transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.utils.events import Event
    from napari.viewer import Viewer

    from napari_ditto.data.protocols import LabelStore

CALM_MILLISECONDS = 250
MAX_STROKES = 100
"""As many strokes as napari can undo are looked at again when a layer is drawn anew."""


def image_note(image: Image) -> ImageNote:
    """Return what finds an image layer again."""
    path, reader = image.source.path, image.source.reader_plugin
    where = str(Path(path).absolute()) if path and Path(path).exists() else str(path or "")
    kwargs = transform_kwargs(image, ndim=len(source_axes(image)))
    place = {
        "scale": kwargs["scale"].tolist(),
        "translate": kwargs["translate"].tolist(),
        "affine": kwargs["affine"].tolist(),
        "units": [str(unit) for unit in kwargs["units"]],
        "axis_labels": list(kwargs["axis_labels"]),
    }
    return ImageNote(image.name, where, reader or "", layer_shape(image), place)


class JournalLayers:
    """Follows the Labels layers of a viewer, and shows restored ones.

    Parameters
    ----------
    viewer : napari.Viewer
        Proxied or not; only public attributes are used.
    journals : Journals
        Where strokes go.
    """

    stroked = Signal(object)
    """The user has painted into a layer with napari's tools; carries the step as a ValueEdit."""

    def __init__(self, viewer: Viewer, journals: Journals) -> None:
        self._viewer, self._journals = viewer, journals
        self._strokes: dict[str, Strokes] = {}
        self._away: set[str] = set()

    def expect_back(self, key: str) -> None:
        """Keep the journal of a layer that Undo is about to take out of the viewer."""
        self._away.add(key)

    def follow(self) -> None:
        """Hear of strokes in the label layers that have a journal, and of layers that went."""
        present = layers_by_id(self._viewer)
        for key in [key for key in self._strokes if key not in present]:
            strokes = self._strokes.pop(key)
            strokes.close()
            # A window that closes takes all its layers along; that is no wish to delete them.
            if present and key not in self._away:
                self._journals.drop(strokes.store)
        self._away -= present.keys()
        for key, layer in present.items():
            store = layer.metadata.get(label_layers.STORE)
            known = self._strokes.get(key)
            if known is not None and known.store is not store:
                self._strokes.pop(key).close()
                known = None
            if known is None and getattr(store, "recorder", None) and not layer.multiscale:
                self._strokes[key] = Strokes(layer, store, self._journals, self.stroked.emit)

    def close(self) -> None:
        """Let go of the viewer."""
        for strokes in self._strokes.values():
            strokes.close()
        self._strokes.clear()

    # --- prompts ---------------------------------------------------------------------------------

    def prompts(
        self, layers: Sequence[str], images: Sequence[str]
    ) -> tuple[ImageNote, KeptPrompts] | None:
        """Return the prompts of these layers in pixels of their image; None without an image."""
        present = layers_by_id(self._viewer)
        image = present.get(images[0]) if images else None
        if image is None:
            return None
        members = [present[key] for key in layers if key in present]
        return image_note(image), _kept(members, image)

    def put_prompts(self, layer: str, prompts: KeptPrompts) -> None:
        """Add prompts to one of our layers, of points or of shapes."""
        found = next(x for x in self._viewer.layers if str(x.unique_id) == layer)
        before = capture(found)
        if hasattr(found, "shape_type"):
            columns = {"shape_type": prompts.kinds, "edge_width": prompts.widths}
            arrays, positive = prompts.shapes, prompts.shape_signs
        else:
            columns, arrays, positive = {}, tuple(prompts.points), prompts.signs
        columns[f"features.{SIGN}"] = tuple(POSITIVE if p else NEGATIVE for p in positive)
        names = before.columns.keys() | columns.keys()
        joined = {n: (*before.columns.get(n, ()), *columns.get(n, ())) for n in names}
        put_back(found, LayerState((*before.arrays, *arrays), joined))

    # --- restoring -------------------------------------------------------------------------------

    def find_image(self, note: ImageNote) -> str:
        """Return the image layer that a note is about, opened from its file if need be.

        ``""`` if it is neither here nor in its place.
        """
        found = self._here(note)
        # napari would run a script.
        is_script = Path(note.path).suffix.lower() == ".py"
        if not found and note.path and Path(note.path).exists() and not is_script:
            # Whatever the reader raises, the labels can be shown without the image.
            try:
                self._viewer.open(note.path, plugin=note.reader or "napari")
            except Exception as error:
                raise DittoError(
                    f"the image cannot be opened: {error}", where=note.path, todo="Open it yourself"
                ) from error
            found = self._here(note)
        return found

    def _here(self, note: ImageNote) -> str:
        from napari.layers import Image

        for layer in self._viewer.layers:
            same = isinstance(layer, Image) and layer_shape(layer) == note.shape
            if same and (layer.name == note.name or (note.path and layer.source.path == note.path)):
                return str(layer.unique_id)
        return ""

    def add_labels(self, store: LabelStore, note: ImageNote, name: str) -> str:
        """Show restored labels where they were; return the layer's id."""
        from napari.layers import Labels

        levels = list(getattr(store, "levels", ()))
        many = len(levels) > 1
        layer = Labels(
            levels if many else store.data,
            multiscale=many,
            name=name or f"Ditto labels [{note.name}]",
            metadata={label_layers.METADATA: {}, label_layers.STORE: store},
            **_placed(note, len(store.shape)),
        )
        if many:
            layer.editable = False
        self._viewer.layers.insert(above_images(self._viewer), layer)
        self.follow()
        return str(layer.unique_id)


def _placed(note: ImageNote, ndim: int) -> dict[str, Any]:
    """Return layer arguments out of a note, as far as they make sense."""
    shapes = {"scale": (ndim,), "translate": (ndim,), "affine": (ndim + 1, ndim + 1)}
    placed: dict[str, Any] = {}
    for name, shape in shapes.items():
        try:
            value = np.asarray(note.place.get(name), dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if value.shape == shape and np.isfinite(value).all():
            placed[name] = value
    for name in ("units", "axis_labels"):
        words = note.place.get(name)
        if isinstance(words, list) and len(words) == ndim and all(map(_is_word, words)):
            placed[name] = tuple(words)
    return placed


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 40


def _kept(layers: Sequence[Layer], image: Image) -> KeptPrompts:
    """Return points and shapes in pixels of an image; those of other axes are left out."""
    into = inverse(data_to_world(image))
    points, point_signs = [], []
    shapes, kinds, widths, shape_signs = [], [], [], []
    for layer in layers:
        if layer.ndim != image.ndim or not hasattr(layer, "selected_data"):
            continue
        matrix = into @ data_to_world(layer)
        positive = [bool(sign) for sign in signs(layer)]
        placed = [transform(matrix, np.atleast_2d(item)) for item in layer.data]
        if hasattr(layer, "shape_type"):
            shapes += placed
            kinds += [str(kind) for kind in layer.shape_type]
            widths += [float(width) for width in layer.edge_width]
            shape_signs += positive
        else:
            points += placed
            point_signs += positive
    at = np.concatenate(points) if points else np.zeros((0, image.ndim))
    return KeptPrompts(
        at, tuple(point_signs), tuple(shapes), tuple(kinds), tuple(widths), tuple(shape_signs)
    )


class Strokes:
    """Notes what the user paints into one Labels layer with napari's own tools.

    napari tells where it paints, but not where it undoes: so when the layer is drawn anew, the
    places of the last strokes are noted once more.
    """

    def __init__(
        self,
        layer: Labels,
        store: LabelStore,
        journals: Journals,
        tell: Callable[[ValueEdit], None],
    ) -> None:
        self.store, self._tell = store, tell
        self._layer, self._journals = layer, journals
        self._places: list[Region] = []
        self._again = Debounce(self._note_places, CALM_MILLISECONDS)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._again.ask)

    def close(self) -> None:
        """Hear no more."""
        self._again.stop()
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.set_data.disconnect(self._again.ask)

    def _on_paint(self, event: Event) -> None:
        if self.store.data is not level_0(self._layer):
            return  # the layer shows other data by now
        self._tell(stroke_edit(self._layer, event.value))
        for atom in event.value:
            place = touched(atom, layer_shape(self._layer))
            if place is not None:
                self._journals.note_stroke(self.store, place)
                self._places = [*self._places, place][-MAX_STROKES:]

    def _note_places(self) -> None:
        for place in self._places:
            self._journals.note_stroke(self.store, place)
