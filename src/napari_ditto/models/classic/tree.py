"""Trees of nested regions: threshold components and merged superpixels.

A node is a connected region, its parent the next larger one. Nodes are numbered in preorder, so
the pixels of node ``n`` are those whose own node lies in ``n .. last[n]`` and any additive
attribute of a region is a difference of two cumulative sums.

Sources: component tree, Salembier et al. (1998), built by scikit-image's ``max_tree``
(Berger et al. 2007; Carlinet & Geraud 2014); stable regions, Matas et al. (2002); merging by
mean boundary strength, Arbelaez et al. (2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Tree:
    """A hierarchy of regions over a grid of pixels.

    Attributes
    ----------
    image : ndarray of int, shape (h, w)
        The smallest node of each pixel.
    parent : ndarray of int, shape (n,)
        The next larger node; the root (node 0) is its own parent.
    last : ndarray of int, shape (n,)
        One past the last node inside this one.
    level : ndarray of float, shape (n,)
        Threshold, or boundary strength, at which the region exists.
    """

    image: Ints
    parent: Ints
    last: Ints
    level: Floats

    def __len__(self) -> int:
        return len(self.parent)

    def chain(self, node: int) -> Ints:
        """Return a node and all that hold it, smallest first, root last."""
        nodes = [node]
        while nodes[-1]:
            nodes.append(int(self.parent[nodes[-1]]))
        return np.array(nodes)

    def mask(self, node: int) -> NDArray[np.bool_]:
        """Return the pixels of a node, shape (h, w)."""
        return np.asarray((self.image >= node) & (self.image < self.last[node]))

    def total(self, own: Floats) -> Floats:
        """Return sums over each region of a value per node, shape (n,)."""
        sums = np.concatenate([[0.0], np.cumsum(own)])
        return np.asarray(sums[self.last] - sums[:-1])

    def gather(self, weights: Floats | None = None) -> Floats:
        """Return sums over each region of a value per pixel, shape (n,)."""
        flat = None if weights is None else weights.ravel()
        own = np.bincount(self.image.ravel(), flat, minlength=len(self))
        return self.total(own.astype(np.float64))


def component_tree(plane: NDArray[np.float32], levels: int) -> Tree:
    """Return the tree of connected components of all upper thresholds.

    Parameters
    ----------
    plane : ndarray of float32, shape (h, w)
        Values in [0, 1]; give ``1 - plane`` for dark regions.
    levels : int
        Number of thresholds, at most 255, equally spaced (the same for every tile).
    """
    from skimage.morphology import max_tree

    # max_tree refuses an axis under three pixels; repeated rows change no component.
    wide = np.pad(plane, [(0, max(0, 3 - n)) for n in plane.shape], mode="edge")
    steps = np.rint(np.clip(wide, 0, 1) * levels).astype(np.uint8)
    flat = steps.ravel()
    built = max_tree(steps, connectivity=1)  # type: ignore[no-untyped-call]
    up, order = (a.ravel().astype(np.int64) for a in built)
    own = np.flatnonzero(flat[up] != flat)
    root = int(order[0])
    own = np.concatenate([[root], own[own != root]])
    canonical = np.where(flat[up] != flat, np.arange(flat.size), up)
    canonical[root] = root
    index = np.zeros(flat.size, np.int64)
    index[own] = np.arange(len(own))
    node_of_pixel = index[canonical].reshape(wide.shape)[: plane.shape[0], : plane.shape[1]]
    parent = index[canonical[up[own]]]
    level = (flat[own].astype(np.float64) - 0.5) / levels
    return preorder(node_of_pixel, parent, level)


def preorder(image: Ints, parent: Ints, level: Floats) -> Tree:
    """Renumber nodes (0 is the root) so that every region is a run of numbers."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import depth_first_order

    count = len(parent)
    child = np.arange(1, count)
    edges = csr_array((np.ones(count - 1), (parent[1:], child)), shape=(count, count))
    order = depth_first_order(edges, 0, return_predecessors=False).astype(np.int64)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    above = place[parent[order]]
    return Tree(place[image], above, np.arange(count) + _sizes(above), level[order])


def _sizes(parent: Ints) -> Ints:
    """Return the number of nodes inside each region; parents precede children."""
    sizes, up = [1] * len(parent), parent.tolist()
    for node in range(len(up) - 1, 0, -1):
        sizes[up[node]] += sizes[node]
    return np.array(sizes, dtype=np.int64)
