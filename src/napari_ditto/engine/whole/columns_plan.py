"""The plan of a propagation in columns: a small JSON document that any worker can work by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.propagation import Gate
from napari_ditto.core.routes import Index
from napari_ditto.core.run_plan import ModelRef, SourceRef
from napari_ditto.engine.whole.columns import Column
from napari_ditto.errors import StoreError

VERSION = 1
KIND = "propagate"


@dataclass(frozen=True)
class ColumnPlan:
    """All that decides the labels, and where they go.

    Attributes
    ----------
    source, model : SourceRef, ModelRef
        Which image, which model.
    target : str
        The OME-Zarr folder that is written.
    base : PlaneAddress
        The plane at index 0 of the axes walked.
    axes : tuple of str
        The axes walked.
    bounds : tuple of (int, int)
        First plane and one past the last, along each.
    anchors : tuple of index
        Where the examples are.
    plane_shape : (int, int)
        Of every plane.
    columns : tuple of Column
        What is followed on its own.
    digests : tuple of str
        Of what the examples show in each column.
    gate : Gate
        What an object must reach to be believed.
    patience : int
        Planes in which an object that has failed is still looked for.
    examples : str
        Name under which the labelled planes are kept.
    """

    source: SourceRef
    model: ModelRef
    target: str
    base: PlaneAddress
    axes: tuple[str, ...]
    bounds: tuple[tuple[int, int], ...]
    anchors: tuple[Index, ...]
    plane_shape: tuple[int, int]
    columns: tuple[Column, ...]
    digests: tuple[str, ...]
    gate: Gate
    patience: int
    examples: str

    @cached_property
    def indices(self) -> list[Index]:
        """The planes, in order."""
        return list(product(*(range(a, b) for a, b in self.bounds)))

    @property
    def within(self) -> dict[str, tuple[int, int]]:
        """The bounds by axis."""
        return dict(zip(self.axes, self.bounds, strict=True))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """For each column, a name for everything that its result depends on."""
        common = {
            name: value
            for name, value in self.to_json().items()
            if name not in ("target", "columns", "digests", "examples")
        }
        common["source"].pop("name")
        parts = [
            {**common, "window": asdict(c.window), "ids": c.ids, "examples": digest}
            for c, digest in zip(self.columns, self.digests, strict=True)
        ]
        return tuple(_digest(part) for part in parts)

    @cached_property
    def digest(self) -> str:
        """A name for what all columns together become."""
        return _digest([self.keys, [c.number for c in self.columns]])

    def address(self, index: Index) -> PlaneAddress:
        """Return the plane at an index."""
        return self.base.with_index(dict(zip(self.axes, index, strict=True)))

    def place(self, column: Column) -> str:
        """Return where a column is, for people."""
        w = column.window
        return f"rows {w.y0} to {w.y1}, columns {w.x0} to {w.x1}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        told: dict[str, Any] = json.loads(
            json.dumps({"kind": KIND, "version": VERSION, **asdict(self)})
        )
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ColumnPlan:
        """Return the plan that was told.

        Raises
        ------
        StoreError
            If this is no plan of a propagation, or one of another version.
        """
        try:
            if (told["kind"], told["version"]) != (KIND, VERSION):
                raise ValueError(f"version {told['version']} of {told['kind']}")
            return _plan(told)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"this is no plan of a propagation: {error}", todo="Start it again"
            ) from error


def digest_of(planes: Iterable[NDArray[np.uint32]]) -> str:
    """Return what tells a part of the examples from any other."""
    total = hashlib.sha256()
    for plane in planes:
        total.update(np.ascontiguousarray(plane, "<u4").data)
    return total.hexdigest()


def _plan(told: Mapping[str, Any]) -> ColumnPlan:
    """Return a plan of checked types; whoever calls turns errors into one line."""
    base = told["base"]
    height, width = (int(n) for n in told["plane_shape"])
    return ColumnPlan(
        source=SourceRef.from_json(told["source"]),
        model=ModelRef.from_json(told["model"]),
        target=str(told["target"]),
        base=PlaneAddress(
            str(base["rows"]),
            str(base["columns"]),
            tuple((str(n), int(i)) for n, i in base["fixed"]),
        ),
        axes=tuple(str(n) for n in told["axes"]),
        bounds=tuple((int(a), int(b)) for a, b in told["bounds"]),
        anchors=tuple(tuple(int(i) for i in at) for at in told["anchors"]),
        plane_shape=(height, width),
        columns=tuple(_column(c) for c in told["columns"]),
        digests=tuple(str(d) for d in told["digests"]),
        gate=Gate(**{n: float(v) for n, v in told["gate"].items()}),
        patience=int(told["patience"]),
        examples=str(told["examples"]),
    )


def _column(told: Mapping[str, Any]) -> Column:
    window = Box(**{n: int(v) for n, v in told["window"].items()})
    return Column(int(told["number"]), window, tuple(int(n) for n in told["ids"]))


def _digest(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
