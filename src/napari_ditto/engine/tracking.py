"""Cells of a movie: found in every frame after labelled examples, then linked into tracks.

Frames that the user has labelled are taken as they are, and their ids go on as track ids. Volumes
are found slice by slice and joined before they are linked.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import place
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import PlaneDone
from napari_ditto.data.arrays import Sliceable
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import EmbeddingStore, LabelStore, Source
from napari_ditto.engine.context import segment_like_steps
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.frames import Frames, new_store, write_plane
from napari_ditto.engine.joining import join_steps
from napari_ditto.engine.lessons import LabelledImage, remember_steps
from napari_ditto.engine.linking import Linked, Linker, link_steps
from napari_ditto.engine.propagation_input import as_labels
from napari_ditto.errors import LabelsError, SourceError
from napari_ditto.models.protocols import ContextModel, Memory

MOST_SLICES = 5
"""Slices of a labelled volume that are learnt from."""

COVERED = 0.5
"""A found object that shares so much of itself with the user's is the user's."""

Tracked = Linked
Examples = Mapping[int, NDArray[np.integer]] | Sequence[LabelledImage | PlaneExample]


def track(
    source: Source,
    examples: Examples,
    model: ContextModel,
    *,
    axis: str = "t",
    within: tuple[int, int] | None = None,
    max_distance: float | None = None,
    gap: int = 2,
    divisions: bool = True,
    linker: Linker = "laptrack",
    cache: EmbeddingStore | None = None,
    out: Path | str | None = None,
) -> Tracked:
    """Return the tracks of all objects of the examples' kind in a movie.

    Parameters
    ----------
    source : Source
        The movie, of axes such as ``tyx`` or ``tzyx``.
    examples : mapping of int to ndarray, or sequence of (image, labels) or PlaneExample
        Labelled frames of this movie by number, each of a frame's shape; or labelled planes of any
        image. Frames of this movie are kept as they are, ids included; what they leave out is
        filled in where they are marked as partial.
    model : ContextModel
        Such as ``load_model("ditto")``.
    axis : str
        The axis of time.
    within : (int, int), optional
        The frames to do, half-open; all by default.
    max_distance, gap, divisions, linker
        As for :func:`~napari_ditto.engine.linking.link_steps`. Distances are in pixels.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    out : Path, optional
        A new OME-Zarr for the labels; in memory by default.

    Returns
    -------
    Linked
        Labels of the source's shape under the ids of their tracks, the lineage, and what wants a
        look.

    Raises
    ------
    SourceError, LabelsError, ModelError, StoreError
        If axes, range or examples do not fit, or `out` cannot be written.
    """
    return drain(
        track_steps(
            source, examples, model, axis=axis, within=within, max_distance=max_distance,
            gap=gap, divisions=divisions, linker=linker, cache=cache, out=out,
        )
    )  # fmt: skip


def track_steps(
    source: Source,
    examples: Examples,
    model: ContextModel,
    *,
    axis: str = "t",
    within: tuple[int, int] | None = None,
    max_distance: float | None = None,
    gap: int = 2,
    divisions: bool = True,
    linker: Linker = "laptrack",
    memory: Memory | None = None,
    cache: EmbeddingStore | None = None,
    out: Path | str | LabelStore | None = None,
) -> Generator[Progress, None, Tracked]:
    """Return what :func:`track` returns, plane by plane.

    Every finished plane is a progress with a :class:`PlaneDone`: first with objects that are not
    yet linked, then under the ids of their tracks. A job that is cancelled in between leaves the
    objects found in `out`.

    Parameters
    ----------
    source, examples, model, axis, within, max_distance, gap, divisions, linker, cache, out
        As for :func:`track`.
    memory : Memory, optional
        What is known already, e.g. tuned; the examples then say what is labelled, and how large
        objects are.
    """
    movie = _Movie.of(source, examples, axis)
    cache = TileEncoder(source, model, cache).cache
    store = out if isinstance(out, LabelStore) else new_store(source.shape, source.axes, out)
    labels = cast("Sliceable", store.data)
    frames = Frames(labels, source.axes, axis, within)
    first = frames.address(0, dict.fromkeys(source.axes, 0))
    if memory is None:
        memory = yield from remember_steps(
            source, movie.shown, model, first, instances=True, weighted=False, cache=cache
        )
    for number in range(len(frames)):
        yield from _find(movie, model, memory, frames, number, store, cache)
    return (
        yield from link_steps(
            labels,
            axes=source.axes, axis=axis, within=within, keep=movie.kept(len(frames.planes(0))),
            max_distance=max_distance, gap=gap, divisions=divisions, linker=linker,
            image=whole_image(source) if linker == "trackastra" else None, out=store,
        )
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Movie:
    """What is known of a movie: what to learn from, and which planes the user has labelled.

    Attributes
    ----------
    source : Source
        The image.
    shown : tuple of PlaneExample or (image, labels)
        What the model learns from.
    own : mapping of int to mapping of PlaneAddress to PlaneExample
        The labelled planes of this movie, by frame.
    """

    source: Source
    shown: tuple[LabelledImage | PlaneExample, ...]
    own: Mapping[int, Mapping[PlaneAddress, PlaneExample]]

    @classmethod
    def of(cls, source: Source, examples: Examples, axis: str) -> _Movie:
        """Sort examples into those of this movie and others."""
        if axis not in source.axes[:-2] or len(source.axes) > 4:
            raise SourceError(
                f"a movie has the axis {axis}, rows, columns and at most one more, "
                f"not {', '.join(source.axes)}",
                where=source.name,
            )
        if isinstance(examples, Mapping):
            labelled = [e for n, x in examples.items() for e in _planes(source, axis, n, x)]
            shown: Sequence[LabelledImage | PlaneExample] = _some(labelled, axis)
        else:
            labelled = [e for e in examples if isinstance(e, PlaneExample) and e.source is source]
            shown = list(examples)
        own: dict[int, dict[PlaneAddress, PlaneExample]] = {}
        for example in labelled:
            if example.enabled and not example.negative:
                own.setdefault(example.address.index[axis], {})[example.address] = example
        return cls(source, tuple(shown), own)

    def kept(self, planes: int) -> list[int]:
        """Return the frames whose planes are all labelled: their ids are the user's."""
        return sorted(number for number, own in self.own.items() if len(own) == planes)


def _planes(
    source: Source, axis: str, number: int, labels: NDArray[np.integer]
) -> list[PlaneExample]:
    """Return the planes of a labelled frame, the empty ones too: nothing is there."""
    empty = np.broadcast_to(np.zeros((), np.uint32), source.shape)
    frames = Frames(empty, source.axes, axis)
    shape = tuple(n for name, n in zip(source.axes, source.shape, strict=True) if name != axis)
    if not 0 <= number < len(frames):
        raise LabelsError(f"frame {number} is none of {len(frames)}", where=source.name)
    if np.shape(labels) != shape:
        raise LabelsError(
            f"labels of shape {np.shape(labels)} for a frame of {shape}", where=f"frame {number}"
        )
    name = f"frame {number}"
    return [PlaneExample(source, a, labels[at], name=name) for at, a in frames.planes(number)]


def _some(examples: Sequence[PlaneExample], axis: str) -> list[PlaneExample]:
    """Return at most a few labelled planes of each frame, evenly spread."""
    chosen: list[PlaneExample] = []
    for frame in sorted({e.address.index[axis] for e in examples}):
        full = [e for e in examples if e.address.index[axis] == frame and e.labels.any()]
        picks = np.linspace(0, len(full) - 1, min(len(full), MOST_SLICES)).round().astype(int)
        chosen += [full[i] for i in picks.tolist()]
    return chosen


def _find(
    movie: _Movie,
    model: ContextModel,
    memory: Memory,
    frames: Frames,
    number: int,
    store: LabelStore,
    cache: EmbeddingStore,
) -> Generator[Progress, None, None]:
    """Write the objects of one frame, found or labelled, to the store."""
    own = movie.own.get(frames.start + number, {})
    planes = frames.planes(number)
    found = []
    for _, address in planes:
        example = own.get(address)
        if example is not None and _is_whole(example):
            labels = _given(example)
        else:
            result = yield from segment_like_steps(
                movie.source, movie.shown, model, address,
                instances=True, memory=memory, cache=cache,
            )  # fmt: skip
            labels = result.labels if example is None else _complete(example, result.labels)
        found.append(labels)
        yield _done(frames, number, address, labels)
    if len(planes) > 1 and len(own) < len(planes):
        found = list((yield from join_steps(found)))
    for (_, address), labels in zip(planes, found, strict=True):
        write_plane(store, address, labels)


def _done(
    frames: Frames, number: int, address: PlaneAddress, labels: NDArray[np.uint32]
) -> Progress:
    text = f"frame {number + 1} of {len(frames)}"
    return Progress("decode", number + 1, len(frames), text, PlaneDone(address, labels, {}))


def _is_whole(example: PlaneExample) -> bool:
    return not example.partial and example.box is None and example.ids is None


def _given(example: PlaneExample) -> NDArray[np.uint32]:
    """Return the user's objects, shape ``example.where.shape``."""
    given = as_labels(np.maximum(example.labels, 0), example.where.shape, example.name)
    return given if example.ids is None else np.where(np.isin(given, example.ids), given, 0)


def _complete(example: PlaneExample, found: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the user's objects, and what was found beside them under ids above theirs."""
    mine = place(_given(example), example.where, Box.of_shape(found.shape))
    sizes = np.bincount(found.ravel())
    taken = np.bincount(found[mine > 0], minlength=len(sizes))
    same = taken > COVERED * sizes
    rest = np.where(same[found] | (mine > 0), 0, found)
    return np.where(rest > 0, rest + mine.max(), mine).astype(np.uint32)


def whole_image(source: Source) -> NDArray[np.float32]:
    """Return the whole movie in one channel, for linkers that look at pixels."""
    whole = np.zeros(source.shape, dtype=np.float32)
    fixed = source.shape[:-2]
    box = Box.of_shape(source.shape[-2:])
    for index in np.ndindex(*fixed):
        address = source.plane(dict(zip(source.axes[:-2], index, strict=True)))
        whole[index] = source.read(address, box).mean(axis=-1)
    return whole
