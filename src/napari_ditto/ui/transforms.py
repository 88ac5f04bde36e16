"""The affine between a layer's pixels and the viewer's world, as a plain matrix.

Homogeneous matrices of shape ``(n + 1, n + 1)`` act on column vectors; coordinates are rows of
``(m, n)`` arrays in the layer's own axis order. Layers with fewer axes than the viewer align with
its last ones, as in napari.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Layer

Matrix = NDArray[np.float64]

# A probe this far out keeps a large translation from eating the digits of a small scale;
# a power of two divides out exactly.
_PROBE = 2.0**24


def data_to_world(layer: Layer, units: Sequence[Any] | None = None) -> Matrix:
    """Return the matrix from a layer's data coordinates to world coordinates.

    Scale, translate, rotate, shear and affine are all in it, because it is found by evaluating
    ``layer.data_to_world`` at the origin and along every axis.

    Parameters
    ----------
    layer : napari layer
        Any layer.
    units : sequence of units, optional
        The world's units (``viewer.dims.units``); by default the layer's own.

    Returns
    -------
    ndarray of float64, shape (n + 1, n + 1)
    """
    n = layer.ndim
    origin = np.asarray(layer.data_to_world(np.zeros(n)), dtype=np.float64)
    ends = [np.asarray(layer.data_to_world(_PROBE * e), dtype=np.float64) for e in np.eye(n)]
    matrix = np.eye(n + 1)
    matrix[:n, :n] = (np.stack(ends, axis=1) - origin[:, None]) / _PROBE
    matrix[:n, n] = origin
    matrix[:n] *= _unit_factors(layer, units)[:, None]
    return matrix


def _unit_factors(layer: Layer, units: Sequence[Any] | None) -> NDArray[np.float64]:
    """Return world units per layer unit along each axis; napari leaves mixed units alone."""
    if units is None or len(units) < layer.ndim or tuple(units[-layer.ndim :]) == layer.units:
        return np.ones(layer.ndim)
    pairs = zip(layer.units, units[-layer.ndim :], strict=True)
    return np.array([(1.0 * own).to(world).magnitude for own, world in pairs])


def transform(matrix: Matrix, coords: NDArray[Any]) -> NDArray[np.float64]:
    """Apply a homogeneous matrix to coordinates, shape (m, n)."""
    linear, shift = matrix[:-1, :-1], matrix[:-1, -1]
    return coords.astype(np.float64) @ linear.T + shift


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a homogeneous matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def same_place(a: Matrix, b: Matrix, extent: Sequence[int]) -> bool:
    """Whether two matrices place an image of this shape within a hundredth of a pixel."""
    n = len(extent)
    if a.shape != b.shape or len(a) != n + 1:
        return False
    corners = np.array(list(np.ndindex(*(2,) * n)), dtype=np.float64) * np.asarray(extent)
    there_and_back = transform(inverse(b), transform(a, corners))
    return bool(np.abs(there_and_back - corners).max(initial=0.0) < 0.01)


def transform_kwargs(
    src: Layer, offset: Sequence[float] | None = None, ndim: int | None = None
) -> dict[str, Any]:
    """Return layer arguments that put index ``p`` where `src` has index ``p + offset``.

    Parameters
    ----------
    src : napari layer
        The layer to lie on.
    offset : sequence of float, optional
        First index of the new layer's data in `src`, one per axis kept.
    ndim : int, optional
        Keep only the last axes (a labels layer for an image whose first axis is channels).

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and
        ``axis_labels`` for a layer of `ndim` axes. Plain scale and translate stay such;
        anything else goes whole into ``affine``.
    """
    n = src.ndim if ndim is None else ndim
    kept = [*range(src.ndim - n, src.ndim), src.ndim]
    matrix = data_to_world(src)[np.ix_(kept, kept)]
    matrix[:n, n] += matrix[:n, :n] @ np.asarray(offset if offset is not None else [0.0] * n)
    plain = bool(np.all(matrix[:n, :n] == np.diag(np.diag(matrix[:n, :n]))))
    return {
        "scale": np.diag(matrix)[:n] if plain else np.ones(n),
        "translate": matrix[:n, n] if plain else np.zeros(n),
        "rotate": np.eye(n),
        "shear": np.eye(n),
        "affine": np.eye(n + 1) if plain else matrix,
        "units": tuple(src.units[-n:]),
        "axis_labels": tuple(src.axis_labels[-n:]),
    }


def copy_transform(src: Layer, dst: Layer, offset: Sequence[float] | None = None) -> None:
    """Move `dst` so that its index ``p`` lies exactly on index ``p + offset`` of `src`."""
    for name, value in transform_kwargs(src, offset, dst.ndim).items():
        setattr(dst, name, value)
