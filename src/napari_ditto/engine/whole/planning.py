"""From an image and a task to a plan."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.run_plan import Join, Plan, Polygon, Ranges, Task
from napari_ditto.core.tiling import Grid
from napari_ditto.data.protocols import Source
from napari_ditto.engine.whole.opening import Model, model_ref, source_ref
from napari_ditto.engine.whole.regions import Region, box_polygon
from napari_ditto.errors import SourceError

SIDE = 2048
"""About the side of a tile: each is done within a minute, and its borders cost a fifth."""

HALO = 96
"""Objects of up to 144 pixels are seen whole by one tile; longer ones are put together."""

EMPTY_BELOW = 0.04
"""A tile that spans less of the intensity window shows nothing."""

LARGEST_FRAME = 1 << 26
"""Pixels of a frame whose objects can be linked over time."""


def make_plan(
    source: Source,
    model: Model,
    task: Task,
    target: Path | str,
    *,
    plane: PlaneAddress | Mapping[str, int] | None = None,
    planes: Mapping[str, tuple[int, int]] | None = None,
    region: Box | Sequence[Polygon] | None = None,
    mask: Path | str | None = None,
    window: int | None = None,
    halo: int | None = None,
    empty_below: float = EMPTY_BELOW,
    join: Join | None = None,
    ngff: Literal["0.4", "0.5"] = "0.5",
) -> Plan:
    """Return the plan of a run; nothing is written.

    Parameters
    ----------
    source : Source
        The image; the intensity window is sampled if it is not known yet.
    model : PromptModel or ContextModel
        Who does it.
    task : Task
        From :func:`~napari_ditto.engine.whole.segmenter.all_task` or ``like_task``.
    target : Path or str
        The OME-Zarr folder to be written.
    plane : mapping or PlaneAddress, optional
        One plane only; an index on some axes leaves the others whole.
    planes : mapping of str to (int, int), optional
        First and stop on axes that are not displayed; all of each by default.
    region : Box or sequence of polygons, optional
        Pixels of the plane; what touches it is labelled.
    mask : Path or str, optional
        An image whose nonzero pixels are the region, at any resolution.
    window, halo : int, optional
        Side of a tile and by how much it reaches over its core, pixels.
    empty_below : float
        See :class:`~napari_ditto.core.run_plan.Plan`; 0 skips no tile.
    join : "none", "z" or "t", optional
        By default along z if there are slices, else along t if there are frames.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.

    Raises
    ------
    SourceError
        If there is no such plane, axis or region, or tile sizes make no sense.
    """
    address = plane if isinstance(plane, PlaneAddress) else source.plane(plane)
    named = set(address.index) if isinstance(plane, PlaneAddress) else set(plane or ())
    spans = tuple(_spans(source, address, named, planes or {}))
    shape = source.plane_shape(address)
    if (address.rows, address.columns) != tuple(source.axes[-2:]):
        raise SourceError(
            f"a run goes over {' and '.join(source.axes[-2:])}, not {address.rows} and "
            f"{address.columns}",
            where=source.name,
            todo="Give the image with its axes in another order",
        )
    side = window or _side(model.spec.input_size)
    reach = halo if halo is not None else min(_halo(task), (side - 1) // 4)
    if side <= 4 * reach or reach < 0:
        raise SourceError(
            f"tiles of {side} pixels with a halo of {reach}",
            todo="Choose tiles of more than four halos",
        )
    polygons = (box_polygon(region),) if isinstance(region, Box) else tuple(region or ())
    place = Path(mask).expanduser().absolute().as_posix() if mask else ""
    wanted = Region.load(polygons, place, shape)
    count = math.prod(stop - first for _, first, stop in spans)
    plan = Plan(
        task,
        source_ref(source),
        model_ref(model),
        str(Path(target).expanduser().absolute()),
        source.axes,
        tuple(source.shape),
        tuple(float(s) for s in getattr(source, "scale", (1.0,) * len(source.axes))),
        (address.rows, address.columns),
        spans,
        side,
        reach,
        polygons,
        place,
        _ranges(wanted, Grid(shape, side, 2 * reach), reach, count),
        empty_below,
        _join(task, spans, join),
        ngff,
    )
    if plan.count == 0:
        raise SourceError("the region lies outside the image", where=source.name)
    if plan.join == "t" and math.prod(shape) > LARGEST_FRAME:
        raise SourceError(
            f"frames of {shape[0]} x {shape[1]} are too large to be linked over time",
            where=source.name,
            todo="Choose to join nothing",
        )
    return Plan.from_json(plan.to_json())


def _spans(
    source: Source,
    address: PlaneAddress,
    fixed: Iterable[str],
    planes: Mapping[str, tuple[int, int]],
) -> Iterator[tuple[str, int, int]]:
    """Yield first and stop of every axis that is not displayed."""
    sizes = dict(zip(source.axes, source.shape, strict=True))
    unknown = [name for name in planes if name not in address.index]
    if unknown:
        raise SourceError(
            f"there are no planes along {unknown[0]}",
            where=source.name,
            todo=f"Axes with planes: {', '.join(address.index) or 'none'}",
        )
    for name, index in address.fixed:
        first, stop = planes.get(name, (index, index + 1) if name in fixed else (0, sizes[name]))
        if not 0 <= first < stop <= sizes[name]:
            raise SourceError(
                f"no planes {first} to {stop} along {name}, which has {sizes[name]}",
                where=source.name,
            )
        yield name, int(first), int(stop)


def _side(tile: int) -> int:
    """Return a side of about :data:`SIDE` that the model's tiles fill without a rest."""
    step = tile - tile // 4
    return tile // 4 + step * max(1, round((SIDE - tile // 4) / step))


def _halo(task: Task) -> int:
    """Return a halo for objects as the examples show them."""
    sizes = task.settings.get("sizes") if task.kind == "like" else None
    if not sizes:
        return HALO
    longest = 2 * math.sqrt(float(sizes["large"]) / math.pi) * 1.5
    return max(HALO, 4 * math.ceil(longest / 6))


def _join(task: Task, spans: Sequence[tuple[str, int, int]], join: Join | None) -> Join:
    many = [name for name, first, stop in spans if stop - first > 1]
    if join is None:
        return (
            "none" if not task.instances else "z" if "z" in many else "t" if "t" in many else "none"
        )
    if join != "none" and not task.instances:
        raise SourceError("classes are not joined", todo="Choose to join nothing")
    return join if join in many else "none"


def _ranges(region: Region, grid: Grid, reach: int, planes: int) -> Ranges | None:
    """Return the runs of numbers of the wanted tiles of all planes, None if all are."""
    if region.is_everywhere:
        return None
    runs: list[tuple[int, int]] = []
    for row in range(grid.rows.count):
        for column in range(grid.columns.count):
            number = row * grid.columns.count + column
            seen = grid.core(grid.tile(row, column)).grow(reach)
            if region.touches(seen.intersect(Box.of_shape(grid.shape))):
                if runs and runs[-1][1] == number:
                    runs[-1] = (runs[-1][0], number + 1)
                else:
                    runs.append((number, number + 1))
    first = (grid.count * plane for plane in range(planes))
    return tuple((start + at, stop + at) for at in first for start, stop in runs)
