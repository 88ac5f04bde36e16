"""More like this: a plane segmented by examples.

The examples' tiles are encoded and condensed into a memory. Each tile of the plane, overlapping by
half, is asked where the remembered classes are; the answers are blended with weights that fall to
nothing at the tiles' edges, and the likeliest class wins.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.everything import needs_out
from napari_ditto.errors import SourceError
from napari_ditto.models.protocols import ContextModel, Memory

if TYPE_CHECKING:
    import zarr

    from napari_ditto.core.run_plan import Task
    from napari_ditto.engine.whole.launch import RunOptions
from napari_ditto.engine.lessons import Examples, Lesson, Plane, learn_steps
from napari_ditto.engine.recalling import ContextResult, apply_steps

MAX_PIXELS = 1 << 26
"""Largest part of a plane done at once."""


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
