"""One object after the other: prompts in, proposals out, accepted masks into the labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from napari_ditto import __version__
from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PromptSet
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import Refinement
from napari_ditto.data.protocols import EmbeddingStore, LabelStore, OverlapPolicy, Source
from napari_ditto.engine.batch import Batch, Known, batch_steps, separate
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.history import Accepted, History
from napari_ditto.engine.predict import GROWTH_TILES, Predictor
from napari_ditto.engine.requests import Strokes, make_prompts
from napari_ditto.errors import LabelsError, PromptError
from napari_ditto.models.protocols import ModelSpec, PromptModel

log = logging.getLogger(__name__)

Steps = Generator[Progress, None, Proposals]


class Annotator:
    """Interactive segmentation of one image, without any user interface.

    Parameters
    ----------
    source : Source
        The image, from :func:`napari_ditto.open_source`.
    model : PromptModel
        From :func:`napari_ditto.load_model`.
    labels : LabelStore or array, optional
        Where accepted masks go; an array has the source's axes and is changed in place. New
        labels are made at the first use otherwise.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    overlap : {"keep", "replace"}
        Whether pixels of other labels stay as they are when a mask is accepted.
    growth_tiles : int
        Tiles decoded for one object before a coarser level is tried.
    journal : path, optional
        A new file that every accept, undo and redo is on disk in before it returns, so that a
        crash loses none: ``napari-ditto journal replay`` makes the labels of it again.

    Examples
    --------
    >>> annotator = Annotator(open_source(image), load_model())  # doctest: +SKIP
    >>> label = annotator.accept(annotator.predict(points=[(40, 60)]))  # doctest: +SKIP
    """

    def __init__(
        self,
        source: Source,
        model: PromptModel,
        labels: LabelStore | NDArray[Any] | None = None,
        cache: EmbeddingStore | None = None,
        overlap: OverlapPolicy = "keep",
        growth_tiles: int = GROWTH_TILES,
        journal: Path | str | None = None,
    ) -> None:
        self.source, self.model, self.overlap = source, model, overlap
        self.encoder = TileEncoder(source, model, cache)
        self._predictor = Predictor(model, self.encoder, growth_tiles)
        self._given, self._journal = labels, journal

    @cached_property
    def store(self) -> LabelStore:
        """Where accepted masks are written."""
        store = open_labels(self._given, self.source)
        if self._journal is not None:
            from napari_ditto.data.journal_recorder import start_journal

            start_journal(store, self.source, Path(self._journal), fresh=self._given is None)
        return store

    @cached_property
    def history(self) -> History:
        """Accepted labels that can be undone and redone, with their prompts."""
        return History(self.store)

    @property
    def labels(self) -> object:
        """The label image itself, level 0, in the source's axis order."""
        return self.store.data

    @property
    def provenance(self) -> list[dict[str, object]]:
        """Where each accepted label comes from, JSON-able, oldest first."""
        return [entry.provenance for entry in self.history.done]

    def predict(
        self,
        points: ArrayLike | None = None,
        positive: Sequence[bool] | None = None,
        box: BoxPrompt | Sequence[float] | None = None,
        mask: MaskPrompt | ArrayLike | None = None,
        scribbles: Strokes | None = None,
        plane: PlaneAddress | Mapping[str, int] | None = None,
        level: int | None = None,
        diameter: float | None = None,
        text: str = "",
    ) -> Proposals:
        """Return candidate masks for one object; any mixture of prompts is allowed.

        Parameters
        ----------
        points : array-like, shape (n, 2), optional
            Clicks, (row, column) in level-0 pixels; pixel centres are whole numbers.
        positive : sequence of bool, shape (n,), optional
            False for clicks that are not on the object; all positive by default.
        box : (y0, x0, y1, x1), optional
            Half-open over pixels; a :class:`BoxPrompt` is taken as it is.
        mask : array-like, shape (height, width), optional
            A rough mask of the object in the whole plane, or a :class:`MaskPrompt`.
        scribbles : sequence, optional
            Strokes on the object, each a list of (row, column), or :class:`ScribblePrompt`.
        plane : mapping or PlaneAddress, optional
            Index on the axes that are not displayed, e.g. ``{"z": 3}``; 0 by default.
        level : int, optional
            Pyramid level to decode at; chosen by the extent of the prompts by default.
        diameter : float, optional
            About how large the object is, pixels; `ditto` looks at fewer sizes then.
        text : str, optional
            What the object is called, e.g. ``"nucleus"``, for a model that reads words. Where it
            is must be said as well: :func:`~napari_ditto.segment_all` finds all of a name.

        Raises
        ------
        PromptError
            If the prompts make no sense for this plane, with the reason.
        """
        prompts = make_prompts(points, positive, box, mask, scribbles, diameter, text)
        address = plane if isinstance(plane, PlaneAddress) else self.source.plane(plane)
        return drain(self.predict_steps(prompts, address, level))

    def predict_steps(
        self, prompts: PromptSet, address: PlaneAddress, level: int | None = None
    ) -> Steps:
        """Return what :meth:`predict` returns, step by step; see :class:`Predictor`."""
        return self._predictor.predict_steps(prompts, address, level)

    def prepare_steps(
        self, where: Callable[[], PromptSet | None], address: PlaneAddress
    ) -> Generator[Progress, None, None]:
        """Do what questions like one will need, step by step; see :class:`Predictor`."""
        return self._predictor.prepare_steps(where, address)

    def has_encoded(self, prompts: PromptSet, address: PlaneAddress) -> bool:
        """Whether the tile that is asked first is encoded already; nothing is read."""
        return self._predictor.has_encoded(prompts, address)

    def grow_steps(self, proposals: Proposals, choice: int) -> Steps:
        """Follow a candidate over its tile's edges, step by step."""
        return self._predictor.grow_steps(proposals, choice)

    def predict_batch(
        self,
        points: ArrayLike | None = None,
        positive: Sequence[bool] | None = None,
        boxes: Sequence[BoxPrompt | Sequence[float]] = (),
        plane: PlaneAddress | Mapping[str, int] | None = None,
        level: int | None = None,
        diameter: float | None = None,
    ) -> Batch:
        """Return masks for many objects at once, one for each positive point and each box.

        Objects of one tile share one call of the decoder; each gets what it would get alone, but
        no pixel twice, see :class:`~napari_ditto.engine.batch.Batch`.

        Parameters
        ----------
        points, positive, plane, level, diameter
            As for :meth:`predict`; a negative point belongs to the nearest object.
        boxes : sequence of (y0, x0, y1, x1)
            Each as `box` of :meth:`predict`.

        Raises
        ------
        PromptError
            If nothing says where an object is, or a prompt makes no sense for this plane.
        """
        said = make_prompts(points, positive)
        areas = [make_prompts(box=box) for box in boxes]
        sets = separate(said.points, areas, diameter=diameter)
        if not sets:
            raise PromptError("say where the objects are first")
        address = plane if isinstance(plane, PlaneAddress) else self.source.plane(plane)
        return drain(self.batch_steps(sets, address, level))

    def batch_steps(
        self,
        prompts: Sequence[PromptSet],
        address: PlaneAddress,
        level: int | None = None,
        refinement: Refinement | None = None,
        known: Known | None = None,
    ) -> Generator[Progress, None, Batch]:
        """Return many objects, step by step; see :func:`~napari_ditto.engine.batch.batch_steps`."""
        how = refinement or Refinement()
        return batch_steps(self._predictor, prompts, address, level, how, known)

    def accept_batch(self, batch: Batch) -> list[int]:
        """Write all objects of a batch, each under an id of its own, and return the ids.

        Objects without a mask are left out, as are those whose pixels all have a label already.
        :meth:`undo` takes back one object at a time.
        """
        written = []
        for index in batch.found:
            try:
                written.append(self.accept(batch.alone(index)))
            except LabelsError as error:
                log.info("object %d: %s", index + 1, error)
        return written

    def accept(
        self, proposals: Proposals, choice: int | None = None, label: int | None = None
    ) -> int:
        """Write a candidate into the labels and return its id.

        Parameters
        ----------
        proposals : Proposals
            From :meth:`predict`.
        choice : int, optional
            Which candidate; the best by default. Another one is followed over its tile's edges
            first, which can take a while: drain :meth:`grow_steps` before to see it happen.
        label : int, optional
            The id to write; the next free one by default.

        Raises
        ------
        PromptError
            If the candidate is empty.
        LabelsError
            If no pixel could be written, or no id is free.
        """
        choice = proposals.best if choice is None else choice
        if choice != proposals.best:
            proposals = drain(self.grow_steps(proposals, choice))
        mask = proposals.masks[choice]
        inner = bounding_box(mask)
        if inner.is_empty:
            raise PromptError("there is nothing to accept", todo="Click on the object first")
        label = self.store.next_label() if label is None else int(label)
        where = inner.shift(proposals.box.y0, proposals.box.x0)
        delta = self.store.write(proposals.address, where, mask[inner.slices], label, self.overlap)
        if delta.box.is_empty:
            raise LabelsError(
                "every pixel of the object has a label already",
                where=str(proposals.address),
                todo="Undo that label, or allow to replace labels",
            )
        record = provenance(self.model.spec, proposals, choice, label)
        self.history.record(Accepted(delta, proposals.prompts, record))
        return label

    def undo(self) -> bool:
        """Take the last accept back; False if there is none."""
        return self.history.undo() is not None

    def redo(self) -> bool:
        """Accept again what was last undone; False if there is nothing."""
        return self.history.redo() is not None

    def refresh(self) -> None:
        """Read the image again from now on: call this after it was edited."""
        self.encoder.forget()


def open_labels(labels: LabelStore | NDArray[Any] | None, source: Source) -> LabelStore:
    """Return the store behind what a caller gave, or new labels for a source."""
    from napari_ditto.data.labels import ArrayLabels, new_labels

    if labels is None:
        return new_labels(source)
    return labels if isinstance(labels, LabelStore) else ArrayLabels(labels, source.axes)


def provenance(spec: ModelSpec, proposals: Proposals, choice: int, label: int) -> dict[str, object]:
    """Return where a label comes from, JSON-able."""
    refinement = proposals.refinement.provenance
    return {
        "label": label,
        **spec.provenance,
        "prompts": proposals.prompts.digest(),
        "plane": {"rows": proposals.address.rows, "columns": proposals.address.columns}
        | proposals.address.index,
        "level": proposals.level,
        "score": float(proposals.scores[choice]),
        "complete": bool(proposals.complete[choice]),
        "version": __version__,
        **({"by_hand": True} if proposals.by_hand else {}),
        **({"refinement": refinement} if refinement else {}),
    }
