"""The layers and the view that a session folder tells of; as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.data.session_steps import MAX_AXES, PromptStep

MAX_SIDE = 1 << 40
MAX_STEPS = 1 << 20
MAX_PROMPTS = 100_000
FAR = 1e12
"""No coordinate is larger."""
SHAPES = ("rectangle", "ellipse", "polygon", "line", "path")

Place = Mapping[str, Any]
"""Scale, translation and so on of a layer, as JSON types; checked by who uses them."""


@dataclass(frozen=True, eq=False)
class SessionImage:
    """An image layer, and how to find its pixels again.

    Attributes
    ----------
    key : str
        Unique in the session.
    name : str
        As the user knows it.
    path : str
        The file or folder it was read from, ``""`` if there is none.
    nearby : str
        The same path as seen from the folder that the session lies in, ``""`` if not below it.
    reader : str
        The napari plugin that read it, ``""`` if unknown.
    kept : str
        The file of the session that holds a copy, for images that are on no disk.
    axes : tuple of str
        Of the array, channels included.
    channel_axis : int or None
        Which of them are the channels.
    rgb : bool
        Whether napari shows the last axis as colours.
    shapes : tuple of tuple of int
        Of each level of the array, finest first.
    dtype : str
        Of the pixels.
    fingerprint : str
        Tells whether pixels are the same, ``""`` if they could not be read.
    place, look : mapping
        Where the layer lies, and how it is shown.
    """

    key: str
    name: str
    path: str = ""
    nearby: str = ""
    reader: str = ""
    kept: str = ""
    axes: tuple[str, ...] = ()
    channel_axis: int | None = None
    rgb: bool = False
    shapes: tuple[tuple[int, ...], ...] = ()
    dtype: str = ""
    fingerprint: str = ""
    place: Place = field(default_factory=dict)
    look: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the image as JSON types."""
        return told_of(self, axes=list(self.axes), shapes=[list(s) for s in self.shapes])

    @classmethod
    def from_json(cls, told: Facts) -> SessionImage:
        """Check and return an image."""
        axis = told.whole("channel_axis", 0, MAX_AXES) if "channel_axis" in told else None
        return cls(
            told.text("key"),
            told.text("name"),
            told.text("path"),
            told.text("nearby"),
            told.text("reader"),
            told.text("kept"),
            told.texts("axes", MAX_AXES),
            axis,
            told.flag("rgb"),
            tuple(_shape(level) for level in told.items("shapes", 64)),
            told.text("dtype"),
            told.text("fingerprint"),
            told.facts("place").told,
            told.facts("look").told,
        )


@dataclass(frozen=True, eq=False)
class SessionLabels:
    """A Labels layer, and how its objects came about.

    Attributes
    ----------
    key, name : str
        Unique in the session; as the user knows it.
    file : str
        The OME-Zarr folder of the session that holds the labels, ``""`` if they lie elsewhere.
    path : str
        Where labels lie that are too large to be copied.
    images : tuple of str
        Keys of the images that they belong to.
    axes, shape, dtype
        Of the labels.
    digest : str
        SHA-256 over type, shape and ids; ``""`` for labels that lie elsewhere.
    place, look : mapping
        Where the layer lies, and how it is shown.
    provenance, objects : mapping
        What is known of each label, and the table of objects, as JSON types.
    steps : tuple of PromptStep
        Objects accepted after prompts, in order.
    """

    key: str
    name: str
    file: str = ""
    path: str = ""
    images: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = "uint32"
    digest: str = ""
    place: Place = field(default_factory=dict)
    look: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    objects: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[PromptStep, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the labels as JSON types."""
        steps = [step.to_json() for step in self.steps]
        return told_of(
            self, images=list(self.images), axes=list(self.axes), shape=list(self.shape),
            steps=steps,
        )  # fmt: skip

    @classmethod
    def from_json(cls, told: Facts) -> SessionLabels:
        """Check and return labels."""
        shape, axes = _shape(told.items("shape", MAX_AXES)), told.texts("axes", MAX_AXES)
        dtype = told.choice("dtype", _ID_TYPES)
        if len(shape) != len(axes) or len(shape) < 2 or len(set(axes)) < len(axes):
            raise Misfit(f"labels of shape {shape} with the axes {', '.join(axes)}")
        return cls(
            told.text("key"),
            told.text("name"),
            told.text("file"),
            told.text("path"),
            told.texts("images", 3),
            axes,
            shape,
            dtype,
            told.text("digest"),
            told.facts("place").told,
            told.facts("look").told,
            told.facts("provenance").told,
            told.facts("objects").told,
            tuple(PromptStep.from_json(row) for row in told.rows("steps", MAX_STEPS)),
        )


_ID_TYPES = tuple(np.dtype(f"{kind}{size}").name for kind in "iu" for size in (1, 2, 4, 8))


@dataclass(frozen=True, eq=False)
class SessionPrompts:
    """A Points or Shapes layer with all that is in it.

    Attributes
    ----------
    key, name : str
        Unique in the session; as the user knows it.
    kind : {"points", "shapes"}
        Of layer.
    image : str
        Key of the image it was made for by us, ``""`` for a layer of the user's own.
    ndim : int
        Axes of the layer.
    arrays : tuple of tuple of tuple of float
        The vertices of each item: one for a point.
    columns : mapping of str to tuple
        What else is known per item.
    positive : bool
        The sign of the next one.
    place, look : mapping
        Where the layer lies, and how it is shown.
    """

    key: str
    name: str
    kind: str
    image: str = ""
    ndim: int = 2
    arrays: tuple[tuple[tuple[float, ...], ...], ...] = ()
    columns: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    positive: bool = True
    place: Place = field(default_factory=dict)
    look: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the prompts as JSON types."""
        columns = {name: list(values) for name, values in self.columns.items()}
        return told_of(self, arrays=[[list(v) for v in a] for a in self.arrays], columns=columns)

    @classmethod
    def from_json(cls, told: Facts) -> SessionPrompts:
        """Check and return prompts."""
        ndim, kind = told.whole("ndim", 2, MAX_AXES), told.choice("kind", ("points", "shapes"))
        arrays = tuple(_vertices(item, ndim) for item in told.items("arrays", MAX_PROMPTS))
        if kind == "points" and any(len(vertices) != 1 for vertices in arrays):
            raise Misfit("a point of several vertices")
        columns = told.facts("columns")
        return cls(
            told.text("key"),
            told.text("name"),
            kind,
            told.text("image"),
            ndim,
            arrays,
            {name: _column(columns, name, len(arrays)) for name in columns.told},
            told.flag("positive"),
            told.facts("place").told,
            told.facts("look").told,
        )


@dataclass(frozen=True, eq=False)
class SessionView:
    """What the viewer shows.

    Attributes
    ----------
    ndisplay : int
        2 or 3.
    order : tuple of int
        Of the axes.
    point : tuple of float
        World position of the sliders.
    center : tuple of float
        World position in the middle of the canvas.
    zoom : float
        Canvas pixels per world unit; 0 is not known.
    """

    ndisplay: int = 2
    order: tuple[int, ...] = ()
    point: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    zoom: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the view as JSON types."""
        return told_of(
            self, order=list(self.order), point=list(self.point), center=list(self.center)
        )

    @classmethod
    def from_json(cls, told: Facts) -> SessionView:
        """Check and return a view."""
        view = cls(
            told.whole("ndisplay", 2, 3),
            told.wholes("order", MAX_AXES),
            told.numbers("point", most=MAX_AXES),
            told.numbers("center", most=3),
            told.number("zoom"),
        )
        if any(abs(number) > FAR for number in (*view.point, *view.center)):
            raise Misfit("a view of something too far away")
        return view


def told_of(value: Any, **changed: object) -> dict[str, Any]:  # noqa: ANN401 - one of ours
    """Return the fields of a dataclass, some of them as they are given."""
    told = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {**told, **changed}


def _shape(told: object) -> tuple[int, ...]:
    row = Facts({"shape": told})
    shape = row.wholes("shape", MAX_AXES)
    if not shape or max(shape) > MAX_SIDE:
        raise Misfit(f"{told!r:.40} is no shape")
    return shape


def _vertices(told: object, ndim: int) -> tuple[tuple[float, ...], ...]:
    rows = Facts({"item": told}).items("item", MAX_PROMPTS)
    if not rows:
        raise Misfit("a prompt without a place")
    found = tuple(Facts({"at": row}).numbers("at", ndim) for row in rows)
    if any(abs(number) > FAR for vertex in found for number in vertex):
        raise Misfit("a prompt is too far away")
    return found


def _column(columns: Facts, name: str, count: int) -> tuple[Any, ...]:
    values = columns.items(name, MAX_PROMPTS)
    if len(values) != count or not all(isinstance(v, str | int | float | None) for v in values):
        raise Misfit(f"the column {name:.40} does not fit the prompts")
    if name == "shape_type" and set(values) - set(SHAPES):
        raise Misfit("a shape of an unknown kind")
    return tuple(values)
