"""What is followed: stacks and movies with true labels, and the planes that are given.

A *case* is one stack with one choice of given planes. The named sets are those of this project;
what belongs together is read from their files' names and places.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ditto.data.opening import open_path
from napari_ditto.data.protocols import Source
from napari_ditto.data.source import open_source
from napari_ditto.errors import SourceError

LEAST_SLICES = 4
"""Shorter stacks of a patient are left out."""

PHASES = 20
"""Sunnybrook: images of a heartbeat; they are numbered slice by slice, from 1."""

HEART = re.compile(r"(?P<patient>.+)-IM-\d+-(?P<number>\d+)")


@dataclass(frozen=True)
class FollowSet:
    """Labelled stacks, and how labels are carried through them.

    Attributes
    ----------
    name : str
        For tables and file names.
    images, masks : Path
        Folders of stacks with the same names; of folders of frames (``frames``); of single slices
        of patients (``patients``).
    layout : {"stacks", "frames", "patients"}
        What the folders hold.
    pair : (str, str) or None
        File names of the only stack and its mask, where they differ or others lie beside them.
    axis : str
        What is followed.
    given : tuple of tuple of int
        The labelled planes of each draw; the middle plane by default.
    ahead, behind : int or None
        How many planes are asked after the last and before the first given one; None for all.
    objects : int or None
        Most objects, drawn with a seed; None for all.
    least : int
        Pixels that an object must have in its given plane.
    lasting : bool
        Only objects that are on every plane that is asked.
    contours : bool
        Whether contours are scored too, as in DAVIS.
    """

    name: str
    images: Path
    masks: Path
    layout: Literal["stacks", "frames", "patients"] = "stacks"
    pair: tuple[str, str] | None = None
    axis: str = "z"
    given: tuple[tuple[int, ...], ...] = ()
    ahead: int | None = None
    behind: int | None = None
    objects: int | None = None
    least: int = 30
    lasting: bool = False
    contours: bool = False


def follow_sets(root: Path) -> dict[str, FollowSet]:
    """Return the named sets whose folders are there; `root` holds a folder per data set."""
    raw = "raw_stack.tif", "mito_instances_3dcc.tif"
    em = "training_sample2_zyx.tif", "neurons_zyx.tif"
    ovule = "arabidopsis_ovule"
    eight, sixteen = ({"ahead": n, "behind": n} for n in (8, 16))
    # The evaluation part has 70 planes, the training part 170.
    starts = ((0,), (40,), (90,), (120,)) if root.name == "train" else ((20,),)
    found = (
        _named(root, "sstem_mito", "sstem_vnc", pair=raw, given=((2,), (9,), (17,)), **eight),
        _named(root, "sstem_mito_3", "sstem_vnc", pair=raw, given=((3, 10, 16),)),
        _named(
            root,
            "fib25_neuroproof",
            pair=em,
            given=starts,
            ahead=40,
            behind=0,
            objects=20,
            least=200,
            lasting=True,
        ),
        _named(root, "ovule_cells", ovule, pair=("sample_ovule.tif",) * 2),
        _named(root, "ovule_nuclei_1135", ovule, pair=("ovule1135_mini.tif",) * 2, **sixteen),
        _named(root, "ovule_nuclei_1136", ovule, pair=("ovule1136_mini.tif",) * 2, **sixteen),
        _named(root, "sunnybrook_cmr", layout="patients", least=1),
        _named(
            root, "davis16_val_a", layout="frames", axis="t", given=((0,),), behind=0, contours=True
        ),
    )
    return {one.name: one for one in found if one.images.is_dir() and one.masks.is_dir()}


def _named(root: Path, name: str, folder: str = "", **how: Any) -> FollowSet:  # noqa: ANN401
    base = root / (folder or name)
    return FollowSet(name, base / "images", base / "masks", **how)


@dataclass(frozen=True, eq=False)
class Stack:
    """One labelled stack.

    Attributes
    ----------
    image, part : str
        File, patient or sequence; which part of it, empty if there is one.
    pixels : ndarray, shape (n, h, w) or (n, h, w, 3)
        The image.
    truth : ndarray of int, shape (n, h, w)
        True ids.
    """

    image: str
    part: str
    pixels: NDArray[Any]
    truth: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FollowCase:
    """One stack with the planes that are given.

    Attributes
    ----------
    given : FollowSet
        Which set it is of.
    stack : Stack
        Image and truth.
    planes : tuple of int
        The given planes.
    ids : tuple of int
        The objects that are followed.
    within : (int, int)
        Half-open range of planes that are asked.
    """

    given: FollowSet
    stack: Stack
    planes: tuple[int, ...]
    ids: tuple[int, ...]
    within: tuple[int, int]

    @property
    def draw(self) -> str:
        """What tells this case from others of its image."""
        where = f"{self.given.axis} {' '.join(map(str, self.planes))}"
        return f"{self.stack.part}, {where}" if self.stack.part else where

    @cached_property
    def source(self) -> Source:
        """The image, opened."""
        axes = f"{self.given.axis}yx" + "c" * (self.stack.pixels.ndim - 3)
        return open_source(self.stack.pixels, axes=axes, name=self.stack.image)

    @cached_property
    def examples(self) -> dict[int, NDArray[np.uint32]]:
        """The given planes' labels, only of objects that are followed."""
        truth = self.stack.truth
        return {
            k: np.where(np.isin(truth[k], self.ids), truth[k], 0).astype(np.uint32)
            for k in self.planes
        }

    @property
    def asked(self) -> tuple[int, ...]:
        """The planes that are scored."""
        return tuple(k for k in range(*self.within) if k not in self.planes)

    def nearest(self, plane: int, label: int = 0) -> int | None:
        """Return the nearest given plane, or the nearest that shows an object; None if none."""
        showing = (k for k in self.planes if not label or (self.examples[k] == label).any())
        return min(showing, key=lambda k: (abs(k - plane), k), default=None)


def follow_cases(
    given: FollowSet, objects: int, images: int, seed: int = 0
) -> Iterator[FollowCase]:
    """Yield the cases of a set, image by image.

    Parameters
    ----------
    given : FollowSet
        Which set.
    objects, images : int
        Most objects of a case, most images (patients, sequences).
    seed : int
        Of the choice of objects.
    """
    for stack in stacks(given, images):
        for planes in given.given or ((len(stack.truth) // 2,),):
            case = _case(given, stack, planes, objects, seed)
            if case.ids and case.asked:
                yield case


def _case(
    given: FollowSet, stack: Stack, planes: tuple[int, ...], most: int, seed: int
) -> FollowCase:
    first = 0 if given.behind is None else max(0, planes[0] - given.behind)
    stop = len(stack.truth)
    stop = stop if given.ahead is None else min(stop, planes[-1] + given.ahead + 1)
    ids = _candidates(given, stack.truth, planes, (first, stop))
    count = min(most, len(ids) if given.objects is None else given.objects)
    name = zlib.crc32(f"{given.name}/{stack.image}/{planes}".encode())
    chosen = np.random.default_rng([seed, name]).permutation(ids)[:count]
    return FollowCase(given, stack, planes, tuple(sorted(chosen.tolist())), (first, stop))


def _candidates(
    given: FollowSet, truth: NDArray[np.int64], planes: Sequence[int], within: tuple[int, int]
) -> list[int]:
    """Return the objects that are large enough in a given plane, and last if they must."""
    found: set[int] = set()
    for k in planes:
        ids, counts = np.unique(truth[k], return_counts=True)
        found |= set(ids[(counts >= given.least) & (ids > 0)].tolist())
    if given.lasting:
        for k in range(*within):
            found &= set(np.unique(truth[k]).tolist())
    return sorted(found)


def stacks(given: FollowSet, images: int) -> Iterator[Stack]:
    """Yield the stacks of at most some images, patients or sequences, in the order of names.

    Raises
    ------
    SourceError
        If a mask is missing or does not fit.
    """
    read = {"stacks": _files, "frames": _frames, "patients": _patients}[given.layout]
    known: list[str] = []
    for stack in read(given):
        if stack.image not in known:
            if len(known) == images:
                return
            known.append(stack.image)
        yield stack


def _files(given: FollowSet) -> Iterator[Stack]:
    names = [given.pair] if given.pair else [(n, n) for n in _sorted(given.images)]
    for image, mask in names:
        truth = _read(given.masks / mask)
        if truth.ndim == 3:
            yield _stack(Path(image).stem, "", _read(given.images / image), truth)


def _frames(given: FollowSet) -> Iterator[Stack]:
    for name in _sorted(given.images):
        yield _together(name, "", _pairs(given.images / name, given.masks / name))


def _patients(given: FollowSet) -> Iterator[Stack]:
    """Yield a stack per patient and moment of the heartbeat: the longest run of slices."""
    found: dict[tuple[str, int], dict[int, tuple[Path, Path]]] = defaultdict(dict)
    for image, mask in _pairs(given.images, given.masks):
        said = HEART.match(image.name)
        if said is None:
            raise SourceError("the name must tell patient and number", where=str(image))
        place, phase = divmod(int(said["number"]) - 1, PHASES)
        found[said["patient"], phase][place] = image, mask
    for (patient, phase), slices in sorted(found.items()):
        run = longest_run(sorted(slices))
        if len(run) >= LEAST_SLICES:
            yield _together(patient, f"phase {phase}", [slices[k] for k in run])


def longest_run(places: Sequence[int]) -> list[int]:
    """Return the longest run of whole numbers that follow each other, the first of equals."""
    breaks = [k + 1 for k, (a, b) in enumerate(pairwise(places)) if b != a + 1]
    runs = [list(places[a:b]) for a, b in pairwise([0, *breaks, len(places)])]
    return max(runs, key=len)


def _together(name: str, part: str, pairs: Sequence[tuple[Path, Path]]) -> Stack:
    images, masks = ([_read(pair[k]) for pair in pairs] for k in (0, 1))
    return _stack(name, part, np.stack(images), np.stack(masks))


def _stack(image: str, part: str, pixels: NDArray[Any], truth: NDArray[Any]) -> Stack:
    if pixels.shape[:3] != truth.shape:
        raise SourceError(f"{pixels.shape} does not fit a mask of {truth.shape}", where=image)
    return Stack(image, part, pixels, truth.astype(np.int64))


def _pairs(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Return images with the masks of the same stem."""
    by_stem = {path.stem: path for path in masks.iterdir()}
    found = [images / name for name in _sorted(images)]
    for path in found:
        if path.stem not in by_stem:
            raise SourceError("this image has no mask", where=str(path))
    return [(path, by_stem[path.stem]) for path in found]


def _sorted(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def _read(path: Path) -> NDArray[Any]:
    opened = open_path(path)
    try:
        level: Any = opened.levels[0]
        return np.asarray(level[...])
    finally:
        if opened.close:
            opened.close()
