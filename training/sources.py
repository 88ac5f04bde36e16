"""The real sets that the bank crops, and how their planes are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage import io
from skimage.measure import label as components

BRIGHT_MEAN = 100  # of a grey uint8 image: bright field above, fluorescence below
LEAST_PIECE = 30  # pixels: smaller pieces of a neuron's cut are background
FIB_TRAIN_Z = 154  # of 170; the rest, less a gap, is for validation
FIB_VAL_Z = 158
FIB_STEP = 4

Images = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Plane:
    """One image of a set.

    Attributes
    ----------
    name
        Unique in its set; seeds the crops.
    group
        Images of one group are held out together.
    crops
        How many crops to take.
    image, masks
        Files with the image and with the instance ids.
    cut
        Axis and index of the slice where the files are volumes.
    held_out
        Whether the set itself says that this plane is for validation.
    """

    name: str
    group: str
    crops: int
    image: Path
    masks: Path
    cut: tuple[int, int] | None = None
    held_out: bool = False

    def read(self) -> Images:
        """Return image and integer labels ``(y, x)``."""
        if self.cut is None:
            return io.imread(self.image), io.imread(self.masks)
        axis, index = self.cut
        stop = None if self.held_out else FIB_TRAIN_Z
        image, masks = (
            np.take(tifffile.imread(path)[:stop], index, axis) for path in (self.image, self.masks)
        )
        return image, pieces(masks)


def pieces(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return the 2D connected pieces of a slice of 3D objects as objects of their own."""
    parts: NDArray[np.int32] = components(labels, connectivity=1).astype(np.int32)  # type: ignore[no-untyped-call]
    small = np.bincount(parts.ravel()) < LEAST_PIECE
    parts[small[parts]] = 0
    return parts


def fluorescence(data: Path) -> Iterator[Plane]:
    """Yield the dark images of dsb2018 and all of bbbc039."""
    yield from (p for p in _folder(data / "dsb2018", 7) if not _bright(p))
    yield from _folder(data / "bbbc039", 20)


def bright_field(data: Path) -> Iterator[Plane]:
    """Yield the stained and bright-field images of dsb2018."""
    yield from (p for p in _folder(data / "dsb2018", 26) if _bright(p))


def phase_contrast(data: Path) -> Iterator[Plane]:
    """Yield the planes of usiigaci_phase."""
    yield from _folder(data / "usiigaci_phase", 150)


def heart(data: Path) -> Iterator[Plane]:
    """Yield the planes of sunnybrook_cmr, grouped by patient."""
    for plane in _folder(data / "sunnybrook_cmr", 9):
        patient = plane.name.split("-IM-")[0]
        yield Plane(plane.name, patient, plane.crops, plane.image, plane.masks)


def neurons(data: Path) -> Iterator[Plane]:
    """Yield slices of the EM volume along each axis; the last slices along z are held out."""
    folder = data / "fib25_neuroproof"
    image, masks = folder / "images/training_sample2_zyx.tif", folder / "masks/neurons_zyx.tif"
    with tifffile.TiffFile(image) as volume:
        depth, rows, cols = volume.series[0].shape
    for axis, extent in enumerate((FIB_TRAIN_Z, rows, cols)):
        for k in range(0, extent, FIB_STEP):
            yield Plane(f"{axis}-{k}", "volume", 14, image, masks, (axis, k))
    for k in range(FIB_VAL_Z, depth, FIB_STEP):
        yield Plane(f"held-{k}", "volume", 40, image, masks, (0, k), held_out=True)


READERS: dict[str, Callable[[Path], Iterator[Plane]]] = {
    "phase": phase_contrast,
    "bright": bright_field,
    "sunny": heart,
    "fluo": fluorescence,
    "fib25": neurons,
}


def _folder(folder: Path, crops: int) -> Iterator[Plane]:
    for path in sorted((folder / "images").iterdir()):
        masks = next((folder / "masks").glob(f"{path.stem}.*"))
        name = f"{folder.name}/{path.stem}"
        yield Plane(name, name, crops, path, masks)


def _bright(plane: Plane) -> bool:
    image = io.imread(plane.image)
    return image.ndim == 3 or float(image.mean()) > BRIGHT_MEAN
