"""The plan of a whole-image run: a small JSON document that any worker can work by.

A plan lists no tiles. They follow from the numbers in it, so that a plan for a hundred thousand
tiles is as small as one for four.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, Literal

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.tiling import Grid
from napari_ditto.errors import StoreError

VERSION = 1

Kind = Literal["all", "like"]
Join = Literal["none", "z", "t"]
Polygon = tuple[tuple[float, float], ...]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Task:
    """What is done with each tile.

    Attributes
    ----------
    kind : "all" or "like"
        Everything, or what examples show.
    instances : bool
        Whether labels are objects, to be joined over seams; otherwise they are classes.
    settings : mapping
        Numbers and texts of that task, JSON types only.
    """

    kind: Kind
    instances: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceRef:
    """How a worker opens the image.

    Attributes
    ----------
    name : str
        For messages.
    origin : mapping or None
        What ``data.origin.reopen`` takes; None for an image that lives in one process only.
    window : tuple of (float, float)
        Black and white of each channel, fixed when the plan is made, the same for every tile.
    """

    name: str
    origin: Mapping[str, Any] | None
    window: tuple[tuple[float, float], ...]

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> SourceRef:
        """Return what was told; raises KeyError, TypeError or ValueError on anything else."""
        return cls(str(told["name"]), told["origin"], tuple(_pair(w) for w in told["window"]))


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model, and exactly which weights.

    Attributes
    ----------
    name : str
        What ``load_model`` takes.
    key : str
        ``ModelSpec.key``; a worker with other weights refuses.
    provenance : mapping
        For the metadata of the result.
    """

    name: str
    key: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ModelRef:
        """Return what was told; raises KeyError, TypeError or ValueError on anything else."""
        return cls(str(told["name"]), str(told["key"]), dict(told["provenance"]))


@dataclass(frozen=True, slots=True)
class RunTile:
    """One unit of work: a window of a plane.

    Attributes
    ----------
    number : int
        Unique in the plan, and the same in every plan of the same numbers.
    plane : int
        Which of the plan's planes.
    address : PlaneAddress
        The plane.
    window : Box
        What is segmented.
    core : Box
        The pixels that it decides about: the cores of all tiles part the plane.
    """

    number: int
    plane: int
    address: PlaneAddress
    window: Box
    core: Box


@dataclass(frozen=True)
class Plan:
    """All that decides the labels, and where they go.

    Attributes
    ----------
    task, source, model : Task, SourceRef, ModelRef
        What is done, with which image, by which model.
    target : str
        The OME-Zarr folder that is written.
    axes, shape, scale : tuple
        Of the image: names, sizes, physical pixel sizes.
    displayed : (str, str)
        Rows and columns of the planes.
    planes : tuple of (str, int, int)
        Of each other axis: name, first and stop.
    window, halo : int
        Side of a tile, and by how much it reaches over its core.
    region : tuple of polygons
        Vertices (row, column); objects that touch one are labelled. Empty: everywhere.
    mask : str
        Path of an image whose nonzero pixels are the region, at any resolution; or empty.
    ranges : tuple of (int, int), or None
        Half-open runs of the numbers of the tiles to be done; all if None.
    empty_below : float
        A tile whose intensities (0 to 1) spread over less is skipped; 0 skips none.
    join : "none", "z" or "t"
        Along which axis objects of single planes become one.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.
    dtype : str
        Of the labels.
    """

    task: Task
    source: SourceRef
    model: ModelRef
    target: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    displayed: tuple[str, str]
    planes: tuple[tuple[str, int, int], ...]
    window: int
    halo: int
    region: tuple[Polygon, ...] = ()
    mask: str = ""
    ranges: Ranges | None = None
    empty_below: float = 0.0
    join: Join = "none"
    ngff: Literal["0.4", "0.5"] = "0.5"
    dtype: str = "uint32"

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of every plane."""
        rows, columns = (self.axes.index(name) for name in self.displayed)
        return self.shape[rows], self.shape[columns]

    @property
    def grid(self) -> Grid:
        """The tiles of one plane."""
        return Grid(self.plane_shape, self.window, 2 * self.halo)

    @cached_property
    def addresses(self) -> list[PlaneAddress]:
        """The planes, the last axis fastest."""
        names = [name for name, _, _ in self.planes]
        spans = [range(first, stop) for _, first, stop in self.planes]
        return [
            PlaneAddress(*self.displayed, tuple(zip(names, at, strict=True)))
            for at in product(*spans)
        ]

    @property
    def per_plane(self) -> int:
        """Tiles of one plane, wanted or not."""
        return self.grid.count

    @property
    def count(self) -> int:
        """Tiles to be done."""
        if self.ranges is None:
            return self.per_plane * len(self.addresses)
        return sum(stop - start for start, stop in self.ranges)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the labels; where they go and how they are kept does not."""
        told = self.to_json()
        for name in ("target", "ngff", "version"):
            told.pop(name)
        told["source"].pop("name")
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the tiles to be done."""
        for start, stop in self.ranges or ((0, self.per_plane * len(self.addresses)),):
            yield from range(start, stop)

    def tile(self, number: int) -> RunTile:
        """Return one tile."""
        plane, place = divmod(number, self.per_plane)
        grid = self.grid
        row, column = divmod(place, grid.columns.count)
        tile = grid.tile(row, column)
        return RunTile(number, plane, self.addresses[plane], tile.box, grid.core(tile))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        told: dict[str, Any] = json.loads(json.dumps({"version": VERSION, **asdict(self)}))
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Plan:
        """Return the plan that was told.

        Raises
        ------
        StoreError
            If this is no plan, or one of a newer program.
        """
        try:
            if told["version"] != VERSION:
                raise StoreError(
                    f"a plan of version {told['version']}", todo=f"This program reads {VERSION}"
                )
            return _plan(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"this is no plan of a run: {error}", todo="Make a new plan"
            ) from error


def _plan(told: Mapping[str, Any]) -> Plan:
    """Return a plan of checked numbers; whoever calls turns errors into one line."""
    task = told["task"]
    plan = Plan(
        task=Task(_one_of(task["kind"], "all", "like"), bool(task["instances"]), task["settings"]),
        source=SourceRef.from_json(told["source"]),
        model=ModelRef.from_json(told["model"]),
        target=str(told["target"]),
        axes=tuple(str(a) for a in told["axes"]),
        shape=tuple(int(n) for n in told["shape"]),
        scale=tuple(float(n) for n in told["scale"]),
        displayed=(str(told["displayed"][0]), str(told["displayed"][1])),
        planes=tuple((str(n), int(a), int(b)) for n, a, b in told["planes"]),
        window=int(told["window"]),
        halo=int(told["halo"]),
        region=tuple(tuple(_pair(v) for v in polygon) for polygon in told["region"]),
        mask=str(told["mask"]),
        ranges=None
        if told["ranges"] is None
        else tuple((int(a), int(b)) for a, b in told["ranges"]),
        empty_below=float(told["empty_below"]),
        join=_one_of(told["join"], "none", "z", "t"),
        ngff=_one_of(told["ngff"], "0.4", "0.5"),
        dtype=_one_of(told["dtype"], "uint32", "uint64"),
    )
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    named = (*plan.displayed, *(name for name, _, _ in plan.planes))
    if sorted(named) != sorted(plan.axes) or not len(plan.axes) == len(plan.shape) == len(
        plan.scale
    ):
        raise ValueError(f"axes {plan.axes} do not fit shape {plan.shape}")
    sizes = dict(zip(plan.axes, plan.shape, strict=True))
    if min(plan.shape) < 1 or not all(0 <= a < b <= sizes[n] for n, a, b in plan.planes):
        raise ValueError(f"planes {plan.planes} of an image of shape {plan.shape}")
    if plan.halo < 0 or plan.window <= 4 * plan.halo:
        raise ValueError(f"a window of {plan.window} with a halo of {plan.halo}")
    last = plan.per_plane * len(plan.addresses)
    if plan.ranges is not None and not all(0 <= a < b <= last for a, b in plan.ranges):
        raise ValueError("tiles outside of the image")


def _one_of(value: Any, *allowed: Any) -> Any:  # noqa: ANN401
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(map(str, allowed))}")
    return value


def _pair(values: Sequence[float]) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)
