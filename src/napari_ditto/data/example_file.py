"""A set of examples as one small file: crops of pixels, their labels, and what made them.

The container is safetensors, so nothing in a file is ever run; see ADR 41. Pixels are kept as they
were stored, with the intensity window beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import bounding_box
from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.sealed import MAX_FILE, Arrays, Form, damaged
from napari_ditto.core.window import Window
from napari_ditto.data.compose import ComposedSource
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import Source
from napari_ditto.data.source import ArraySource, open_source
from napari_ditto.errors import SourceError, StoreError

SUFFIX = ".ditto-examples"
FORM = Form("napari-ditto examples", "1", "it is no set of examples")

CONTEXT = 64
"""Pixels around the labels that are kept, so that a model sees where they lie."""

MAX_PIXELS = 1 << 24
"""Largest crop of one example; a larger one is cut down to what is labelled."""


@dataclass(frozen=True, eq=False)
class ExampleSet:
    """What a file of examples holds.

    Attributes
    ----------
    examples : tuple of PlaneExample
        Each with an image of its own, cut out around its labels.
    model : str
        ``ModelSpec.key`` of the model that they were used with, or empty.
    memory : mapping of str to ndarray
        What that model made of them; may be empty. Only that very model can use it.
    classes : tuple of int
        Of the memory.
    """

    examples: tuple[PlaneExample, ...]
    model: str = ""
    memory: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    classes: tuple[int, ...] = ()


def save_examples(
    path: Path | str,
    examples: Sequence[PlaneExample],
    model_key: str = "",
    memory: Mapping[str, NDArray[Any]] | None = None,
    classes: Sequence[int] = (),
) -> None:
    """Write examples to a file; an old file is replaced only when the new one is complete.

    Parameters
    ----------
    path : Path
        Should end with ``.ditto-examples``.
    examples : sequence of PlaneExample
        Switched on or off.
    model_key : str
        ``ModelSpec.key`` of the model they are used with.
    memory, classes
        ``Memory.arrays`` and ``Memory.classes``, to be kept beside the examples.

    Raises
    ------
    StoreError
        If the file cannot be written, or a labelled area is too large.
    SourceError
        If an image cannot be read, or does not fit its labels.
    """
    from safetensors.numpy import save

    path = Path(path)
    arrays: Arrays = {f"memory.{n}": np.asarray(a) for n, a in (memory or {}).items()}
    about = []
    for number, example in enumerate(examples):
        pixels, labels, facts = _pack(example)
        arrays |= {f"{number}.pixels": pixels, f"{number}.labels": labels}
        about.append(facts)
    content = json.dumps(
        {"examples": about, "model": model_key, "classes": [int(c) for c in classes]}
    )
    _write(path, save(*FORM.seal(content, arrays)))


def load_examples(path: Path | str) -> ExampleSet:
    """Read examples from a file.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or something else.
    """
    path = Path(path)
    content, arrays = _read(path)
    try:
        known = json.loads(content)
        examples = [
            _unpack(facts, arrays[f"{n}.pixels"], arrays[f"{n}.labels"])
            for n, facts in enumerate(known["examples"])
        ]
        memory = {
            n.removeprefix("memory."): a for n, a in arrays.items() if n.startswith("memory.")
        }
        classes = tuple(int(c) for c in known["classes"])
        return ExampleSet(tuple(examples), str(known["model"]), memory, classes)
    except (KeyError, TypeError, ValueError, AttributeError, SourceError) as error:
        raise _refusal(path, "its content makes no sense") from error


def _pack(example: PlaneExample) -> tuple[NDArray[Any], NDArray[Any], dict[str, object]]:
    """Return pixels, labels and everything else of an example."""
    example.check()
    box = _worth_keeping(example)
    shape = example.source.plane_shape(example.address)
    crop = box.grow(CONTEXT).intersect(Box.of_shape(shape))
    pixels, window = _read_raw(example.source, example.address, crop)
    where = example.where
    labels = example.labels[box.shift(-where.y0, -where.x0).slices]
    inside = box.shift(-crop.y0, -crop.x0)
    facts = {
        "name": example.name or example.source.name,
        "enabled": example.enabled,
        "negative": example.negative,
        "partial": example.partial,
        "ids": None if example.ids is None else [int(i) for i in example.ids],
        "box": [inside.y0, inside.x0, inside.y1, inside.x1],
        "window": [list(window.low), list(window.high)],
        "scale": _pixel_size(example.source, example.address),
    }
    return pixels, _small(labels), facts


def _unpack(facts: Mapping[str, Any], pixels: NDArray[Any], labels: NDArray[Any]) -> PlaneExample:
    low, high = facts["window"]
    source = open_source(
        pixels, axes="yxc", window=Window(tuple(low), tuple(high)),
        name=str(facts["name"]), scale=facts["scale"],
    )  # fmt: skip
    example = PlaneExample(
        source,
        source.plane(),
        labels,
        box=Box(*(int(v) for v in facts["box"])),
        name=str(facts["name"]),
        enabled=bool(facts["enabled"]),
        negative=bool(facts["negative"]),
        partial=bool(facts["partial"]),
        ids=None if facts["ids"] is None else tuple(int(i) for i in facts["ids"]),
    )
    example.check()
    return example


def _worth_keeping(example: PlaneExample) -> Box:
    """Return the part of the labels that teaches something, or so much of it as may be kept."""
    where = example.where
    inner = bounding_box(example.labels > 0)
    # Around the objects of a partial example something is known as far as their radius.
    near = inner.grow(max(CONTEXT, *inner.shape)).shift(where.y0, where.x0).intersect(where)
    box = near if example.partial or example.negative or where.area > MAX_PIXELS else where
    if box.area > MAX_PIXELS:
        raise StoreError(
            f"a labelled area of {box.height} x {box.width} pixels is too large to be saved",
            where=example.name or example.source.name,
            todo="Choose fewer objects, or a box",
        )
    return box


def _read_raw(source: Source, address: PlaneAddress, box: Box) -> tuple[NDArray[Any], Window]:
    """Return pixels (h, w, c) and their window: raw ones where the source has them."""
    if isinstance(source, ArraySource):
        return source.pyramid.read(address, box, 0), source.window
    if isinstance(source, ComposedSource):
        parts = [_read_raw(part, address, box) for part in source.parts]
        pairs = [(w.low[0], w.high[0]) for _, w in parts]
        return np.concatenate([p[..., :1] for p, _ in parts], axis=-1), Window.from_pairs(pairs)
    return source.read(address, box), Window.from_pairs([(0, 1)] * 3)


def _pixel_size(source: Source, address: PlaneAddress) -> list[float]:
    scale = dict(zip(source.axes, getattr(source, "scale", ()), strict=False))
    return [float(scale.get(address.rows, 1.0)), float(scale.get(address.columns, 1.0))]


def _small(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in the smallest signed type that holds them."""
    largest = max(int(labels.max(initial=0)), -int(labels.min(initial=0)))
    fits = (t for t in (np.int8, np.int16, np.int32, np.int64) if np.iinfo(t).max >= largest)
    return labels.astype(next(fits, np.int64))


def _write(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"the examples cannot be saved: {reason}", where=str(path)) from error


def _read(path: Path) -> tuple[str, Arrays]:
    """Return the checked content of a file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    raw = _read_bytes(path)
    try:
        return FORM.open(raw, load)
    except SafetensorError as error:
        raise _refusal(path, damaged(error)) from error
    except ValueError as error:
        raise _refusal(path, str(error)) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_FILE)
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error


def _refusal(path: Path, why: str) -> StoreError:
    return StoreError(f"these examples cannot be read: {why}", where=str(path))
