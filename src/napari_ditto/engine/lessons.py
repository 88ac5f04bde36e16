"""What examples teach a model for a target: encoded, weighed, condensed into a memory."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.data.source import is_source, open_source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.like_objects import LEAST_SHARE, Sizes, veto
from napari_ditto.engine.similarity import weigh_steps
from napari_ditto.engine.teaching import at_pixel_size, encode_steps, object_labels, pixel_size
from napari_ditto.errors import LabelsError, ModelError
from napari_ditto.models.protocols import ContextModel, Example, Memory

LabelledImage = tuple[object, NDArray[np.integer]]


Examples = Sequence[LabelledImage | PlaneExample]


Plane = PlaneAddress | Mapping[str, int] | None


MOST_JUDGED = 16
"""Tiles of the examples that are looked at for other kinds."""


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
