"""Labels carried along an axis: from the user's planes outwards, each step judged and kept.

A :class:`~.propagation_run.Run` decides which plane comes next and what it may read; a stepper
finds the objects there; a judge says which are believed. Every finished step is kept under a key
made from all that it has read, so a run can be stopped, resumed, and corrected.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto import __version__
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt, Gate, PlaneDone
from napari_ditto.data.labels import new_labels
from napari_ditto.data.protocols import EmbeddingStore, LabelDelta, LabelStore, Source
from napari_ditto.data.resumable import open_resumable
from napari_ditto.data.steps import MemorySteps, StepStore
from napari_ditto.engine.judging import Judge
from napari_ditto.engine.propagation_input import Examples, Job, Range, read_job
from napari_ditto.engine.propagation_run import Run
from napari_ditto.engine.steppers import Kinds, choose_stepper
from napari_ditto.engine.stepping import Stepper
from napari_ditto.errors import LabelsError, ModelError
from napari_ditto.models.protocols import ContextModel, PromptModel

PATIENCE = 2
"""Planes in which an object that has failed is still looked for."""

Within = Range | Mapping[str, Range] | None
Plane = PlaneAddress | Mapping[str, int] | None


@dataclass(frozen=True, eq=False)
class PropagationResult:
    """Labels of a stack.

    Attributes
    ----------
    labels : ndarray or zarr.Array of uint32, or None
        Shape of the source; 0 on planes that were not walked. None if they were not collected.
    confidence : ndarray of float32, shape (objects, n, ...)
        Of each object in each plane of the axes walked: 1 in the examples, NaN where it was not
        looked for, 0 where it was looked for and not found.
    ids : tuple of int
        The objects, rising: the first axis of `confidence`.
    review : tuple of Doubt
        What wants a look, worst first.
    axes : tuple of str
        The axes walked: the other axes of `confidence`.
    """

    labels: object
    confidence: NDArray[np.float32]
    ids: tuple[int, ...]
    review: tuple[Doubt, ...]
    axes: tuple[str, ...]


def propagate(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str] = "z",
    model: PromptModel | ContextModel | None = None,
    *,
    plane: Plane = None,
    within: Within = None,
    gate: Gate | None = None,
    kinds: Kinds = "objects",
    cache: EmbeddingStore | None = None,
    out: Path | str | None = None,
    stepper: Stepper | None = None,
    steps: StepStore | None = None,
    patience: int = PATIENCE,
    region: Box | None = None,
    workers: int | None = None,
    dask: object = None,
) -> PropagationResult:
    """Carry labels from some planes to all planes along an axis, in both directions.

    Parameters
    ----------
    source : Source
        The image.
    examples : mapping of int, or tuple of int, to ndarray of int, shape (height, width)
        Labelled planes by their index on `axis` (a tuple where there are several axes). They are
        written as they are; an object that one of them does not show is not carried past it.
    axis : str or sequence of str
        Where the labels go; up to three axes walked in one job, such as ``("t", "z")``.
    model : PromptModel or ContextModel, optional
        Such as ``load_model("ditto")``; chooses the stepper.
    plane : mapping or PlaneAddress, optional
        Index on axes that are neither shown nor walked; 0 by default.
    within : (int, int) or mapping of str to (int, int), optional
        First plane and one past the last, by axis if there are several.
    gate : Gate, optional
        What an object must reach to be believed.
    kinds : "objects" or "classes"
        Whether ids are single objects or kinds of things.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    out : path, optional
        Write OME-Zarr labels there, out of core. Run again to go on after an interruption, or after
        a correction; planes edited in the file itself are overwritten, so give them as examples.
    stepper : Stepper, optional
        What finds the objects, in place of a model.
    steps : StepStore, optional
        Where finished steps are kept, so that a second run does only what has changed; by default
        beside `out`.
    patience : int
        Planes in which an object that has failed is still looked for.
    region : Box, optional
        Follow the objects that the examples show in this part of the planes; needs `out`.
    workers : int, optional
        With `out`, how many parts of the planes are followed at once.
    dask : str or distributed.Client, optional
        With `out`, follow the parts on dask workers: ``"local:4"``, ``"tcp://host:8786"``, the path
        of a scheduler file, or a client.

    Notes
    -----
    With `out`, planes of more than 64 Mpx, and smaller ones if one of the last three arguments is
    given, are cut into parts which are followed each on its own, with all that lies around their
    objects; see :mod:`napari_ditto.engine.whole.columns`.

    Returns
    -------
    PropagationResult

    Raises
    ------
    SourceError, LabelsError, ModelError, StoreError
        What cannot be done, in one line.
    """
    asked = region is not None or workers is not None or dask is not None
    if asked and (out is None or model is None):
        raise LabelsError(
            "parts of planes go to a .zarr", todo="Give out='labels.zarr' and a model"
        )
    if out is not None and model is not None and stepper is None and kinds == "objects":
        from napari_ditto.engine.whole.columns_run import is_wanted, propagate_in_columns

        if asked or is_wanted(source, plane, out):
            return propagate_in_columns(
                source, examples, axis, model, out,
                plane=plane, within=within, gate=gate, patience=patience,
                region=region, workers=workers, dask=dask,
            )  # fmt: skip
    return drain(
        propagate_steps(
            source,
            examples,
            axis,
            model,
            plane=plane,
            within=within,
            gate=gate,
            kinds=kinds,
            cache=cache,
            out=out,
            stepper=stepper,
            steps=steps,
            patience=patience,
        )
    )


def propagate_steps(
    source: Source,
    examples: Examples,
    axis: str | Sequence[str] = "z",
    model: PromptModel | ContextModel | None = None,
    *,
    plane: Plane = None,
    within: Within = None,
    gate: Gate | None = None,
    kinds: Kinds = "objects",
    cache: EmbeddingStore | None = None,
    out: Path | str | None = None,
    stepper: Stepper | None = None,
    steps: StepStore | None = None,
    patience: int = PATIENCE,
    collect: bool = True,
) -> Generator[Progress, None, PropagationResult]:
    """Do what :func:`propagate` does, plane by plane.

    Every finished plane is a step of the stage "write" with a
    :class:`~napari_ditto.core.propagation.PlaneDone` as partial result. Closing the generator
    keeps them. Who writes them elsewhere says ``collect=False``: no labels are returned then.
    """
    job = read_job(source, examples, axis, plane, within)
    if stepper is None:
        if model is None:
            raise ModelError("nothing to carry labels with", todo="Give a model or a stepper")
        stepper = choose_stepper(model, source, cache, kinds)
    labels, kept = _open(source, out, stepper, model) if collect else (None, MemorySteps())
    run = Run(job, stepper, Judge(gate or Gate(), patience), kept if steps is None else steps)
    sheet = _Sheet(job, labels)
    for progress in run.walk():
        if isinstance(progress.partial, PlaneDone):
            sheet.add(progress.partial)
        yield progress
    return sheet.result()


def _open(
    source: Source,
    out: Path | str | None,
    stepper: Stepper,
    model: PromptModel | ContextModel | None,
) -> tuple[LabelStore, StepStore]:
    """Return where labels and finished steps go."""
    if out is None:
        return new_labels(source), MemorySteps()
    made: dict[str, object] = {
        "program": f"napari-ditto {__version__}",
        **(model.spec.provenance if model else {}),
        "stepper": stepper.key,
        "image": source.name,
    }
    return open_resumable(Path(out).expanduser(), source, made)


class _Sheet:
    """The result so far."""

    def __init__(self, job: Job, labels: LabelStore | None) -> None:
        self.job, self.labels, self.ids = job, labels, job.ids
        self._rows = {label: row for row, label in enumerate(self.ids)}
        self.confidence = np.full((len(self.ids), *job.sizes), np.nan, dtype=np.float32)
        self.doubts: list[Doubt] = []

    def add(self, done: PlaneDone) -> None:
        """Take a finished plane in."""
        at = tuple(done.address.index[name] for name in self.job.axes)
        for label, value in done.confidence.items():
            self.confidence[(self._rows[label], *at)] = value
        self.doubts += done.doubts
        if self.labels is not None:
            self._write(self.labels, done)

    def _write(self, labels: LabelStore, done: PlaneDone) -> None:
        box = Box.of_shape(done.labels.shape)
        old = labels.read(done.address, box)
        if (old != done.labels).any():
            highest = int(done.labels.max())
            labels.apply(LabelDelta(done.address, box, old, done.labels, highest))

    def result(self) -> PropagationResult:
        """Return everything."""
        review = sorted(self.doubts, key=lambda d: (d.confidence, d.address.fixed, d.label))
        labels = None if self.labels is None else self.labels.data
        return PropagationResult(labels, self.confidence, self.ids, tuple(review), self.job.axes)
