"""Everything in a plane: prompts from the model itself or from a grid, one label per object.

Tiles overlap by a quarter. Objects that lead out of their tile are followed; what is found twice
is kept once (IoU and containment); the surest is painted first and keeps its pixels. Without
suggestions of its own a model gets a grid of points, filtered as by SAM's automatic mask generator
(Kirillov et al. 2023, arXiv:2304.02643, section 5 and appendix B: 32 points a side, predicted IoU,
stability under a shift of the threshold, non-maximum suppression).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.masks import PlacedMask, intersection, suppress
from napari_ditto.core.progress import Progress
from napari_ditto.core.routing import check_text
from napari_ditto.core.tiling import Grid, Tile
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.candidates import Candidate, Judge, Settings, find_candidates, to_plane
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.foresight import wait_steps
from napari_ditto.engine.growth import Growth, grow_steps
from napari_ditto.engine.placing import MAX_PIXELS, place_patchwork
from napari_ditto.engine.predict import prompted
from napari_ditto.errors import LabelsError, SourceError
from napari_ditto.models.protocols import PromptModel

if TYPE_CHECKING:
    import zarr

    from napari_ditto.engine.whole.launch import RunOptions

GROWTH_TILES = 64
"""An object over more tiles than this is taken for background and left out."""

PARTIALS = 20
"""About so many times a partial result is painted in the course of a run."""


_Found = Future[list[Candidate]]


@dataclass(frozen=True, eq=False)
class EverythingResult:
    """All objects of a plane.

    Attributes
    ----------
    labels : ndarray of uint32, shape ``box.shape``
        0 is background, objects count from 1, the surest first.
    box : Box
        The part of the plane that was done.
    address : PlaneAddress
        The plane.
    scores : ndarray of float32, shape (n,)
        Estimated IoU of objects 1 to n.
    model : str
        ``ModelSpec.key``.
    text : str
        What was looked for by name; ``""`` for everything.
    """

    labels: NDArray[np.uint32]
    box: Box
    address: PlaneAddress
    scores: NDArray[np.float32]
    model: str
    text: str = ""


@overload
def segment_all(
    source: Source,
    model: PromptModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    min_area: int = ...,
    score_threshold: float = ...,
    text: str = ...,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: None = None,
) -> NDArray[np.uint32]: ...
@overload
def segment_all(
    source: Source,
    model: PromptModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    min_area: int = ...,
    score_threshold: float = ...,
    text: str = ...,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: Path | str,
    **run: Unpack[RunOptions],
) -> zarr.Array[Any]: ...
def segment_all(
    source: Source,
    model: PromptModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    min_area: int = 16,
    score_threshold: float = 0.5,
    text: str = "",
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    out: Path | str | None = None,
    **run: Unpack[RunOptions],
) -> NDArray[np.uint32] | zarr.Array[Any]:
    """Return the labels of everything that the model finds in a plane, or a whole image.

    Parameters
    ----------
    source : Source
        The image.
    model : PromptModel
        With suggestions of its own (``AutoPromptModel``), or any.
    plane : mapping or PlaneAddress, optional
        Index on the axes that are not displayed, e.g. ``{"z": 3}``; 0 by default.
    min_area : int
        Pixels of the smallest object.
    score_threshold : float
        Least estimated IoU, or likeliness to be what `text` says.
    text : str
        What the objects are called, e.g. ``"nucleus"``, for a model that reads words.
    region : Box, optional
        Part of the plane; all of it by default.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default, and not for long with `out`.
    out : path, optional
        Write OME-Zarr labels of the whole image there, tile by tile: of all planes, or of those
        that have the index `plane` on the axes that it names. Objects that touch the region are
        labelled whole. A run may be stopped at any moment and gone on with.
    **run
        How that is done; see :class:`~napari_ditto.engine.whole.launch.RunOptions`.

    Returns
    -------
    ndarray of uint32, shape (height, width)
        Of the plane, whatever other axes the source has, or of the region. 0 is background,
        objects count from 1 without a gap.
    zarr.Array of uint32, shape of the source
        With `out`.

    Raises
    ------
    SourceError
        If the plane cannot be read, or is too large to be held in memory at once.
    ModelError, PromptError
        If there is a `text` and the model reads none, or the other way round.
    DittoError
        With `out`, if there is something already, or some tiles have failed.
    """
    settings = Settings(min_area=min_area, score_threshold=score_threshold, text=check_text(text))
    if out is not None:
        from napari_ditto.engine.whole.launch import label_whole
        from napari_ditto.engine.whole.segmenter import all_task

        task = all_task(settings)
        return label_whole(
            source, model, out, "all", lambda: (task, None),
            plane=plane, region=region, options=run,
        )  # fmt: skip
    if run:
        raise needs_out(run)
    steps = segment_all_steps(source, model, plane, region=region, cache=cache, settings=settings)
    return drain(steps).labels


def needs_out(run: Mapping[str, object]) -> LabelsError:
    """Return the error of one who says how a whole image is done, but not where it goes."""
    return LabelsError(
        f"{', '.join(run)} without a place for a whole image", todo="Give out='labels.zarr'"
    )


def segment_all_steps(
    source: Source,
    model: PromptModel,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    *,
    region: Box | None = None,
    cache: EmbeddingStore | None = None,
    settings: Settings | None = None,
    threads: int = 1,
) -> Generator[Progress, None, EverythingResult]:
    """Return the labels of :func:`segment_all`, tile by tile.

    With several `threads` the model decodes so many tiles at once; the result is the same.

    Yields
    ------
    Progress
        A place to cancel; ``partial`` now and then holds an :class:`EverythingResult` of what has
        been found so far, in which ids may still change.
    """
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    sweep = Sweep(TileEncoder(source, model, cache), address, region, settings or Settings())
    sweep.threads = threads
    yield from sweep.find()
    yield from sweep.follow()
    yield Progress("merge", 0, 1, "painting labels")
    return sweep.paint(sweep.finished)


@dataclass(eq=False)
class Sweep:
    """One run over a plane: what was found, what is finished; a judge may have his say."""

    encoder: TileEncoder
    address: PlaneAddress
    region: Box | None
    settings: Settings
    judge: Judge | None = None
    threads: int = 1
    grid: Grid = field(init=False)
    box: Box = field(init=False)
    cut: list[Candidate] = field(default_factory=list)
    finished: list[PlacedMask] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape, size = self.encoder.source.plane_shape(self.address), self.encoder.tile_size
        whole = Box.of_shape(shape)
        self.grid = Grid(shape, size, size // 4)
        self.box = whole if self.region is None else whole.intersect(self.region)
        if self.box.area > MAX_PIXELS:
            raise SourceError(
                f"a plane of {shape[0]} x {shape[1]} is too large to be done at once",
                where=self.encoder.source.name,
                todo="Choose a region, or run over the whole image (out=)",
            )

    @property
    def model(self) -> PromptModel:
        """The model, which takes prompts."""
        return prompted(self.encoder.model)

    def find(self) -> Generator[Progress, None, None]:
        """Look at every tile; objects that lead out of theirs wait in ``cut``."""
        tiles = list(self.grid.covering(self.box))
        with self.encoder.reading_ahead((self.address, tile) for tile in tiles):
            yield from self._look_at(tiles) if self.threads == 1 else self._look_at_many(tiles)

    def _look_at(self, tiles: Sequence[Tile]) -> Generator[Progress, None, None]:
        every = -(-len(tiles) // PARTIALS)
        for i, tile in enumerate(tiles):
            partial = self.paint(self.finished) if i and i % every == 0 else None
            yield Progress("encode", i, len(tiles), f"tile {i + 1} of {len(tiles)}", partial)
            (embedding,) = yield from self.encoder.embed_steps(self.address, [tile])
            found = find_candidates(
                self.model, embedding, tile, self.grid, self.settings, self.judge
            )
            self.keep(found)

    def _look_at_many(self, tiles: Sequence[Tile]) -> Generator[Progress, None, None]:
        """Encode one tile after the other, while those before are decoded by other threads."""
        pool, waiting = ThreadPoolExecutor(self.threads, "ditto-decode"), deque[_Found]()
        try:
            for i, tile in enumerate(tiles):
                yield Progress("encode", i, len(tiles), f"tile {i + 1} of {len(tiles)}")
                (embedding,) = yield from self.encoder.embed_steps(self.address, [tile])
                asked = (self.model, embedding, tile, self.grid, self.settings, self.judge)
                waiting.append(pool.submit(find_candidates, *asked))
                while len(waiting) > self.threads:
                    self.keep((yield from wait_steps(waiting.popleft())))
            while waiting:
                self.keep((yield from wait_steps(waiting.popleft())))
        finally:
            pool.shutdown(cancel_futures=True)

    def keep(self, found: Sequence[Candidate]) -> None:
        """Take over what was found in a tile."""
        self.finished += [c.placed for c in found if c.complete]
        self.cut += [c for c in found if not c.complete]

    def follow(self) -> Generator[Progress, None, None]:
        """Grow the objects that lead out of their tiles, the surest first, each one once."""
        self.cut.sort(key=lambda c: -c.placed.score)
        grown: list[PlacedMask] = []
        for i, candidate in enumerate(self.cut):
            yield Progress("grow", i, len(self.cut), f"object {i + 1} of {len(self.cut)} on seams")
            if not any(self._holds(mask, candidate.placed) for mask in grown):
                grown += yield from self._grow(candidate)
        self.finished += grown
        self.cut = []

    def paint(self, masks: Sequence[PlacedMask]) -> EverythingResult:
        """Return the masks as labels, each object once, the surest on top."""
        labels, scores = paint(masks, self.box, self.settings)
        spec = self.model.spec
        text = self.settings.text
        return EverythingResult(labels, self.box, self.address, scores, spec.key, text)

    def _grow(self, candidate: Candidate) -> Generator[Progress, None, list[PlacedMask]]:
        (embedding,) = yield from self.encoder.embed_steps(self.address, [candidate.tile])
        decoded = self.model.decode(embedding, [candidate.prompts])
        said = to_plane(candidate.prompts, candidate.tile)
        growth = Growth.start(self.grid, said, candidate.tile, decoded.logits[0, candidate.choice])
        yield from grow_steps(growth, self.model, self.encoder, self.address, GROWTH_TILES)
        placed = place_patchwork(growth.work, (1.0, 1.0), self.grid.shape)
        if not growth.complete or placed.area < self.settings.min_area:
            return []
        score = candidate.placed.score
        if self.judge:
            score = self.judge(replace(placed, score=float(decoded.scores[0, candidate.choice])))
        return [replace(placed, score=score)] if score > 0 else []

    def _holds(self, whole: PlacedMask, part: PlacedMask) -> bool:
        return intersection(whole, part) > self.settings.max_containment * part.area


def paint(
    masks: Sequence[PlacedMask], box: Box, settings: Settings
) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Return the labels of a box, each object once, the surest on top, and their scores."""
    labels = np.zeros(box.shape, dtype=np.uint32)
    scores: list[float] = []
    for i in suppress(masks, settings.max_iou, settings.max_containment):
        common = masks[i].box.intersect(box)
        view = labels[common.shift(-box.y0, -box.x0).slices]
        free = masks[i].in_box(common) & (view == 0)
        if np.count_nonzero(free) >= settings.min_area:
            scores.append(masks[i].score)
            view[free] = len(scores)
    return labels, np.array(scores, dtype=np.float32)
