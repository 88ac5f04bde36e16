"""The trees of one tile, and how they are packed into an embedding and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box
from napari_ditto.models.classic.features import Filters, Plane, gradient, hessian, smooth
from napari_ditto.models.classic.merge import merge_tree
from napari_ditto.models.classic.regions import COLUMNS, bounds, describe
from napari_ditto.models.classic.scores import prior
from napari_ditto.models.classic.tree import Floats, Ints, Tree, component_tree

FULL_RESOLUTION_PIXELS = 300 * 300
"""Up to so many pixels the fine trees are built on every pixel, above on every second one."""

LEVELS = 128
THRESHOLD_STEP, MERGE_STEP = 4 / LEVELS, 0.3
"""Change of level over which stability is judged, by sort of tree."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to see regions in a tile.

    Attributes
    ----------
    name : str
        For the embedding's keys.
    coarse : int
        Stride over that of the fine trees.
    merges : bool
        Whether it merges superpixels; otherwise it is a tree of thresholds.
    """

    name: str
    coarse: int
    merges: bool = False


KINDS = (
    Kind("bright", 1),
    Kind("dark", 1),
    Kind("dome", 2),
    Kind("bowl", 2),
    Kind("color", 1, merges=True),
    Kind("color_blur", 4, merges=True),
    Kind("texture", 2, merges=True),
    Kind("dark_lines", 2, merges=True),
    Kind("bright_lines", 2, merges=True),
)
"""Thresholds of lightness and of curvature; superpixels merged across weak colour edges, weak
edges of a blurred image, weak edges of lightness and texture, and weak dark or bright lines."""


def _planes(filters: Filters) -> dict[str, Plane]:
    """Return what each threshold tree is built on, values about [0, 1]."""
    light = filters.color[0]
    upper, lower = hessian(smooth(light, 3.0))
    return {
        "bright": light,
        "dark": 1 - light,
        "dome": 0.7 - 20 * upper,
        "bowl": 0.7 + 20 * lower,
    }


def _fields(filters: Filters) -> dict[str, tuple[Plane, Plane]]:
    """Return colours and border strength of each merge tree."""
    color, edges = filters.color, filters.fine[0]
    upper, lower = hessian(smooth(color[0], 1.7))
    blur = np.stack([smooth(c, 3.0) for c in color])
    texture = np.stack([smooth(color[0], 2.0), smooth(2 * edges, 2.8)])
    blank = np.zeros((0, *edges.shape), np.float32)
    return {
        "color": (color, edges),
        "color_blur": (blur, gradient(blur)),
        "texture": (texture, gradient(texture)),
        "dark_lines": (blank, 2 * np.maximum(upper, 0)),
        "bright_lines": (blank, 2 * np.maximum(-lower, 0)),
    }


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

    def cut(self, node: int, window: Box) -> NDArray[np.bool_]:
        """Return the pixels of a region inside a window of the tile, shape ``window.shape``."""
        k = self.stride
        part = self.tree.image[
            window.y0 // k : -(-window.y1 // k), window.x0 // k : -(-window.x1 // k)
        ]
        mask = (part >= node) & (part < self.tree.last[node])
        if k == 1:
            return np.asarray(mask)
        top, left = window.y0 % k, window.x0 % k
        wide = mask.repeat(k, axis=0).repeat(k, axis=1)
        return np.asarray(wide[top : top + window.height, left : left + window.width])


def grow_forest(filters: Filters) -> list[Layer]:
    """Return the trees of a tile."""
    planes, fields = _planes(filters), _fields(filters)
    light, edges = filters.color[0], filters.fine[0]
    base = 1 if light.size <= FULL_RESOLUTION_PIXELS else 2
    layers = []
    for kind in KINDS:
        stride = min(base * kind.coarse, 4)
        every = np.s_[..., ::stride, ::stride]
        if kind.merges:
            color, border = fields[kind.name]
            tree = merge_tree(color[every], border[every])
        else:
            tree = component_tree(planes[kind.name][every], LEVELS)
        step = MERGE_STEP if kind.merges else THRESHOLD_STEP
        columns = describe(tree, light[every], edges[every], step)
        columns[:, COLUMNS.index("log_area")] += 2 * np.log(stride)
        layers.append(Layer(kind, stride, tree, bounds(tree), columns, prior(kind.name, columns)))
    return layers


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
