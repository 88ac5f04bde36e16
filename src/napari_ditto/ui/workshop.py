"""The background jobs of a dock, as generators over the engine; no Qt and no layers.

All generators run in the one worker thread of a dock, so nothing here is locked but the loading of
models, which runs over whole images share. What they make (models, annotators) is kept for the
next job.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import Refinement
from napari_ditto.core.tiling import Tile
from napari_ditto.data.label_edit import write_plane
from napari_ditto.data.protocols import (
    EmbeddingStore,
    LabelDelta,
    LabelStore,
    OverlapPolicy,
    Source,
)
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import Estimate, ModelSpec, PromptModel
from napari_ditto.ui.job_values import Setup, Written
from napari_ditto.ui.label_writing import exchange
from napari_ditto.ui.model_shelf import (
    QUICK_SECONDS,
    LoadModel,
    ModelShelf,
    Name,
    load_registered,
)

if TYPE_CHECKING:
    from napari_ditto.engine.annotator import Annotator
    from napari_ditto.engine.batch import Batch, Known
    from napari_ditto.engine.everything import EverythingResult

AHEAD_TILES = 100
"""Tiles that a view may have ready; half a minute of work with `ditto` on a small CPU."""

PROMPTS_PER_TILE = 30
"""Objects that a model suggests in a tile, for estimates."""

KNOWN_SHARE = 0.3
"""An object of which more has a label already is that label's: its rim is no new object."""


class Workshop(ModelShelf):
    """Asks models, and writes labels; see :class:`ModelShelf` for the parameters.

    Attributes
    ----------
    record : callable or None
        Told of labels that were made for a source, before anything is written: begins a journal.
    """

    def __init__(
        self,
        open_cache: Callable[[], EmbeddingStore] | None = None,
        load_model: LoadModel = load_registered,
    ) -> None:
        super().__init__(open_cache, load_model)
        self.record: Callable[[LabelStore, Source], None] | None = None
        self._annotators: dict[Name, Annotator] = {}

    def _keep_only(self, model: str) -> None:
        super()._keep_only(model)
        self._annotators = {name: a for name, a in self._annotators.items() if name[0] == model}

    def prepare(self, setup: Setup) -> Generator[Progress, None, Source]:
        """Sample the intensity window and load the model, so that the first click is quick."""
        yield Progress("read", text="reading the image")
        _ = setup.source.window
        yield from self._ready(setup)
        import_module("napari_ditto.engine.replay")  # what the first accepted label needs
        return setup.source

    def predict(
        self, setup: Setup, prompts: PromptSet, address: PlaneAddress
    ) -> Generator[Progress, None, Proposals]:
        """Return the candidates for these prompts."""
        annotator = yield from self._ready(setup)
        return (yield from annotator.predict_steps(prompts, address))

    def foresee(
        self, setup: Setup, prompts: PromptSet, address: PlaneAddress
    ) -> Generator[Progress, None, Proposals | None]:
        """Return what :meth:`predict` would, as far as that takes no long step; None for nothing.

        A model that is slow to encode is asked about encoded tiles alone, and does not follow the
        object out of them: such proposals are not complete.
        """
        if not self.has(setup.model, setup.device):
            return None
        annotator = yield from self._ready(setup)
        quick = self.is_quick(annotator.model.spec)
        if not (quick or annotator.has_encoded(prompts, address)):
            return None
        steps = annotator.predict_steps(prompts, address)
        if quick:
            return (yield from steps)
        return (yield from until_growth(steps))

    def look_around(
        self, setup: Setup, where: Callable[[], PromptSet | None], address: PlaneAddress
    ) -> Generator[Progress, None, None]:
        """Do what :meth:`foresee` will need near where the mouse is, as long as it is anywhere."""
        if self.has(setup.model, setup.device):
            annotator = yield from self._ready(setup)
            yield from annotator.prepare_steps(where, address)

    def ahead(
        self,
        setup: Setup,
        address: PlaneAddress,
        view: Box,
        memory: int,
        go_on: Callable[[], bool],
    ) -> Generator[Progress, None, bool]:
        """Encode what is in view and around, as far as memory allows; only with a quick model."""
        from napari_ditto.engine.ahead import ahead_steps

        if not self.has(setup.model, setup.device):
            return False
        annotator = yield from self._ready(setup)
        spec = annotator.model.spec
        if not 0 < spec.encode_seconds <= QUICK_SECONDS:
            return True
        budget = min(AHEAD_TILES, memory // max(1, spec.embedding_bytes))
        return (yield from ahead_steps(annotator.encoder, address, view, budget, go_on))

    def encoded(self, setup: Setup, address: PlaneAddress) -> tuple[Tile, ...]:
        """Return the tiles of a plane that were encoded; safe from any thread."""
        annotator = self._annotators.get((setup.model, setup.device))
        if annotator is None or annotator.source is not setup.source:
            return ()
        return annotator.encoder.seen(address)

    def accept(
        self,
        setup: Setup,
        store: LabelStore | None,
        proposals: Proposals,
        choice: int,
        overlap: OverlapPolicy,
    ) -> Generator[Progress, None, Written]:
        """Write one candidate under the next free label."""
        from napari_ditto.engine.annotator import Annotator
        from napari_ditto.engine.replay import step_of

        model = yield from self._loaded(setup)
        yield Progress("write", text="writing the label")
        store = store or self.make_labels(setup.source)
        writer = Annotator(setup.source, model, labels=store, overlap=overlap)
        # What is on show is written, never grown or made anew.
        writer.accept(replace(proposals, best=choice), choice)
        entry = writer.history.done[-1]
        made = step_of(
            proposals, choice, entry.delta, overlap, setup.source.window, setup.model, setup.device
        )
        return Written(
            writer.store, (entry.delta,), (entry.provenance,), () if made is None else (made,)
        )

    def predict_batch(
        self,
        setup: Setup,
        prompts: Sequence[PromptSet],
        address: PlaneAddress,
        refinement: Refinement,
        known: Known,
    ) -> Generator[Progress, None, Batch]:
        """Return the best candidate for each of many objects; what is known is not asked."""
        annotator = yield from self._ready(setup)
        return (yield from annotator.batch_steps(prompts, address, None, refinement, known))

    def accept_batch(
        self, setup: Setup, store: LabelStore | None, batch: Batch, overlap: OverlapPolicy
    ) -> Generator[Progress, None, Written]:
        """Write each object of a batch under an id of its own; labelled ones are left out."""
        from napari_ditto.data.journal_recorder import together
        from napari_ditto.engine.annotator import Annotator
        from napari_ditto.engine.replay import step_of

        model = yield from self._loaded(setup)
        yield Progress("write", text="writing the labels")
        store = store or self.make_labels(setup.source)
        writer = Annotator(setup.source, model, labels=store, overlap=overlap)
        with together(store):
            writer.accept_batch(batch)
        done, known = writer.history.done, batch.known
        window, name = setup.source.window, (setup.model, setup.device)
        whole = [(entry.delta, known[entry.prompts]) for entry in done]
        steps = [step_of(p, p.best, delta, overlap, window, *name) for delta, p in whole]
        return Written(
            store,
            tuple(entry.delta for entry in done),
            tuple(entry.provenance for entry in done),
            tuple(step for step in steps if step is not None),
        )

    def grow(
        self, setup: Setup, proposals: Proposals, choice: int
    ) -> Generator[Progress, None, Proposals]:
        """Follow a candidate over its tile's edges."""
        annotator = yield from self._ready(setup)
        return (yield from annotator.grow_steps(proposals, choice))

    def estimate(
        self, setup: Setup, address: PlaneAddress, text: str = ""
    ) -> Generator[Progress, None, Estimate]:
        """Return what segmenting a whole plane would take, or what has a name in it."""
        from napari_ditto.core.tiling import Grid
        from napari_ditto.models.device import available_memory
        from napari_ditto.models.estimate import estimate

        model = yield from self._loaded(setup)
        spec = model.spec
        tiles = Grid(setup.source.plane_shape(address), spec.input_size).count
        prompts = tiles if text else tiles * PROMPTS_PER_TILE  # a name finds all in one go
        return estimate(spec, tiles, prompts, available=available_memory(spec.device))

    def everything(
        self,
        setup: Setup,
        address: PlaneAddress,
        min_area: int,
        min_score: float,
        text: str = "",
    ) -> Generator[Progress, None, EverythingResult]:
        """Find all objects of a plane, or of a name, that are large and sure enough."""
        from napari_ditto.engine.candidates import Settings
        from napari_ditto.engine.everything import segment_all_steps

        model = yield from self._loaded(setup)
        return (
            yield from segment_all_steps(
                setup.source,
                model,
                address,
                cache=self.embeddings(),
                settings=Settings(min_area, min_score, text=text),
            )
        )

    def write_all(
        self,
        setup: Setup,
        store: LabelStore | None,
        found: EverythingResult,
        overlap: OverlapPolicy,
    ) -> Generator[Progress, None, Written]:
        """Write every object under an id of its own; what is mostly labelled already is known."""
        from scipy.ndimage import find_objects

        from napari_ditto.data.journal_recorder import together

        model = yield from self._loaded(setup)
        yield Progress("write", text="writing the labels")
        store = store or self.make_labels(setup.source)
        first = store.next_label()
        deltas: list[LabelDelta] = []
        notes: list[dict[str, object]] = []
        with together(store):
            for index, window in enumerate(find_objects(found.labels)):
                rows, columns = window
                box = Box(rows.start, columns.start, rows.stop, columns.stop)
                mask = found.labels[window] == index + 1
                where = box.shift(found.box.y0, found.box.x0)
                taken = store.read(found.address, where)[mask] != 0
                if overlap == "keep" and taken.mean() > KNOWN_SHARE:
                    continue
                delta = store.write(found.address, where, mask, first + len(deltas), overlap)
                if not delta.box.is_empty:
                    score = float(found.scores[index])
                    notes.append(_note(model.spec, delta.label, score, found.text))
                    deltas.append(delta)
        return Written(store, tuple(deltas), tuple(notes))

    def replace_object(
        self,
        setup: Setup,
        store: LabelStore,
        proposals: Proposals,
        choice: int,
        label: int,
        overlap: OverlapPolicy,
    ) -> Generator[Progress, None, Written]:
        """Put a proposed mask in the place of one object on its plane."""
        yield Progress("write", text="writing the label")
        shape = setup.source.plane_shape(proposals.address)
        mask = proposals.masks[choice]
        delta = exchange(store, proposals.address, shape, label, proposals.box, mask, overlap)
        note = {
            "label": label,
            "model": setup.model,
            "model_key": proposals.model,
            "prompts": "fixed",
            **(
                {"by_hand": True}
                if proposals.by_hand
                else {"score": float(proposals.scores[choice])}
            ),
        }
        if proposals.refinement.provenance:
            note |= {"refinement": proposals.refinement.provenance}
        return Written(store, (delta,), (note,), text=f"label {label}")

    def erase(
        self, setup: Setup, store: LabelStore, address: PlaneAddress, labels: Sequence[int]
    ) -> Generator[Progress, None, Written]:
        """Remove some objects from one plane."""
        yield Progress("write", text="removing the label")
        box = Box.of_shape(setup.source.plane_shape(address))
        old = store.read(address, box)
        new = np.where(np.isin(old, np.asarray(labels, dtype=old.dtype)), 0, old)
        return Written(store, (write_plane(store, address, box, old, new),))

    def new_labels(self, source: Source) -> Generator[Progress, None, LabelStore]:
        """Return an empty label image for a source."""
        yield Progress("write", text="making a label image")
        return self.make_labels(source)

    def make_labels(self, source: Source) -> LabelStore:
        """Return an empty label image for a source, in the worker thread."""
        from napari_ditto.data.labels import new_labels

        labels = new_labels(source)
        if self.record is not None:
            self.record(labels, source)
        return labels

    def _loaded(self, setup: Setup) -> Generator[Progress, None, PromptModel]:
        model = yield from self.load(setup.model, setup.device)
        if not isinstance(model, PromptModel):
            raise ModelError(
                f"{model.spec.id} takes no clicks",
                todo="Choose another model, or use the dock 'Ditto examples'",
            )
        return model

    def _ready(self, setup: Setup) -> Generator[Progress, None, Annotator]:
        model = yield from self._loaded(setup)
        if any(a.source is not setup.source for a in self._annotators.values()):
            self._annotators.clear()
        name = (setup.model, setup.device)
        if name not in self._annotators:
            from napari_ditto.engine.annotator import Annotator

            self._annotators[name] = Annotator(setup.source, model, cache=self.embeddings())
        return self._annotators[name]


def _note(spec: ModelSpec, label: int, score: float, text: str) -> dict[str, object]:
    """Return where a label comes from that was found by itself, or by its name, JSON-able."""
    return {
        "label": label,
        **spec.provenance,
        "prompts": f"named {text}" if text else "everything",
        "score": score,
    }


def until_growth(
    steps: Generator[Progress, None, Proposals],
) -> Generator[Progress, None, Proposals]:
    """Return what the first tile has given, without following the object out of it."""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            found: Proposals = stop.value
            return found
        if isinstance(progress.partial, Proposals):
            steps.close()
            return progress.partial
        yield progress


def take_back(edit: Callable[[], None]) -> Generator[Progress, None, None]:
    """Run a revert or a redo of labels, in the background because the store may be on disk."""
    yield Progress("write", text="writing the labels")
    edit()
