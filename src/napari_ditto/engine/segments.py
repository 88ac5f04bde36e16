"""Whole pieces of tracks: over gaps, and from mothers to daughters.

Where a piece begins, either it goes on with one that ended a few frames before, or a mother has
divided: then the other daughter is what her track goes on as. Both are weighed against each other
in one assignment.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_ditto.engine.assignment import assign
from napari_ditto.engine.links import LIMIT, Links, Nodes, Pairs, Rules, candidates, near, scores
from napari_ditto.engine.observation import Indices

GAP_COST = 0.2
"""Added for each frame that an object is missing in."""

SUM = (0.5, 1.6)
"""Area of both daughters by that of the mother."""

SHARE = (0.2, 0.8)
"""Area of one daughter by that of the mother."""

APART = 1.0
"""Greatest distance of the daughters' common centre from the mother, in her diameters."""

SEPARATE = 2.0
"""Greatest distance between the daughters, in diameters of the mother."""

LATE = 1
"""Frames that the first daughter seen may live before the second is found."""

SHORTEST = 3
"""Frames that a daughter lives, unless the movie ends or she leaves: fewer are a broken mask."""


def join_segments(nodes: Nodes, links: Links, rules: Rules) -> None:
    """Add links over gaps and divisions to the links between neighbouring frames."""
    gaps = _gaps(nodes, links, rules.gap)
    divisions = _divisions(nodes, links) if rules.divisions else Pairs.joined([])
    both = Pairs.joined([gaps, divisions])
    # A mother divides once, whether or not her track could also go on over a gap.
    rows = np.concatenate([gaps.before, len(nodes) + divisions.before])
    sure = scores(rows, both.after, both.cost)
    divided = []
    for at in assign(rows, both.after, both.cost, LIMIT).tolist():
        before, after = int(both.before[at]), int(both.after[at])
        if at < len(gaps.after):
            links.add(both.before[[at]], both.after[[at]], sure[[at]])
        else:
            divided.append((before, after, float(sure[at])))
    for mother, daughter, score in divided:
        sister = int(links.following[mother])
        if _lasts(nodes, links, daughter) and _lasts(nodes, links, sister):
            links.divide(mother, (sister, daughter), score)


def _gaps(nodes: Nodes, links: Links, gap: int) -> Pairs:
    """Return pairs of an end and a beginning with 1 to `gap` frames between."""
    found = []
    for lag in range(2, gap + 2):
        for frame in range(lag, nodes.frames):
            pairs = candidates(nodes, frame, lag)
            pairs = pairs.where(links.following[pairs.before] < 0)
            pairs = pairs.where(links.previous[pairs.after] < 0)
            found.append(replace(pairs, cost=pairs.cost + GAP_COST * (lag - 1)))
    return Pairs.joined(found)


def _divisions(nodes: Nodes, links: Links) -> Pairs:
    """Return pairs of a mother and the daughter that is not yet hers, where both make sense.

    The daughter may have been missing in the first frame of her life, but not her sister.
    """
    return Pairs.joined(
        [
            _mothers(nodes, links, frame, lag)
            for frame in range(1, nodes.frames)
            for lag in range(1, min(LATE + 1, frame) + 1)
        ]
    )


def _mothers(nodes: Nodes, links: Links, frame: int, lag: int) -> Pairs:
    """Return who may have divided `lag` frames before, for what begins in a frame."""
    here = nodes.of_frame(frame)
    begins = here.start + np.flatnonzero(links.previous[here] < 0)
    mothers, sisters = _followed(nodes, links, frame, lag)
    size = nodes.diameters[mothers]
    reach = SEPARATE * float(size.max(initial=0.0))
    pairs = near(nodes.places[sisters], nodes.places[begins], reach)
    row, column = np.divmod(pairs, max(1, begins.size))
    mothers, sisters, begins, size = mothers[row], sisters[row], begins[column], size[row]
    one, other = (nodes.areas[x] / nodes.areas[mothers] for x in (sisters, begins))
    weights = (one / (one + other))[:, None]
    middle = weights * nodes.places[sisters] + (1 - weights) * nodes.places[begins]
    off = np.linalg.norm(middle - nodes.places[mothers] - nodes.drift(frame, lag), axis=1) / size
    apart = np.linalg.norm(nodes.places[sisters] - nodes.places[begins], axis=1) / size
    sane = (
        (apart <= SEPARATE)
        & (off <= APART)
        & (SUM[0] <= one + other)
        & (one + other <= SUM[1])
        & (np.minimum(one, other) >= SHARE[0])
        & (np.maximum(one, other) <= SHARE[1])
        & (nodes.areas[links.following[mothers]] <= SHARE[1] * nodes.areas[mothers])
    )
    cost = off + np.abs(np.log(one + other)) + np.abs(np.log(one / other)) / 2
    found = Pairs(mothers, begins, cost + GAP_COST * (lag - 1), np.zeros(cost.size, dtype=bool))
    return found.where(sane)


def _followed(nodes: Nodes, links: Links, frame: int, lag: int) -> tuple[Indices, Indices]:
    """Return the nodes of `lag` frames before that go on without a gap, and as what."""
    before = nodes.of_frame(frame - lag)
    mothers = np.arange(before.start, before.stop)
    last = mothers
    for _ in range(lag):
        goes_on = links.following[last] >= 0
        mothers, last = mothers[goes_on], links.following[last[goes_on]]
    return mothers, last


def _lasts(nodes: Nodes, links: Links, node: int) -> bool:
    """Whether an object lives long enough to be believed, or its end is explained."""
    born = nodes.frame[node]
    while links.following[node] >= 0:
        node = int(links.following[node])
    age = nodes.frame[node] - born + 1
    return bool(age >= SHORTEST or nodes.frame[node] == nodes.frames - 1 or nodes.at_border[node])
