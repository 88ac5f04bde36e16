"""Which synthetic objects lie where: the families of scenes, without their appearance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from training.shapes import (
    Centre,
    Field,
    Mask,
    blob,
    grid,
    outline,
    path,
    random_field,
    rectangle,
    tube,
    wing,
)

LAYERS = 3
MOST = 40  # objects in the outer layer
LEAST_AREA = 12
DIAMETERS = (10.0, 0.6)  # pixels; share of the side


@dataclass
class Scene:
    """Nested labels and what the painter needs to know of them.

    Attributes
    ----------
    layers
        uint8 ``(3, side, side)``: instance ids, outermost first; each lies in the one before.
    tone
        ``(side, side)``: where and how much a second colour is mixed in.
    family
        Name of the family.
    """

    layers: NDArray[np.uint8]
    tone: Field
    family: str = ""
    counts: list[int] = field(default_factory=lambda: [0] * LAYERS)

    @classmethod
    def empty(cls, side: int) -> Scene:
        """Return a scene without objects."""
        return cls(np.zeros((LAYERS, side, side), np.uint8), np.zeros((side, side), np.float32))

    @property
    def side(self) -> int:
        """Pixels along each axis."""
        return int(self.tone.shape[0])

    def add(self, mask: Mask, depth: int = 0, least: float = 0.7) -> Mask | None:
        """Add an object where nothing of its depth lies yet; return what of it is seen.

        None is returned, and nothing is added, where less than the share ``least`` would be seen.
        """
        whole = int(mask.sum())
        free = mask & (self.layers[depth] == 0)
        if depth:
            free &= self.layers[depth - 1] > 0
        seen = int(free.sum())
        if seen < max(LEAST_AREA, least * whole) or self.counts[depth] >= 255:
            return None
        self.counts[depth] += 1
        self.layers[depth][free] = self.counts[depth]
        return np.asarray(free)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from the distribution that is uniform in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sizes(rng: np.random.Generator, side: int, least: float = DIAMETERS[0]) -> Field:
    """Draw the diameters of a scene's objects: one typical size, more or less spread."""
    typical = log_uniform(rng, least, DIAMETERS[1] * side)
    fill = rng.uniform(0.1, 0.75)
    count = int(np.clip(fill * (side / typical) ** 2, 1, MOST))
    spread = rng.uniform(0.03, 0.35)
    drawn = typical * np.exp(rng.normal(0, spread, count))
    return np.clip(drawn, least, 0.9 * side).astype(np.float32)


def places(rng: np.random.Generator, side: int, count: int) -> list[Centre]:
    """Draw centres: anywhere, in clusters, or on a turned lattice; some lie near the border."""
    kind = rng.random()
    if kind < 0.6:
        drawn = rng.uniform(0, side, (count, 2))
    elif kind < 0.8:
        hubs = rng.uniform(0.2 * side, 0.8 * side, (rng.integers(1, 4), 2))
        drawn = hubs[rng.integers(len(hubs), size=count)] + rng.normal(0, side / 6, (count, 2))
    else:
        drawn = lattice(rng, side, count, float(rng.uniform(0, np.pi)))
    return [(float(y), float(x)) for y, x in drawn]


def lattice(rng: np.random.Generator, side: int, count: int, angle: float) -> NDArray[np.float64]:
    """Return ``count`` points or fewer of a turned, jittered lattice over the canvas."""
    n = int(np.ceil(np.sqrt(count)))
    pitch = side / n
    ticks = (np.arange(-n, 2 * n) + 0.5) * pitch
    points = np.stack(np.meshgrid(ticks, ticks * rng.uniform(0.8, 1.4)), -1).reshape(-1, 2)
    points += rng.normal(0, 0.06 * pitch, points.shape) - side / 2
    c, s = np.cos(angle), np.sin(angle)
    points = points @ np.array([[c, -s], [s, c]]) + side / 2
    return np.asarray(points[np.all((points > 0) & (points < side), 1)][:MOST])


def blobs(rng: np.random.Generator, side: int) -> Scene:
    """Return convex to amoeboid blobs of one kind."""
    scene = Scene.empty(side)
    rough, stretch = rng.uniform(0, 0.4), 1 + rng.exponential(0.4)
    wanted = sizes(rng, side)
    for d, centre in zip(wanted, places(rng, side, len(wanted)), strict=False):
        shape = outline(rng, d / 2, rough, float(np.clip(stretch * rng.uniform(0.8, 1.2), 1, 4)))
        scene.add(blob(side, centre, shape))
    return scene


def nested(rng: np.random.Generator, side: int) -> Scene:
    """Return cells with nuclei, and nuclei with nucleoli; some cells are of a second kind."""
    scene = Scene.empty(side)
    rough, ratio = rng.uniform(0, 0.25), rng.uniform(0.25, 0.85)
    lobed, deep = rng.random() < 0.35, rng.random() < 0.5
    bare = rng.choice([0.0, 0.1, 0.7], p=[0.4, 0.35, 0.25])  # cells without a nucleus
    wanted = sizes(rng, side, 18)
    for d, centre in zip(wanted, places(rng, side, len(wanted)), strict=False):
        shape = outline(rng, d / 2, rough, float(rng.uniform(1, 1.6)))
        cell = scene.add(blob(side, centre, shape))
        if cell is None:
            continue
        if rng.random() < bare:
            scene.tone[cell] = 1
            continue
        nucleus(rng, scene, cell, centre, d / 2 * ratio * rng.uniform(0.85, 1.1), lobed, deep)
    return scene


def nucleus(
    rng: np.random.Generator,
    scene: Scene,
    cell: Mask,
    centre: Centre,
    radius: float,
    lobed: bool,
    deep: bool,
) -> None:
    """Put a nucleus, or one of several lobes, into a cell, and nucleoli into the nucleus."""
    side = scene.side
    room = max(0.0, np.sqrt(cell.sum() / np.pi) - radius)
    angle, off = rng.uniform(0, 2 * np.pi), room * rng.uniform(0, 1.1)
    middle = (centre[0] + off * np.sin(angle), centre[1] + off * np.cos(angle))
    if lobed and rng.random() < 0.8:
        mask = lobes(rng, side, middle, radius)
    else:
        mask = blob(side, middle, outline(rng, radius, rng.uniform(0, 0.2), rng.uniform(1, 1.7)))
    if rng.random() < 0.8:
        cell = ndi.binary_erosion(cell, iterations=max(1, int(radius / 12)))
    seen = scene.add(mask & cell, 1)
    if seen is None or not deep:
        return
    inside = np.argwhere(seen)
    for y, x in inside[rng.integers(len(inside), size=rng.integers(0, 5))]:
        spot = outline(rng, max(2.2, radius * rng.uniform(0.12, 0.4)), 0.1)
        scene.add(blob(side, (float(y), float(x)), spot) & seen, 2)


def lobes(rng: np.random.Generator, side: int, centre: Centre, radius: float) -> Mask:
    """Return two to five lobes along an arc, joined by thin bridges."""
    count = int(rng.integers(2, 6))
    turn, start = rng.uniform(1.2, 4.5), rng.uniform(0, 2 * np.pi)
    angles = start + np.linspace(0, turn, count)
    reach = 0.6 * radius
    spots = np.array(centre) + reach * np.stack([np.sin(angles), np.cos(angles)], -1)
    mask = np.zeros((side, side), bool)
    for y, x in spots:
        lobe = outline(rng, radius * rng.uniform(0.35, 0.55), 0.1, rng.uniform(1, 1.4))
        mask |= blob(side, (float(y), float(x)), lobe)
    ticks = np.linspace(0, count - 1, 12 * count)
    bridge = np.stack([np.interp(ticks, np.arange(count), spots[:, a]) for a in (0, 1)], -1)
    width = np.full(len(bridge), max(1.2, radius * rng.uniform(0.1, 0.3)), np.float32)
    return mask | tube(side, bridge.astype(np.float32), width)


def rings(rng: np.random.Generator, side: int) -> Scene:
    """Return rings: the wall alone is the object, or the whole disc with its lumen inside."""
    scene = Scene.empty(side)
    hollow, rough = rng.random() < 0.6, rng.uniform(0, 0.25)
    wanted = sizes(rng, side, 16)
    for d, centre in zip(wanted, places(rng, side, len(wanted)), strict=False):
        shape = outline(rng, d / 2, rough, float(rng.uniform(1, 1.6)))
        disc = blob(side, centre, shape)
        hole = blob(side, centre, shape.resized(float(rng.uniform(0.4, 0.8))))
        if hollow:
            scene.add(disc & ~hole)
        elif (seen := scene.add(disc)) is not None:
            scene.add(hole & seen, 1)
    return scene


def polygons(rng: np.random.Generator, side: int) -> Scene:
    """Return rectangles and L-shapes with roofs of two tones, in rows as houses are or not."""
    scene = Scene.empty(side)
    wanted, angle = sizes(rng, side, 14), float(rng.uniform(0, np.pi))
    ordered = rng.random() < 0.6
    if ordered:
        rows = lattice(rng, side, len(wanted), -angle)
        centres = [(float(y), float(x)) for y, x in rows]
    else:
        centres = places(rng, side, len(wanted))
    gabled = rng.random() < 0.6
    for d, centre in zip(wanted, centres, strict=False):
        turned = angle + (rng.normal(0, 0.05) if ordered else rng.uniform(0, np.pi))
        house(rng, scene, centre, float(d), turned, gabled)
    return scene


def house(
    rng: np.random.Generator, scene: Scene, centre: Centre, d: float, angle: float, gabled: bool
) -> None:
    """Add one building: perhaps with a wing, two roof tones, a ridge and a chimney inside."""
    half = (d / 2, d / 2 * rng.uniform(0.4, 1.0))
    mask = rectangle(scene.side, centre, half, angle)
    if rng.random() < 0.35:
        mask |= wing(rng, scene.side, centre, half, angle)
    seen = scene.add(mask, least=0.85)
    if seen is None:
        return
    if gabled:
        u, v = grid(scene.side, centre, angle)
        slope = np.where(v > 0, 0.5, -0.5).astype(np.float32)
        if rng.random() < 0.3:  # a hipped roof: its ends slope too
            slope = np.where(np.abs(u) > half[0] - half[1] + np.abs(v), np.sign(u) * 0.9, slope)
        slope = np.where(np.abs(v) < 0.7, 1.2, slope)
        scene.tone[seen] = slope[seen]
    if d > 30 and rng.random() < 0.25:
        at = (centre[0] + rng.normal(0, d / 8), centre[1] + rng.normal(0, d / 8))
        size = d * rng.uniform(0.06, 0.15)
        scene.add(rectangle(scene.side, at, (size, size), angle) & seen, 1)


def packed(rng: np.random.Generator, side: int) -> Scene:
    """Return confluent cells: a warped Voronoi diagram, often with nuclei."""
    scene = Scene.empty(side)
    ids, gap = voronoi(rng, side, round(log_uniform(rng, 4, MOST)))
    empty = rng.choice([0.0, 0.15, 0.4], p=[0.5, 0.3, 0.2])
    apart_by = rng.choice([0.0, rng.uniform(1, 4)])
    filled, lobed = bool(rng.random() < 0.5), bool(rng.random() < 0.1)
    for value in np.unique(ids):
        cell = largest_piece((ids == value) & (gap >= apart_by))
        if rng.random() < empty or (seen := scene.add(cell)) is None:
            continue
        scene.tone[seen] = rng.normal(0, 0.5)
        if filled:
            y, x = np.argwhere(seen).mean(0).tolist()
            radius = np.sqrt(seen.sum() / np.pi) * rng.uniform(0.35, 0.6)
            nucleus(rng, scene, seen, (y, x), float(radius), lobed, False)
    return scene


def voronoi(
    rng: np.random.Generator, side: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest seed of each pixel, and how much farther the second nearest is.

    About ``count`` seeds lie on the canvas; none to two relaxing steps drive close ones apart.
    """
    pitch = side / np.sqrt(count)
    seeds = rng.uniform(-0.15 * side, 1.15 * side, (int(count * 1.69), 2))
    for _ in range(int(rng.integers(0, 3))):
        far, near = _two_nearest(seeds, seeds)
        apart = seeds - seeds[near[:, 1]]
        seeds = seeds + np.where(far[:, 1:] < pitch * 0.8, apart * 0.3, 0)
    warp = rng.uniform(0, 0.25) * side / np.sqrt(count)
    spots = np.stack(list(np.mgrid[:side, :side]), -1).astype(np.float32)
    spots = spots + warp * np.stack([random_field(rng, side, 2.5) for _ in "yx"], -1)
    far, near = _two_nearest(seeds, spots.reshape(-1, 2))
    return near[:, 0].reshape(side, side), (far[:, 1] - far[:, 0]).reshape(side, side)


def _two_nearest(
    seeds: NDArray[Any], spots: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    far, near = cKDTree(seeds).query(spots, k=2)
    return np.asarray(far, np.float64), np.asarray(near, np.int64)


def largest_piece(mask: Mask) -> Mask:
    """Return the largest connected piece of a mask."""
    parts, found = ndi.label(mask)
    if found < 2:
        return mask
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def tubes(rng: np.random.Generator, side: int) -> Scene:
    """Return thin things: filaments, branching vessels, or spindle-shaped cells with processes."""
    scene = Scene.empty(side)
    kind = rng.choice(["filament", "branching", "spindle"], p=[0.25, 0.25, 0.5])
    length = log_uniform(rng, 25, 1.2 * side)
    count = int(np.clip(rng.uniform(0.2, 1.0) * (1.4 * side / length) ** 2, 1, 25))
    width = float(np.clip(length * rng.uniform(0.04, 0.16), 1.6, 9))
    for centre in places(rng, side, count):
        angle = float(rng.uniform(0, 2 * np.pi))
        long = length * rng.uniform(0.6, 1.2)
        back = (centre[0] - long / 2 * np.sin(angle), centre[1] - long / 2 * np.cos(angle))
        points = path(rng, back, angle, long)
        mask = tube(side, points, thickness(rng, len(points), width, str(kind)))
        if kind != "filament":
            mask |= branches(rng, side, points, width, str(kind))
        seen = scene.add(mask, least=0.85)
        if seen is not None and kind == "spindle" and rng.random() < 0.4:
            y, x = points[len(points) // 2]
            scene.add(blob(side, (float(y), float(x)), outline(rng, width * 0.8, 0.1)) & seen, 1)
    return scene


def thickness(rng: np.random.Generator, count: int, width: float, kind: str) -> Field:
    """Return half the width along a path: even, or swollen at one place as in a spindle."""
    if kind != "spindle":
        return np.full(count, width * rng.uniform(0.5, 1.0), np.float32)
    t, peak = np.linspace(0, 1, count), rng.uniform(0.35, 0.65)
    swell = np.exp(-(((t - peak) / rng.uniform(0.12, 0.3)) ** 2))
    return np.maximum(1.1, 2 * width * swell * rng.uniform(0.7, 1.2)).astype(np.float32)


def branches(rng: np.random.Generator, side: int, points: Field, width: float, kind: str) -> Mask:
    """Return side branches of a path: few and thin of a spindle, more of a vessel."""
    mask = np.zeros((side, side), bool)
    spindle = kind == "spindle"
    for _ in range(int(rng.integers(0, 3) if spindle else rng.integers(1, 5))):
        k = int(rng.integers(len(points) // 4, 3 * len(points) // 4 + 1))
        length = len(points) * rng.uniform(0.2, 0.6)
        twig = path(rng, tuple(points[k].tolist()), float(rng.uniform(0, 2 * np.pi)), length)
        start = width if spindle else width * 0.6
        mask |= tube(side, twig, np.linspace(start, 1.1, len(twig), dtype=np.float32))
    return mask


def patches(rng: np.random.Generator, side: int) -> Scene:
    """Return the pieces of a Gaussian random field above a threshold."""
    scene = Scene.empty(side)
    ground = random_field(rng, side, rng.uniform(2.2, 3.5), rng.uniform(0, 4))
    parts, _ = ndi.label(ground > rng.uniform(0.2, 1.2))
    areas = np.bincount(parts.ravel())[1:]
    for value in np.argsort(-areas)[:MOST] + 1:
        if areas[value - 1] >= 60:
            scene.add(parts == value)
    return scene


def single(rng: np.random.Generator, side: int) -> Scene:
    """Return one large object, perhaps with one or a few inside."""
    scene = Scene.empty(side)
    d = rng.uniform(0.45, 0.9) * side
    centre = (float(rng.uniform(0.35, 0.65) * side), float(rng.uniform(0.35, 0.65) * side))
    if rng.random() < 0.25:
        house(rng, scene, centre, d, float(rng.uniform(0, np.pi)), bool(rng.random() < 0.5))
        return scene
    seen = scene.add(
        blob(side, centre, outline(rng, d / 2, rng.uniform(0, 0.4), rng.uniform(1, 2)))
    )
    if seen is not None and rng.random() < 0.5:
        radius = d / 2 * rng.uniform(0.2, 0.6)
        nucleus(rng, scene, seen, centre, radius, bool(rng.random() < 0.4), True)
    return scene


FAMILIES: dict[str, tuple[float, Callable[[np.random.Generator, int], Scene]]] = {
    "blobs": (0.18, blobs),
    "nested": (0.24, nested),
    "rings": (0.07, rings),
    "polygons": (0.15, polygons),
    "packed": (0.14, packed),
    "tubes": (0.10, tubes),
    "patches": (0.05, patches),
    "single": (0.07, single),
}


def scene(rng: np.random.Generator, side: int) -> Scene:
    """Draw a scene of a random family that has at least one object."""
    chances = np.array([chance for chance, _ in FAMILIES.values()])
    name: Any = rng.choice(list(FAMILIES), p=chances / chances.sum())
    while True:
        made = FAMILIES[name][1](rng, side)
        if made.counts[0]:
            made.family = str(name)
            return made
