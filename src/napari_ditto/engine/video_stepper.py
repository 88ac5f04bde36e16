"""Labels carried from plane to plane by the memory of a video model.

Of each object the model reads what it remembers of the user's planes, which are never forgotten,
and of the planes before that believe in the object; a plane whose mask was doubted is simply not
among them. What it remembers of a finished plane was made with it and is handed on; what it
remembers of the user's masks is made once.

What is remembered of places is about one tile. A plane that fits into one tile has no other; else
each object is looked for on the half-overlapping tile around it, on the finest level that shows all
of it. It stays on its tile as long as that shows it with a margin of an eighth; what then still
leads out is looked for once more, on the tile around what was found. On another tile the user's
masks and the nearest plane before are memorized anew, and older planes lend only what is not about
places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, bounding_box
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import BoxPrompt
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.core.routes import MOST_BEFORE
from napari_ditto.core.tiling import Tile, choose_tile
from napari_ditto.data.memorystore import MemoryStore
from napari_ditto.data.protocols import EmbeddingStore, Source
from napari_ditto.engine.encode import TileEncoder
from napari_ditto.engine.judging import NOTHING
from napari_ditto.engine.placing import place_logits
from napari_ditto.engine.predict import Pyramid
from napari_ditto.engine.tile_motion import TileMotion
from napari_ditto.engine.video_carry import Arrays, Handed, pack, unpack
from napari_ditto.models.protocols import MemoryFrame, VideoModel

VERSION = 2
"""Of what is read and handed on; a change does all steps again."""

MASK_BYTES = 512 << 20
"""Most bytes of what is remembered of the user's masks, half a megabyte each with SAM 2."""

Mask = NDArray[np.bool_]
Result = TypeVar("Result")
Steps = Generator[Progress, None, Result]


@dataclass(frozen=True, eq=False)
class _Plane:
    """A plane that is read: `distance` is negative for one that lies ahead."""

    seen: Seen
    distance: int
    side: tuple[int, ...]
    ids: frozenset[int]

    @property
    def is_users(self) -> bool:
        """Whether its masks are the user's; a step always hands something on."""
        return self.seen.is_anchor or not self.seen.carry


@dataclass(frozen=True, eq=False)
class _Subject:
    """An object that is looked for: where, and the planes that show it, the nearest first."""

    label: int
    last: PlacedMask
    tile: Tile
    planes: tuple[_Plane, ...]


class VideoStepper:
    """Steps of a video model.

    Parameters
    ----------
    model : VideoModel
        Such as ``load_model("sam2:facebook/sam2.1-hiera-tiny")``.
    source : Source
        The image. Make a new stepper when it was edited.
    cache : EmbeddingStore, optional
        Where embeddings are kept; in memory only by default.
    mask_bytes : int
        Most bytes kept of what is remembered of the user's masks.
    """

    def __init__(
        self,
        model: VideoModel,
        source: Source,
        cache: EmbeddingStore | None = None,
        mask_bytes: int = MASK_BYTES,
    ) -> None:
        self._motion = TileMotion(source)
        self.model, self.encoder = model, TileEncoder(source, model, cache, self._motion.saw)
        self._whole = set(model.reach)
        self._lasting = [name for name, reach in model.reach.items() if reach > MOST_BEFORE]
        self._furthest = max(model.reach.values())
        self._known = MemoryStore(mask_bytes)

    @property
    def key(self) -> str:
        """Identity: the model, and the version of what is read and handed on."""
        return f"video {VERSION} {self.model.spec.key}"

    def step(
        self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Steps[Step]:
        """Return what becomes of the objects in the plane `address`; see :class:`.Stepper`.

        The score of a mask is the model's estimate of its IoU times its probability that the
        object is there at all.

        Raises
        ------
        SourceError, ModelError, DeviceError
            If a tile cannot be read, or the model fails.
        """
        pyramid = Pyramid.of(self.encoder.source, address)
        planes = _planes(address, before, anchors)
        self._motion.forget_all_but({address, *(seen.address for seen in before)})
        labels = sorted({n for p in planes[: len(before)] for n in p.ids})
        subjects = [self._subject(n, planes, pyramid) for n in labels]
        found: dict[int, Carried] = {}
        handed: dict[int, Handed] = {}
        for number, subject in enumerate(sorted(subjects, key=lambda s: (s.tile, s.label)), 1):
            text = f"object {number} of {len(subjects)}"
            yield Progress("decode", number - 1, len(subjects), text)
            found[subject.label], kept = yield from self._follow(address, subject, pyramid)
            handed |= {subject.label: kept} if kept else {}
        return Step(tuple(found[n] for n in labels), pack(handed, self._lasting))

    def _subject(self, label: int, planes: Sequence[_Plane], pyramid: Pyramid) -> _Subject:
        shown = tuple(p for p in planes if label in p.ids)
        last = _placed(shown[0].seen.labels, label)
        handed = unpack(shown[0].seen.carry, label)
        tile = self._tile(last.box, pyramid, handed.tile if handed else None)
        return _Subject(label, last, tile, shown)

    def _tile(self, box: Box, pyramid: Pyramid, latest: Tile | None = None) -> Tile:
        """Return where to look for an object that is expected in a box."""
        size = self.encoder.tile_size
        if latest:
            fy, fx = pyramid.factors[latest.level]
            needed = box.scale(1 / fy, 1 / fx).grow(size // 8)
            if latest.box.covers(needed.intersect(Box.of_shape(pyramid.shapes[latest.level]))):
                return latest
        extent = BoxPrompt(box.y0 - 0.5, box.x0 - 0.5, box.y1 - 0.5, box.x1 - 0.5)
        return choose_tile(extent, extent.center, pyramid.shapes, pyramid.factors, size)

    def _follow(
        self, address: PlaneAddress, subject: _Subject, pyramid: Pyramid
    ) -> Steps[tuple[Carried, Handed | None]]:
        """Look for an object on its tile, and if it leads out there once more around it."""
        carried, kept = yield from self._look(address, subject, pyramid)
        if kept and _leads_out(carried.mask, subject.tile, pyramid):
            around = self._tile(carried.mask.box, pyramid)
            if around != subject.tile:
                there = replace(subject, tile=around)
                carried, kept = yield from self._look(address, there, pyramid)
        return carried, kept

    def _look(
        self, address: PlaneAddress, subject: _Subject, pyramid: Pyramid
    ) -> Steps[tuple[Carried, Handed | None]]:
        memories = yield from self._recall(subject, pyramid)
        if not any(self._whole <= m.arrays.keys() for m in memories):
            # Too thin to be seen on the level that shows all of it.
            return Carried(subject.label, NOTHING, subject.last), None
        tile = subject.tile
        (embedding,) = yield from self.encoder.embed_steps(address, [tile])
        found = self.model.track(embedding, [memories])
        factor, shape = pyramid.factors[tile.level], pyramid.shapes[0]
        mask = place_logits(found.logits[0], tile.box, factor, shape)
        scored = replace(mask, score=float(found.scores[0] * found.present[0]))
        memory = {name: array[0] for name, array in found.memory.items()}
        past = tuple(
            (m.distance, self._lasting_part(m.arrays))
            for m in memories
            if not m.is_anchor and m.distance < self._furthest
        )
        expected = self._expected(address, subject, pyramid)
        return Carried(subject.label, scored, expected), Handed(tile, memory, past)

    def _expected(self, address: PlaneAddress, subject: _Subject, pyramid: Pyramid) -> PlacedMask:
        """Return the mask of the nearest plane, moved along with the image."""
        nearest, tile = subject.planes[0].seen, subject.tile
        mask = _on_tile(nearest.labels, subject.label, tile, pyramid)
        moved = self._motion.moved(mask, tile, nearest.address, address)
        if moved is None:
            return subject.last
        logits = np.where(moved, np.float32(1), np.float32(-1))
        return place_logits(logits, tile.box, pyramid.factors[tile.level], pyramid.shapes[0])

    def _recall(self, subject: _Subject, pyramid: Pyramid) -> Steps[list[MemoryFrame]]:
        """Return what is remembered of an object; memorize what is not known yet."""
        memories = []
        for plane in subject.planes:
            handed = unpack(plane.seen.carry, subject.label)
            memory: Arrays | None = None
            if handed and handed.tile == subject.tile:
                memory = handed.memory
            elif plane.is_users or plane is subject.planes[0]:
                memory = yield from self._memorized(plane, subject, pyramid)
            elif handed:
                memory = self._lasting_part(handed.memory)
            if memory:
                memories.append(MemoryFrame(memory, plane.distance, plane.is_users))
        return memories + _older(subject, self._furthest)

    def _memorized(
        self, plane: _Plane, subject: _Subject, pyramid: Pyramid
    ) -> Steps[Arrays | None]:
        """Return what to remember of a mask on a tile; None if it lies elsewhere."""
        tile, address = subject.tile, plane.seen.address
        mask = _on_tile(plane.seen.labels, subject.label, tile, pyramid)
        if not mask.any():
            return None
        key = f"{address} {tile} {hashlib.sha256(np.packbits(mask).data).hexdigest()}"
        known = self._known.get(key)
        if known is None:
            (embedding,) = yield from self.encoder.embed_steps(address, [tile])
            arrays = self.model.memorize(embedding, mask[None])
            one = {name: array[0] for name, array in arrays.items()}
            known = Embedding(one, tile.box.shape, self.model.spec.key)
            self._known.put(key, known)
        return known.arrays

    def _lasting_part(self, memory: Arrays) -> Arrays:
        return {name: memory[name] for name in self._lasting}


def _planes(address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]) -> list[_Plane]:
    """Return the planes before, then anchors that are not among them.

    An anchor lies ahead if each plane before lies on the other side.
    """
    known = {seen.address for seen in before}
    ways = [_offset(seen.address, address) for seen in before]
    found = []
    for seen in [*before, *(a for a in anchors if a.address not in known)]:
        offset = _offset(seen.address, address)
        is_ahead = all(int(np.dot(offset, way)) < 0 for way in ways)
        side = tuple(np.sign(offset).tolist())
        ids = frozenset(np.unique(seen.labels).tolist()) - {0}
        found.append(_Plane(seen, -seen.distance if is_ahead else seen.distance, side, ids))
    return found


def _offset(there: PlaneAddress, here: PlaneAddress) -> NDArray[np.int64]:
    return np.array([i - j for (_, i), (_, j) in zip(there.fixed, here.fixed, strict=True)])


def _older(subject: _Subject, furthest: int) -> list[MemoryFrame]:
    """Return what planes hand on of those before them, of each plane once."""
    told = {(p.side, p.distance) for p in subject.planes}
    found = []
    for plane in subject.planes:
        handed = unpack(plane.seen.carry, subject.label)
        for before, arrays in handed.past if handed else ():
            where = (plane.side, plane.distance + before)
            if where not in told and where[1] <= furthest:
                told.add(where)
                found.append(MemoryFrame(arrays, where[1]))
    return found


def _leads_out(mask: PlacedMask, tile: Tile, pyramid: Pyramid) -> bool:
    """Whether an object reaches an edge of its tile beyond which the image goes on."""
    fy, fx = pyramid.factors[tile.level]
    plane = Box.of_shape(pyramid.shapes[0])
    seen = tile.box.scale(fy, fx).intersect(plane)
    # Half a pixel of the level may be lost where a mask is brought to level 0.
    reach = mask.box.grow(round(max(fy, fx) / 2)).grow(1)
    return not mask.box.is_empty and not seen.covers(reach.intersect(plane))


def _placed(labels: NDArray[np.uint32], label: int) -> PlacedMask:
    mask = labels == label
    box = bounding_box(mask)
    return PlacedMask(box, mask[box.slices])


def _on_tile(labels: NDArray[np.uint32], label: int, tile: Tile, pyramid: Pyramid) -> Mask:
    """Return an object's mask on a tile: of each pixel of the level the one at its centre."""
    box, factor = tile.box, pyramid.factors[tile.level]
    if factor == (1.0, 1.0):
        return np.asarray(labels[box.slices] == label)
    spans = ((box.y0, box.y1), (box.x0, box.x1))
    rows, columns = (
        np.minimum((np.arange(*span) + 0.5) * f, size - 1).astype(np.intp)
        for span, f, size in zip(spans, factor, labels.shape, strict=True)
    )
    return np.asarray(labels[np.ix_(rows, columns)] == label)
