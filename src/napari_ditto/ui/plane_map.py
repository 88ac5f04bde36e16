"""From the coordinates of any layer to the pixels of one plane of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.ui.image_layers import axis_names
from napari_ditto.ui.transforms import Matrix, data_to_world, inverse, transform

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Layer


@dataclass(frozen=True, eq=False)
class PlaneMap:
    """An affine map from a layer's coordinates to an image's, and what counts as on the plane.

    Attributes
    ----------
    into_image : ndarray of float64, shape (image axes, layer axes + 1)
        Layer coordinates to image coordinates.
    shown : (int, int)
        The image's axes that are rows and columns.
    fixed : tuple of (int, int)
        Image axis and index, for each other axis.
    extra : ndarray of float64, shape (k, layer axes + 1)
        World distance from the viewer's slice along the axes that only the layer has.
    reach : ndarray of float64, shape (k,)
        How far from that slice still counts: half a pixel of the layer.
    repeats : bool
        Whether a shown axis is one that the layer lacks, so that nothing in it has a position.
    """

    into_image: Matrix
    shown: tuple[int, int]
    fixed: tuple[tuple[int, int], ...]
    extra: Matrix
    reach: NDArray[np.float64]
    repeats: bool

    def __call__(
        self, coords: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Map coordinates, shape (n, layer axes).

        Returns
        -------
        yx : ndarray of float64, shape (n, 2)
            Row and column in pixels of the plane.
        here : ndarray of bool, shape (n,)
            Which of them lie within half a pixel of the plane along every other axis.
        """
        position = _affine(self.into_image, coords)
        away = np.abs(_affine(self.extra, coords))
        here = np.asarray((away <= self.reach).all(axis=1) & (not self.repeats))
        for axis, index in self.fixed:
            distance = position[:, axis] - index
            here &= (distance >= -0.5) & (distance < 0.5)
        return position[:, self.shown], here

    @property
    def stretch(self) -> float:
        """Pixels of the plane per unit of the layer, the mean of both directions."""
        if self.repeats:
            return 1.0
        surplus = self.into_image.shape[1] - 1 - len(self.into_image)
        own = [axis + surplus for axis in self.shown]
        return float(np.sqrt(abs(np.linalg.det(self.into_image[np.ix_(self.shown, own)]))))


def _affine(matrix: Matrix, coords: NDArray[np.float64]) -> NDArray[np.float64]:
    return coords @ matrix[:, :-1].T + matrix[:, -1]


def plane_map(
    layer: Layer, image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> PlaneMap:
    """Return the map from a layer to a plane of an image, through the world.

    Without `dims` (``viewer.dims``), axes that only the layer has are not looked at.
    """
    units = None if dims is None else dims.units
    names, surplus = axis_names(image), layer.ndim - image.ndim
    shown = (names.index(plane.rows), names.index(plane.columns))
    to_world = data_to_world(layer, units)[:-1]
    from_world = inverse(data_to_world(image, units))[:-1]
    into_image = from_world[:, :-1] @ _over(to_world, image, plane, units)
    into_image[:, -1] += from_world[:, -1]
    extra = np.zeros((0, layer.ndim + 1))
    if surplus > 0 and dims is not None:
        extra = to_world[:surplus].copy()
        extra[:, -1] -= np.asarray(dims.point, dtype=np.float64)[-layer.ndim :][:surplus]
    return PlaneMap(
        into_image,
        shown,
        tuple((names.index(name), index) for name, index in plane.fixed),
        extra,
        np.abs(extra[:, :-1]).sum(axis=1) / 2,
        repeats=min(shown) < -surplus,
    )


def _over(
    to_world: Matrix, image: Image, plane: PlaneAddress, units: Sequence[object] | None
) -> Matrix:
    """Return the rows of `to_world` for the image's axes; lacking ones stay on the plane."""
    n, have = image.ndim, len(to_world)
    if have >= n:
        return to_world[have - n :]
    first = [plane.index.get(name, 0) for name in axis_names(image)]
    on_plane = transform(data_to_world(image, units), np.array([first]))[0]
    lead = np.zeros((n - have, to_world.shape[1]))
    lead[:, -1] = on_plane[: n - have]
    return np.vstack([lead, to_world])
