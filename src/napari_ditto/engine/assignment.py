"""One-to-one assignment of least cost among the few pairs that are possible at all.

Candidates form small groups that share no object, and the best choice in each group is the best
choice altogether. Pairs without a rival need no solver; LapTrack solves the rest, with the
alternative costs of Jaqaman et al. 2008 (doi.org/10.1038/nmeth.1237). So frames of tens of
thousands of objects are linked without a matrix of all pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


def assign(
    rows: Indices,
    columns: Indices,
    costs: Floats,
    limit: float,
    settled: NDArray[np.bool_] | None = None,
) -> Indices:
    """Return which of the pairs are chosen: each row and each column at most once.

    Parameters
    ----------
    rows, columns : ndarray of int64, shape (n,)
        The pairs, by any non-negative numbers; no pair twice.
    costs : ndarray of float64, shape (n,)
        Of each pair, at least 0.
    limit : float
        Pairs of this cost and above are not chosen. Below it, a pair is better than none.
    settled : ndarray of bool, shape (n,), optional
        Pairs that are chosen whatever they cost; no two of them may share a row or a column. In a
        dense tissue they take the frame apart into groups that are quickly solved.

    Returns
    -------
    ndarray of int64
        Indices of the chosen pairs, ascending.
    """
    done = np.zeros(rows.size, dtype=bool) if settled is None else settled
    free = ~np.isin(rows, rows[done]) & ~np.isin(columns, columns[done])
    possible = np.flatnonzero(free & (costs < limit))
    if not possible.size:
        return np.flatnonzero(done)
    row, column = (np.unique(x[possible], return_inverse=True)[1] for x in (rows, columns))
    alone = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    chosen = [np.flatnonzero(done), possible[alone]]
    for group in _groups(row, column, np.flatnonzero(~alone)):
        best = _solve(row[group], column[group], costs[possible[group]], limit)
        chosen.append(possible[group[best]])
    return np.sort(np.concatenate(chosen))


def _groups(row: Indices, column: Indices, pairs: Indices) -> Iterator[Indices]:
    """Yield the pairs that hang together through common rows and columns."""
    if not pairs.size:
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = int(row.max()) + 1
    size = first + int(column.max()) + 1
    edges = (np.ones(pairs.size), (row[pairs], first + column[pairs]))
    group = connected_components(coo_array(edges, shape=(size, size)), directed=False)[1]
    group = group[row[pairs]]
    order = np.argsort(group, kind="stable")
    yield from np.split(pairs[order], np.flatnonzero(np.diff(group[order])) + 1)


def _solve(row: Indices, column: Indices, costs: Floats, limit: float) -> Indices:
    """Return the best choice in one group, as indices of its pairs."""
    from laptrack import LapTrack

    (rows, i), (columns, j) = (np.unique(x, return_inverse=True) for x in (row, column))
    table = np.full((rows.size, columns.size), np.inf)
    table[i, j] = costs

    def cost(a: Floats, b: Floats) -> float:
        return float(table[int(a[0]), int(b[0])])

    tracker = LapTrack(
        metric=cost,
        cutoff=limit,
        gap_closing_cutoff=False,
        track_start_cost=limit,
        track_end_cost=limit,
    )
    points = [np.arange(n, dtype=np.float64)[:, None] for n in table.shape]
    links = {(int(a), int(b)) for (_, a), (_, b) in tracker.predict(points).edges()}
    return np.array([k for k, pair in enumerate(zip(i, j, strict=True)) if pair in links], np.int64)
