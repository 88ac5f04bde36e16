"""More like this: a plane segmented by examples.

The examples' tiles are encoded and condensed into a memory. Each tile of the plane, overlapping by
half, is asked where the remembered classes are; the answers are blended with weights that fall to
nothing at the tiles' edges, and the likeliest class wins.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.patchwork import tent
from napari_ditto.core.progress import Progress
from napari_ditto.core.tiling import Grid
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import is_source, open_source
from napari_ditto.engine.candidates import Settings
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.everything import needs_out, paint
from napari_ditto.engine.jobs import drain
from napari_ditto.engine.like_objects import LEAST_SHARE, Map, Sizes, objects_steps, veto
from napari_ditto.engine.similarity import weigh_steps
from napari_ditto.engine.teaching import at_pixel_size, encode_steps, object_labels, pixel_size
from napari_ditto.errors import LabelsError, ModelError, SourceError
from napari_ditto.models.protocols import ContextModel, Example, Memory

if TYPE_CHECKING:
    import zarr

    from napari_ditto.core.run_plan import Task
    from napari_ditto.engine.whole.launch import RunOptions

MAX_PIXELS = 1 << 26
"""Largest part of a plane done at once."""

MAX_VALUES = 1 << 28
"""Most pixels times classes; the maps take four bytes for each."""

MOST_JUDGED = 16
"""Tiles of the examples that are looked at for other kinds."""

LabelledImage = tuple[object, NDArray[np.integer]]
Examples = Sequence[LabelledImage | PlaneExample]
Plane = PlaneAddress | Mapping[str, int] | None


@dataclass(frozen=True, eq=False)
class ContextResult:
    """A plane, or a part of it, segmented by examples.

    Attributes
    ----------
    labels : ndarray of uint32, shape ``box.shape``
        Classes as in the examples, or objects counted from 1, the surest first; 0 is background.
    probability : ndarray of float32, shape (c, *box.shape)
        Of each class, in the order of `classes`.
    classes : tuple of int
        The examples' class ids, ``(1,)`` for objects.
    box : Box
        The part of the plane that was done.
    scores : ndarray of float32, shape (n,)
        Confidence in [0, 1] of objects 1 to n, or of each class in the order of `classes`: its
        mean probability where it is painted, 0 if it is nowhere.
    objects : tuple of PlacedMask
        All candidates in pixels of the plane, doubtful ones too; they may reach out of the box
        and overlap. Empty for classes.
    """

    labels: NDArray[np.uint32]
    probability: NDArray[np.float32]
    classes: tuple[int, ...]
    box: Box
    scores: NDArray[np.float32]
    objects: tuple[PlacedMask, ...] = ()
    instances: bool = False
    settings: Settings = field(default_factory=Settings)

    def above(self, threshold: float) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Return labels and scores of what is at least so sure; no model is asked.

        Parameters
        ----------
        threshold : float
            Least confidence of an object; for classes, least probability of a pixel.
        """
        if self.instances:
            # As float32, so that a score that was shown finds its own object.
            sure = [m for m in self.objects if np.float32(m.score) >= np.float32(threshold)]
            return paint(sure, self.box, self.settings)
        return paint_classes(self.probability, self.classes, threshold)


@overload
def segment_like(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: None = None,
) -> NDArray[np.uint32]: ...
@overload
def segment_like(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: Path | str,
    **run: Unpack[RunOptions],
) -> zarr.Array[Any]: ...
def segment_like(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: Path | str | None = None,
    **run: Unpack[RunOptions],
) -> NDArray[np.uint32] | zarr.Array[Any]:
    """Return the labels of a plane, or a whole image, after the examples.

    Parameters
    ----------
    source : Source
        The image.
    examples : sequence of (image, labels) or PlaneExample
        Planes: an array, or a source of two axes, and labels of its shape; -1 is not known. Arrays
        of the same type and channels are read with the window of `source`, so that equal values
        look equal.
    model : ContextModel
        Such as ``load_model("classic")``.
    plane : mapping or PlaneAddress, optional
        Index on the axes that are not displayed; 0 by default.
    instances : bool
        False: every id in the examples is a class, and the result has these ids. True: all ids are
        objects of one kind, and each object found gets an id of its own.
    region : Box, optional
        Part of the plane; all of it by default.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    out : path, optional
        Write OME-Zarr labels of the whole image there, tile by tile; see
        :func:`~napari_ditto.engine.everything.segment_all`. What the examples teach is kept with
        the run, so that one that is resumed does not look at them again.
    **run
        How that is done; see :class:`~napari_ditto.engine.whole.launch.RunOptions`.

    Returns
    -------
    ndarray of uint32, shape (height, width)
        Of the plane or the region.
    zarr.Array of uint32, shape of the source
        With `out`.

    Raises
    ------
    SourceError, ModelError
        If an example does not fit its labels, nothing is labelled, or the plane is too large.
    DittoError
        With `out`, if there is something already, or some tiles have failed.
    """
    if out is not None:
        from napari_ditto.engine.whole.launch import label_whole
        from napari_ditto.engine.whole.segmenter import like_task

        def teach() -> tuple[Task, Lesson]:
            lesson = drain(
                learn_steps(
                    source, examples, model, plane,
                    instances=instances, region=region, cache=cache,
                )
            )  # fmt: skip
            return like_task(lesson), lesson

        return label_whole(
            source, model, out, "like", teach,
            instances=instances, plane=plane, region=region, options=run,
        )  # fmt: skip
    if run:
        raise needs_out(run)
    steps = segment_like_steps(
        source, examples, model, plane, instances=instances, region=region, cache=cache
    )
    return drain(steps).labels


def segment_like_steps(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    memory: Memory | None = None,
    weighted: bool = True,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, ContextResult]:
    """Return what :func:`segment_like` makes its labels from, tile by tile.

    Parameters
    ----------
    source, examples, model, plane, instances, region, cache
        As for :func:`segment_like`.
    memory : Memory, optional
        What is known already, from :func:`remember_steps` or tuned; the examples are then used
        for the sizes of objects only, and may be none. Similar kinds are told apart less well.
    weighted : bool
        Whether examples count by their similarity to the target.
    """
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    box = _checked_region(source, address, region)
    encoder = TileEncoder(source, model, cache)
    lesson = yield from learn_steps(
        source, examples, model, address,
        instances=instances, region=region, memory=memory, weighted=weighted, cache=encoder.cache,
    )  # fmt: skip
    return (yield from apply_steps(encoder, lesson, address, box))


@dataclass(frozen=True, eq=False)
class Lesson:
    """What examples have taught; enough to label any plane, and the same for all of them.

    Attributes
    ----------
    memory : Memory
        Of the model.
    instances : bool
        Whether objects of one kind are looked for, or classes.
    sizes : Sizes or None
        Of the examples' objects; None where none is known.
    least : float
        Least share of the kind in an object.
    """

    memory: Memory
    instances: bool = False
    sizes: Sizes | None = None
    least: float = LEAST_SHARE


def learn_steps(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    memory: Memory | None = None,
    weighted: bool = True,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, Lesson]:
    """Return what the examples teach for a target; arguments as for :func:`segment_like_steps`."""
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    shown = [_as_example(e, source, n) for n, e in enumerate(examples, 1)]
    taught: list[Example] = []
    if memory is None:
        taught = yield from teach_steps(
            source, shown, model, address,
            instances=instances, region=region, weighted=weighted, cache=cache,
        )  # fmt: skip
        memory = yield from _remember(model, taught)
    if not instances:
        return Lesson(memory)
    sizes = Sizes.of(_object_labels(shown, source, address))
    least = LEAST_SHARE if sizes is None else (yield from _veto(model, memory, taught, sizes))
    return Lesson(memory, True, sizes, least)


def apply_steps(
    encoder: TileEncoder, lesson: Lesson, address: PlaneAddress, box: Box
) -> Generator[Progress, None, ContextResult]:
    """Return a part of a plane segmented by what was learnt.

    Parameters
    ----------
    encoder : TileEncoder
        Of the image, with a context model.
    lesson : Lesson
        From :func:`learn_steps`.
    address, box : PlaneAddress, Box
        What to label.
    """
    memory, model = lesson.memory, encoder.model
    if not isinstance(model, ContextModel):
        raise ModelError(f"{model.spec.id} takes no examples", todo="Choose another model")
    probability, center = yield from recall_steps(encoder, model, memory, address, box)
    if not lesson.instances:
        yield Progress("merge", 0, 1, "painting labels")
        labels, scores = paint_classes(probability, memory.classes)
        return ContextResult(labels, probability, memory.classes, box, scores)
    sizes = lesson.sizes or Sizes.guess(probability[0])
    found, settings = yield from objects_steps(
        encoder, address, box, probability[0], center, sizes, lesson.least
    )
    labels, scores = paint(found, box, settings)
    return ContextResult(
        labels, probability, memory.classes, box, scores, tuple(found), True, settings
    )


def remember_steps(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    weighted: bool = True,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, Memory]:
    """Return the memory of the examples, as :func:`segment_like_steps` makes it for a target.

    Raises
    ------
    SourceError, LabelsError, ModelError
        If an example does not fit its labels, or nothing is labelled.
    """
    shown = yield from teach_steps(
        source, examples, model, plane,
        instances=instances, region=region, weighted=weighted, cache=cache,
    )  # fmt: skip
    return (yield from _remember(model, shown))


def _remember(model: ContextModel, shown: Sequence[Example]) -> Generator[Progress, None, Memory]:
    yield Progress("merge", 0, 1, "learning from the examples")
    return model.remember(shown)


def _veto(
    model: ContextModel, memory: Memory, taught: Sequence[Example], sizes: Sizes
) -> Generator[Progress, None, float]:
    """Return the least share of the kind in an object, from what the examples show beside it."""
    chances = []
    for i, example in enumerate(taught[:MOST_JUDGED]):
        yield Progress("decode", i, len(taught), "looking at the examples")
        chances.append(model.recall(example.embedding, memory).probability[0])
    return veto(chances, [e.labels for e in taught[:MOST_JUDGED]], sizes)


def teach_steps(
    source: Source,
    examples: Examples,
    model: ContextModel,
    plane: Plane = None,
    *,
    instances: bool = False,
    region: Box | None = None,
    weighted: bool = True,
    cache: EmbeddingStore | None = None,
) -> Generator[Progress, None, list[Example]]:
    """Return the examples as encoded tiles of the target's pixel size: what a model learns from."""
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    cache = TileEncoder(source, model, cache).cache
    given = [_as_example(e, source, n) for n, e in enumerate(examples, 1)]
    used = _at_size_of(given, source, address)
    if not used:
        raise ModelError("there is no example", todo="Add one, or switch one on")
    for example in used:
        example.check()
    weights: Sequence[float] = (1.0,) * len(used)
    if weighted:
        weights = yield from weigh_steps(used, source, address, model, cache, region)
    shown: list[Example] = []
    for example, weight in zip(used, weights, strict=True):
        shown += yield from encode_steps(example, model, cache, instances=instances, weight=weight)
    largest = max((int(e.labels.max(initial=0)) for e in shown), default=0)
    if largest > np.iinfo(np.uint32).max:
        raise LabelsError(f"label {largest} of an example is too large", todo="Renumber it")
    return shown


def _checked_region(source: Source, address: PlaneAddress, region: Box | None) -> Box:
    whole = Box.of_shape(source.plane_shape(address))
    box = whole if region is None else whole.intersect(region)
    if box.is_empty:
        raise SourceError("the region lies outside the image", where=source.name)
    if box.area > MAX_PIXELS:
        raise SourceError(
            f"a plane of {box.height} x {box.width} is too large to be done at once",
            where=source.name,
            todo="Choose a region, or run over the whole image (out=)",
        )
    return box


def _as_example(given: LabelledImage | PlaneExample, target: Source, number: int) -> PlaneExample:
    if isinstance(given, PlaneExample):
        return given if given.name else replace(given, name=f"example {number}")
    image, labels = given
    source = _open_example(image, labels, target)
    return PlaneExample(source, source.plane(), labels, name=f"example {number}")


def _open_example(image: object, labels: NDArray[np.integer], target: Source) -> Source:
    if is_source(image):
        return image
    pixels = np.asarray(image)
    source = open_source(pixels, axes="yxc" if pixels.ndim == labels.ndim + 1 else "yx")
    dtype = getattr(target, "dtype", pixels.dtype)
    alike = source.channels == target.channels and dtype == pixels.dtype
    return source.with_window(target.window) if alike else source


def _at_size_of(
    examples: Sequence[PlaneExample], source: Source, address: PlaneAddress
) -> list[PlaneExample]:
    """Return the examples that are switched on, with the target's pixel size where known."""
    size = pixel_size(source, address)
    return [at_pixel_size(e, size) for e in examples if e.enabled]


def _object_labels(
    examples: Sequence[PlaneExample], source: Source, address: PlaneAddress
) -> list[NDArray[np.int64]]:
    shown = [e for e in examples if not e.negative]
    return [object_labels(e) for e in _at_size_of(shown, source, address)]


def recall_steps(
    encoder: TileEncoder, model: ContextModel, memory: Memory, address: PlaneAddress, box: Box
) -> Generator[Progress, None, tuple[NDArray[np.float32], Map | None]]:
    """Return the blended probability of each class, (c, *box.shape), and of centres."""
    if memory.model != model.spec.key:
        raise ModelError(f"these examples were encoded by {memory.model}")
    if len(memory.classes) * box.area > MAX_VALUES:
        raise ModelError(
            f"{len(memory.classes)} classes in {box.height} x {box.width} pixels are too much",
            todo="Choose a region, or fewer classes",
        )
    shape = encoder.source.plane_shape(address)
    total = np.zeros((len(memory.classes), *box.shape), dtype=np.float32)
    weight, center = np.zeros(box.shape, dtype=np.float32), np.zeros(box.shape, dtype=np.float32)
    centered = True
    tiles = list(Grid(shape, encoder.tile_size).covering(box))
    for i, tile in enumerate(tiles):
        yield Progress("decode", i, len(tiles), f"tile {i + 1} of {len(tiles)}")
        (embedding,) = yield from encoder.embed_steps(address, [tile])
        found = model.recall(embedding, memory)
        common = tile.box.intersect(box)
        here, there = (
            common.shift(-box.y0, -box.x0).slices,
            common.shift(-tile.box.y0, -tile.box.x0).slices,
        )
        trust = tent(tile.box, shape)[there]
        total[:, *here] += trust * found.probability[:, *there]
        if found.center is None:
            centered = False
        else:
            center[here] += trust * found.center[there]
        weight[here] += trust
    return total / weight, center / weight if centered else None


def paint_classes(
    probability: NDArray[np.float32], classes: tuple[int, ...], threshold: float = 0.0
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Return the likeliest class of each pixel, and the mean probability of each where painted.

    Background is what is likeliest there, or has no class of at least the threshold.
    """
    winner = probability.argmax(axis=0)
    chance = np.take_along_axis(probability, winner[None], axis=0)[0]
    shown = (chance > 1 - probability.sum(axis=0)) & (chance >= threshold)
    place = np.where(shown, winner + 1, 0)
    counts = np.bincount(place.ravel(), minlength=len(classes) + 1)
    sums = np.bincount(place.ravel(), chance.ravel(), minlength=len(classes) + 1)
    labels: NDArray[np.uint32] = np.array([0, *classes], dtype=np.uint32)[place]
    return labels, (sums / np.maximum(counts, 1))[1:].astype(np.float32)
