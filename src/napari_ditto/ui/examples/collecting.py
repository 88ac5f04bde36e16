"""The list of examples: added from labels or drawings, kept as snapshots, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.proposals import Proposals
from napari_ditto.errors import DittoError, LabelsError, PromptError
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.jobs import Picture
from napari_ditto.ui.examples.session import Changed, Row, Sharpened
from napari_ditto.ui.session import NEW_LABELS

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

FILES = "Ditto examples (*.ditto-examples)"
SUFFIX = ".ditto-examples"


class Collecting:
    """Keeps the list of examples."""

    def __init__(self, bench: Bench, rows_changed: Callable[[], None]) -> None:
        self._bench, self._state, self._rows_changed = bench, bench.state, rows_changed
        self._numbers = count()

    # --- from labels -----------------------------------------------------------------------------

    def add(self) -> None:
        """Take the labels on the plane on show as an example; one that is there is renewed."""
        bench = self._bench
        layer, images = self.labels_layer(), bench.session.images
        ids = (bench.stage.selected_label(layer),) if self._state.only_selected else None
        self.take(layer, bench.scene.address(images), bench.example_box(bench.setup), ids)

    def take(
        self, layer: str, address: PlaneAddress, box: Box, ids: tuple[int, ...] | None = None
    ) -> None:
        """Take the labels of a layer on one plane of the image as an example."""
        images = self._bench.session.images
        labels = self._bench.stage.labels_on_plane(layer, images, address, box)
        if not _asked_for(labels, ids).any():
            raise LabelsError(
                "there is no label to take on this plane" if ids is None
                else f"label {ids[0]} is not on this plane",
                where=self._bench.stage.name(layer),
                todo="Label an object here first, or go to a plane with labels",
            )  # fmt: skip
        same = [r for r in self._state.rows if (r.layer, r.address, r.ids) == (layer, address, ids)]
        if same:
            self._renew(same[0], labels)
        else:
            self._append(self._example(layer, address, box, labels, ids), layer, images[0])

    def _example(
        self,
        layer: str,
        address: PlaneAddress,
        box: Box,
        labels: NDArray[np.integer],
        ids: tuple[int, ...] | None,
    ) -> PlaneExample:
        from napari_ditto.engine.examples import PlaneExample

        source, stage = self._bench.setup.source, self._bench.stage
        return PlaneExample(
            source,
            address,
            labels,
            box=None if box == Box.of_shape(source.plane_shape(address)) else box,
            name=_name(stage.name(layer), address, ids),
            partial=stage.is_partly_labelled(layer),
            ids=ids,
        )

    def _append(self, example: PlaneExample, layer: str = "", image: str = "") -> str:
        shown = _asked_for(example.labels, example.ids)
        objects = len(np.unique(shown[shown > 0]))
        key = str(next(self._numbers))
        row = Row(key, example, layer, image, example.address, objects, example.ids)
        self._state.rows = (*self._state.rows, row)
        self._rows_changed()
        self._draw(row)
        return key

    def _draw(self, row: Row) -> None:
        jobs, example = self._bench.jobs, row.example

        def done(picture: Picture) -> None:
            self._change(row.key, lambda now: replace(now, picture=picture))

        self._bench.desk.run("reading the example", lambda: jobs.picture(example), done)

    def labels_layer(self) -> str:
        """Return the Labels layer that is chosen, or the one that is most likely meant."""
        session = self._bench.session
        layer = session.target or self._bench.stage.likely_labels()
        if not layer:
            raise LabelsError(
                "there are no labels yet", todo="Label an object with Ditto or with a brush first"
            )
        if session.target == NEW_LABELS:
            session.target = layer
        return layer

    def add_if_empty(self) -> None:
        """Take the plane on show if there is no example yet: one click less."""
        if not self._state.rows:
            self.add()

    # --- from a drawing --------------------------------------------------------------------------

    def draw(self) -> None:
        """Outline what is drawn on this plane with the model, and show it before it is used."""
        from napari_ditto.engine.examples import PlaneExample

        bench, setup = self._bench, self._bench.setup
        images = bench.session.images
        address, box = bench.scene.address(images), bench.example_box(setup)
        labels = bench.stage.drawing(bench.session.prompt_layers, images, box)
        if not labels.any():
            raise PromptError(
                "nothing is drawn on this plane", todo="Draw round the thing, or across it"
            )
        whole = box == Box.of_shape(setup.source.plane_shape(address))
        rough = PlaneExample(
            setup.source, address, labels, box=None if whole else box,
            name=_name("drawing", address, None), partial=True,
        )  # fmt: skip
        jobs = bench.jobs
        bench.desk.run(
            "outlining what you drew",
            lambda: jobs.sharpen(setup, rough),
            lambda sharp: self._offer(sharp, images),
        )

    def _offer(self, sharp: PlaneExample, images: tuple[str, ...]) -> None:
        objects = len(np.unique(sharp.labels[sharp.labels > 0]))
        self._state.sharpened = Sharpened(sharp, images[0], objects)
        prompts = self._bench.session.prompts
        masks, scores = (sharp.labels > 0)[None], np.ones(1, dtype=np.float32)
        shown = Proposals(masks, sharp.where, scores, 0, sharp.address, prompts)
        self._bench.scene.show_preview(images, shown, 0)

    def use_drawing(self, use: bool) -> None:
        """Take the outlined drawing as an example and clear the prompts, or forget it."""
        offered, self._state.sharpened = self._state.sharpened, None
        bench, session = self._bench, self._bench.session
        if offered is not None and use:
            self._append(offered.example, image=offered.image)
            bench.labelling.note(bench.prompting.clear())
            bench.proposing.look()
        bench.scene.hide_preview()
        if session.has_object and session.proposals is not None:
            bench.scene.show_preview(session.images, session.proposals, session.choice)

    # --- single rows -----------------------------------------------------------------------------

    def change(self, key: str, field: str, value: bool) -> None:
        """Set `enabled`, `negative` or `partial` of an example."""
        self._change(key, lambda row: replace(row, example=_with_flag(row.example, field, value)))

    def remove(self, key: str) -> None:
        """Take an example out of the list."""
        self._state.rows = tuple(row for row in self._state.rows if row.key != key)
        self._rows_changed()

    def renew(self, key: str) -> None:
        """Take the labels of an example's layer as they are now."""
        row = next(row for row in self._state.rows if row.key == key)
        self._renew(row, self._now(row))

    def _renew(self, row: Row, labels: NDArray[np.integer]) -> None:
        shown = _asked_for(labels, row.ids)
        objects = len(np.unique(shown[shown > 0]))
        new = replace(row, example=replace(row.example, labels=labels), objects=objects, changed="")
        self._change(row.key, lambda _: new)
        self._draw(new)

    def _change(self, key: str, how: Callable[[Row], Row]) -> None:
        self._state.rows = tuple(how(row) if row.key == key else row for row in self._state.rows)

    # --- what became of the layers ---------------------------------------------------------------

    def compare(self, layer: str = "") -> None:
        """Note which examples are no longer what their layer shows (all, or those of a layer)."""
        rows = [self._compared(r) if layer in ("", r.layer) else r for r in self._state.rows]
        if any(a is not b for a, b in zip(rows, self._state.rows, strict=True)):
            self._state.rows = tuple(rows)

    def _compared(self, row: Row) -> Row:
        stage = self._bench.stage
        if not row.layer:
            return row
        if not (stage.name(row.layer) and stage.name(row.image)):
            return row if row.changed == "gone" else replace(row, changed="gone")
        try:
            now = self._now(row)
        except DittoError:
            # The layer was moved or cut: what it shows of this plane is not what it was.
            return replace(row, changed="gone")
        same = np.array_equal(_asked_for(now, row.ids), _asked_for(row.example.labels, row.ids))
        changed: Changed = "" if same else "edited"
        return row if row.changed == changed else replace(row, changed=changed)

    def _now(self, row: Row) -> NDArray[np.integer]:
        box = row.example.where
        return self._bench.stage.labels_on_plane(row.layer, (row.image,), row.address, box)

    def weigh(self, examples: tuple[PlaneExample, ...], weights: tuple[float, ...]) -> None:
        """Show how similar each of some examples is to what was searched."""
        told = {id(example): w for example, w in zip(examples, weights, strict=True)}
        self._state.rows = tuple(
            replace(row, similarity=told.get(id(row.example), row.similarity))
            for row in self._state.rows
        )

    # --- files -----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the list to a file that the user chooses."""
        bench = self._bench
        chosen = bench.asking.ask_save("Save examples", f"examples{SUFFIX}", FILES)
        if not chosen:
            return
        path, setup, jobs = Path(chosen), bench.setup, bench.jobs
        path = path if path.suffix else path.with_suffix(SUFFIX)
        examples = tuple(row.example for row in self._state.rows)
        bench.desk.run(
            f"writing {path.name}",
            lambda: jobs.save(setup, examples, path),
            lambda _: self._tell(f"{len(examples)} examples are in {path.name}"),
            cancellable=False,
        )

    def load(self) -> None:
        """Add the examples of a file that the user chooses."""
        chosen = self._bench.asking.ask_open("Load examples", FILES)
        if chosen:
            self.load_from(Path(chosen))

    def load_from(self, path: Path) -> None:
        """Add the examples of a file."""
        jobs = self._bench.jobs
        self._bench.desk.run(f"reading {path.name}", lambda: jobs.load(path), self._on_loaded)

    def _on_loaded(self, loaded: tuple[tuple[PlaneExample, Picture], ...]) -> None:
        rows = []
        for example, picture in loaded:
            objects = len(np.unique(example.labels[example.labels > 0]))
            key = str(next(self._numbers))
            rows.append(Row(key, example, "", "", example.address, objects, example.ids, picture))
        self._state.rows = (*self._state.rows, *rows)
        self._rows_changed()
        self._tell(f"{len(loaded)} examples were added")

    def _tell(self, hint: str) -> None:
        self._bench.session.hint = hint


def _asked_for(labels: NDArray[np.integer], ids: tuple[int, ...] | None) -> NDArray[np.integer]:
    return labels if ids is None else np.where(np.isin(labels, ids), labels, 0)


def _with_flag(example: PlaneExample, field: str, value: bool) -> PlaneExample:
    if field == "enabled":
        return replace(example, enabled=value)
    if field == "negative":
        return replace(example, negative=value)
    return replace(example, partial=value)


def _name(layer: str, address: PlaneAddress, ids: tuple[int, ...] | None) -> str:
    where = ", ".join(f"{axis} {index}" for axis, index in address.fixed)
    which = "" if ids is None else f"label {ids[0]}"
    return ", ".join(filter(None, [layer, where, which]))
