"""Accepted objects done again: the same prompts to the same model on the same image.

What a model outlined is compared, object by object, with what was written when it was accepted.
The rest of the labels, brushed or merged or found by a run, is what the saved labels show where
they differ from the objects accepted after prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask, place
from napari_ditto.core.progress import Progress
from napari_ditto.core.proposals import Proposals
from napari_ditto.core.refinement import Refinement, checked
from napari_ditto.core.window import Window
from napari_ditto.data.checked import Misfit
from napari_ditto.data.packed_mask import PackedMask
from napari_ditto.data.protocols import (
    EmbeddingStore,
    LabelDelta,
    LabelStore,
    OverlapPolicy,
    Source,
)
from napari_ditto.data.session_folder import read_session
from napari_ditto.data.session_layers import SessionLabels
from napari_ditto.data.session_pixels import (
    fingerprint,
    moved,
    own_copy,
    read_labels,
    read_levels,
)
from napari_ditto.data.session_records import SessionRecord, with_parked
from napari_ditto.data.session_steps import PromptStep
from napari_ditto.engine.annotator import Annotator
from napari_ditto.errors import LabelsError, ModelError, SourceError
from napari_ditto.models.protocols import ContextModel, PromptModel

TILE = 2048
"""Side of the parts in which labels are put together again, pixels."""

LoadModel = Callable[[str, str], PromptModel | ContextModel]


@dataclass(frozen=True, eq=False)
class Replayed:
    """Labels that were made again.

    Attributes
    ----------
    labels : LabelStore
        As they came out this time.
    name : str
        Of the layer.
    axes : tuple of str
        Of the labels.
    steps : int
        Objects that a model outlined again.
    differing : tuple of int
        Labels of those whose pixels are not the same as before.
    pixels : int
        Pixels in which the labels differ from the saved ones.
    """

    labels: LabelStore
    name: str
    axes: tuple[str, ...]
    steps: int
    differing: tuple[int, ...] = ()
    pixels: int = 0

    @property
    def is_identical(self) -> bool:
        """Whether every object, and so every pixel, is the same as before."""
        return not self.differing and not self.pixels


def step_of(
    proposals: Proposals,
    choice: int,
    delta: LabelDelta,
    overlap: OverlapPolicy,
    window: Window,
    model: str,
    device: str,
) -> PromptStep | None:
    """Return how an accepted object came about, to be replayed; None if not by prompts alone.

    Parameters
    ----------
    proposals, choice
        What was accepted, as it was shown.
    delta : LabelDelta
        What accepting it wrote.
    overlap : {"keep", "replace"}
        What became of other labels.
    window : Window
        Of the source.
    model, device : str
        As for :func:`napari_ditto.load_model`.
    """
    if proposals.by_hand or proposals.prompts.is_empty or not proposals.model:
        return None
    mask = proposals.masks[choice]
    changed = delta.new != delta.old
    wrote = place(changed, delta.box, proposals.box)
    return PromptStep(
        delta.label, proposals.address, proposals.prompts, choice, (), window,
        model, device, proposals.model, overlap,
        PackedMask.of(changed, delta.box), PackedMask.of(mask & ~wrote, proposals.box),
        proposals.refinement.provenance,
    )  # fmt: skip


def replay(
    session: Path | str,
    labels: str = "",
    *,
    images: Mapping[str, Path | str] | None = None,
    device: str | None = None,
    force: bool = False,
    cache: EmbeddingStore | None = None,
) -> Replayed:
    """Make the labels of a session again from its prompts, and compare.

    Parameters
    ----------
    session : path
        A ``.ditto-session`` folder. Nothing in it is changed, nothing in it is run.
    labels : str
        Name of the Labels layer; by default the one that was written to.
    images : mapping of str to path, optional
        Where images are now, by their names, if not where they were.
    device : str, optional
        Where the model runs; by default where it ran.
    force : bool
        Go on with a model of other weights, or an image of other pixels.
    cache : EmbeddingStore, optional
        Where embeddings are kept; by default nothing that was encoded before is used.

    Returns
    -------
    Replayed
        ``labels`` as they came out, and ``is_identical``.

    Raises
    ------
    SourceError
        If the session or an image cannot be read, or the image is another one.
    LabelsError
        If there are no such labels.
    ModelError
        If the model is not here, or its weights are others.
    """
    job = Replay(Path(session), images or {}, device, force, cache)
    return drain(job.steps(labels))


@dataclass(eq=False)
class Replay:
    """One session that is replayed; opens each image and each model once.

    Parameters are those of :func:`replay`; `load_model` is another way to get a model.
    """

    folder: Path
    images: Mapping[str, Path | str] = field(default_factory=dict)
    device: str | None = None
    force: bool = False
    cache: EmbeddingStore | None = None
    load_model: LoadModel | None = None

    def __post_init__(self) -> None:
        self.record: SessionRecord = _with_parked(self.folder)
        self._parts: dict[str, Source] = {}
        self._models: dict[tuple[str, ...], PromptModel | ContextModel] = {}
        self._annotators: dict[tuple[object, ...], Annotator] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels that have objects to be replayed."""
        return tuple(entry.name for entry in self.record.labels if entry.steps)

    def steps(self, labels: str = "") -> Generator[Progress, None, Replayed]:
        """Replay the labels of one layer, step by step."""
        entry = self._entry(labels)
        saved = read_labels(self.folder, entry)
        masks = []
        for number, step in enumerate(entry.steps):
            yield Progress("decode", number, len(entry.steps), f"object {number + 1}")
            mask = yield from self._again(step)
            _check_inside(step, saved)
            masks.append(mask)
        yield Progress("write", text="comparing the labels")
        told = [_of_step(step) for step in entry.steps]
        pairs = list(zip(entry.steps, told, masks, strict=True))
        differing = tuple(step.label for step, was, now in pairs if not _same(was, now))
        labels_now, pixels = _rebuilt(saved, entry, pairs) if differing else (saved, 0)
        return Replayed(labels_now, entry.name, entry.axes, len(entry.steps), differing, pixels)

    def _entry(self, labels: str) -> SessionLabels:
        with_steps = [entry for entry in self.record.labels if entry.steps]
        if labels:
            found = [entry for entry in self.record.labels if entry.name == labels]
        else:
            found = [x for x in with_steps if x.key == self.record.target] or with_steps
        if not found:
            raise LabelsError(
                f"there are no labels '{labels}'" if labels else "no object was made by prompts",
                where=str(self.folder),
                todo="'napari-ditto session show' lists what is in it",
            )
        return found[0]

    def _again(self, step: PromptStep) -> Generator[Progress, None, PlacedMask]:
        """Return the pixels that an object takes this time."""
        annotator = self._annotator(step)
        proposals = yield from annotator.predict_steps(step.prompts, step.address)
        if step.choice >= len(proposals):
            return PlacedMask(Box(0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
        # As in the window: each candidate on the way there is followed over its tile's edges.
        for way in range(len(proposals)):
            candidate = (proposals.best + way) % len(proposals)
            proposals = yield from annotator.grow_steps(proposals, candidate)
            if candidate == step.choice:
                break
        proposals = proposals.refined(_refinement(step))
        mask = proposals.masks[step.choice]
        taken = place(step.taken.unpack(), step.taken.box, proposals.box)
        return PlacedMask(proposals.box, mask & ~taken).cropped()

    # --- image and model -------------------------------------------------------------------------

    def _annotator(self, step: PromptStep) -> Annotator:
        key = (step.images, step.window, step.model, step.device)
        if key not in self._annotators:
            model = self._model(step)
            if not isinstance(model, PromptModel):
                raise ModelError(f"{model.spec.id} takes no prompts", where=step.model)
            self._annotators[key] = Annotator(self._source(step), model, cache=self.cache)
        return self._annotators[key]

    def _model(self, step: PromptStep) -> PromptModel | ContextModel:
        from napari_ditto.models.numerics import of_key
        from napari_ditto.models.registry import load_model

        name = (step.model, self.device or step.device)
        precision = of_key(step.model_key)
        if (*name, precision) not in self._models:
            load = self.load_model or partial(load_model, precision=precision)
            self._models[*name, precision] = load(*name)
        model = self._models[*name, precision]
        if model.spec.key != step.model_key and not self.force:
            raise ModelError(
                f"the model has other weights now, {model.spec.key} in place of {step.model_key}",
                where=step.model,
                todo="Get the model it was made with, or allow others (--force)",
            )
        return model

    def _source(self, step: PromptStep) -> Source:
        from napari_ditto.data.source import compose_sources

        parts = [self._part(key) for key in step.images]
        if not parts:
            raise SourceError("a step names no image", where=str(self.folder))
        whole = parts[0] if len(parts) == 1 else compose_sources(parts)
        return whole.with_window(step.window)

    def _part(self, key: str) -> Source:
        from napari_ditto.data.source import open_source

        if key not in self._parts:
            entry = self.record.image(key)
            if entry.name in self.images:
                entry = moved(entry, Path(self.images[entry.name]))
            levels = read_levels(self.folder, entry)
            if not self.force and fingerprint(levels, entry.name) != entry.fingerprint:
                raise SourceError(
                    "the image has other pixels than when the session was saved",
                    where=entry.name,
                    todo="Find the image it was made on, or allow others (--force)",
                )
            data = levels[0] if len(levels) == 1 else list(levels)
            self._parts[key] = open_source(data, entry.axes, entry.channel_axis, name=entry.name)
        return self._parts[key]


def _with_parked(folder: Path) -> SessionRecord:
    """Return a session with all images of its series."""
    try:
        return with_parked(read_session(folder))
    except Misfit as error:
        raise SourceError(f"this session cannot be read: {error}", where=str(folder)) from error


Pair = tuple[PromptStep, PlacedMask, PlacedMask]
"""An accepted object, the pixels it took then, and those it takes now."""


def _refinement(step: PromptStep) -> Refinement:
    try:
        return checked(step.refinement)
    except ValueError as error:
        raise SourceError(f"a step was refined in an unknown way: {error}") from error


def _of_step(step: PromptStep) -> PlacedMask:
    return PlacedMask(step.written.box, step.written.unpack()).cropped()


def _same(a: PlacedMask, b: PlacedMask) -> bool:
    if not (a.mask.size and b.mask.size):
        return a.mask.size == b.mask.size
    return a.box == b.box and np.array_equal(a.mask, b.mask)


def _check_inside(step: PromptStep, labels: LabelStore) -> None:
    """Raise :class:`LabelsError` if a step wrote where these labels are not."""
    labels.read(step.address, step.written.box)


def _rebuilt(
    saved: LabelStore, entry: SessionLabels, pairs: Sequence[Pair]
) -> tuple[LabelStore, int]:
    """Return the labels as they come out now, and in how many pixels they differ."""
    out, pixels = own_copy(saved), 0
    for address in dict.fromkeys(step.address for step, _, _ in pairs):
        here = [pair for pair in pairs if pair[0].address == address]
        for box in _parts_of(here):
            old = saved.read(address, box)
            new = _put_together(old, box, here)
            differ = int(np.count_nonzero(old != new))
            if differ:
                out.apply(LabelDelta(address, box, old, new, 0))
            pixels += differ
    return out, pixels


def _parts_of(pairs: Sequence[Pair]) -> list[Box]:
    """Return tiles that cover all that was or is written on a plane."""
    whole = Box(0, 0, 0, 0)
    for _, was, now in pairs:
        whole = whole.union(was.box).union(now.box)
    rows, columns = range(whole.y0, whole.y1, TILE), range(whole.x0, whole.x1, TILE)
    tiles = (Box(y, x, y + TILE, x + TILE).intersect(whole) for y in rows for x in columns)
    return [
        tile for tile in tiles
        if any(not tile.intersect(m.box).is_empty for _, *masks in pairs for m in masks)
    ]  # fmt: skip


def _put_together(
    saved: NDArray[np.integer], box: Box, pairs: Sequence[Pair]
) -> NDArray[np.integer]:
    """Return the labels of a box: objects as they come out now, and all else as it was saved."""
    then, now = np.zeros_like(saved), np.zeros_like(saved)
    for step, old, new in pairs:
        then[place(old.mask, old.box, box)] = step.label
        now[place(new.mask, new.box, box)] = step.label
    return np.where(then == saved, now, saved)
