"""The trees of one tile, and how they are packed into an embedding and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.models.classic.features import Filters, smooth
from napari_ditto.models.classic.regions import COLUMNS, bounds, describe
from napari_ditto.models.classic.scores import prior
from napari_ditto.models.classic.tree import Floats, Ints, Tree, component_tree

FULL_RESOLUTION_PIXELS = 400 * 400
"""Up to so many pixels trees are built on every pixel, above on every second one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to see regions in a tile.

    Attributes
    ----------
    name : str
        For the embedding's keys.
    dark : bool
        Whether regions are darker than their surroundings.
    coarse : bool
        Whether to look at a blurred image, where texture has gone.
    levels : int
        Number of thresholds.
    """

    name: str
    dark: bool
    coarse: bool
    levels: int


KINDS = (
    Kind("bright", dark=False, coarse=False, levels=128),
    Kind("dark", dark=True, coarse=False, levels=128),
    Kind("bright_blur", dark=False, coarse=True, levels=128),
    Kind("dark_blur", dark=True, coarse=True, levels=128),
)


@dataclass(frozen=True, eq=False)
class Layer:
    """A tree with what is known of its regions.

    Attributes
    ----------
    kind : Kind
        How it was made.
    stride : int
        Tile pixels per tree pixel.
    tree : Tree
        The regions.
    boxes : ndarray of int, shape (n, 4)
        Box of each region in tree pixels.
    columns : ndarray of float, shape (n, len(COLUMNS))
        Description of each region.
    prior : ndarray of float, shape (n,)
        Expected IoU with an object, whatever the prompt.
    """

    kind: Kind
    stride: int
    tree: Tree
    boxes: Ints
    columns: Floats
    prior: Floats


def grow_forest(filters: Filters) -> list[Layer]:
    """Return the trees of a tile."""
    return [_grow(kind, filters) for kind in KINDS]


def _grow(kind: Kind, filters: Filters) -> Layer:
    light, edges = filters.color[0], filters.fine[0]
    stride = 1 if light.size <= FULL_RESOLUTION_PIXELS else 2
    if kind.coarse:
        light, stride = smooth(light, 2.0), stride * 2
    light, edges = light[::stride, ::stride], edges[::stride, ::stride]
    tree = component_tree(1 - light if kind.dark else light, kind.levels)
    columns = describe(tree, light, edges, 4 / kind.levels)
    columns[:, COLUMNS.index("log_area")] += 2 * np.log(stride)
    return Layer(kind, stride, tree, bounds(tree), columns, prior(kind.name, columns))


def pack(layers: list[Layer]) -> dict[str, NDArray[np.generic]]:
    """Return arrays for an embedding; node numbers are whole and far below 2**24."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for layer in layers:
        tree = layer.tree
        own = np.column_stack([tree.parent, tree.last, tree.level, layer.boxes, layer.prior])
        arrays[f"{layer.kind.name}.image"] = tree.image.astype(np.float32)
        arrays[f"{layer.kind.name}.nodes"] = own.astype(np.float32)
        arrays[f"{layer.kind.name}.columns"] = layer.columns.astype(np.float16)
    return arrays


def unpack(arrays: Mapping[str, NDArray[np.generic]], shape: tuple[int, int]) -> list[Layer]:
    """Return the trees of an embedding of a tile of `shape`."""
    return [_unpack(kind, arrays, shape) for kind in KINDS]


def _unpack(kind: Kind, arrays: Mapping[str, NDArray[np.generic]], shape: tuple[int, int]) -> Layer:
    image = arrays[f"{kind.name}.image"].astype(np.int64)
    nodes = arrays[f"{kind.name}.nodes"].astype(np.float64)
    whole = nodes[:, [0, 1, 3, 4, 5, 6]].astype(np.int64)
    tree = Tree(image, whole[:, 0], whole[:, 1], nodes[:, 2])
    stride = _stride(shape, image.shape)
    columns = arrays[f"{kind.name}.columns"].astype(np.float64)
    return Layer(kind, stride, tree, whole[:, 2:], columns, nodes[:, 7])


def _stride(shape: tuple[int, ...], small: tuple[int, ...]) -> int:
    return next(
        s for s in (1, 2, 4) if all(-(-n // s) == m for n, m in zip(shape, small, strict=True))
    )
