"""What the demo does by example: coins after one coin, nuclei through a stack."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ditto.cli import pictures, results
from napari_ditto.cli.console import Console
from napari_ditto.cli.demo_scenes import SCENES, empty_result, prompt_all
from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.data.protocols import LabelDelta
from napari_ditto.models.protocols import ContextModel, PromptModel

if TYPE_CHECKING:
    from napari_ditto.data.protocols import Source

T = TypeVar("T")
Labels = NDArray[np.integer]

STACK, NUCLEI = (16, 128, 128), 10
LABELLED, SHOWN = 8, range(4, 14)
"""The plane that is given, and those in the picture."""
ENLARGED, LINE = 2, 2
"""How often each pixel is repeated there, and what lies between two planes."""


class DemoModel(PromptModel, ContextModel, Protocol):
    """Takes prompts and learns from examples."""


@dataclass(frozen=True, slots=True)
class Found:
    """What examples have led to.

    Attributes
    ----------
    model : str
        Who did it.
    image, shown : str
        Where, and after what.
    objects : int
        Found in the picture, or followed through the stack.
    seconds : float
        From the example to the last object.
    iou : float or None
        Mean over the objects, with the truth where it is known.
    """

    model: str
    image: str
    shown: str
    objects: int
    seconds: float
    iou: float | None = None


def by_example(model: DemoModel, folder: Path, console: Console) -> list[Found]:
    """Find coins after one of them, and follow nuclei; write the results."""
    console.note(f"{model.spec.id}: finding coins after one coin")
    coins = coins_like_one(model, folder, console)
    console.note(f"{model.spec.id}: following nuclei through a stack")
    return [coins, follow_stack(model, folder, console)]


def coins_like_one(model: DemoModel, folder: Path, console: Console) -> Found:
    """Click on one coin, and find the others."""
    from skimage import data

    from napari_ditto.data.source import open_source
    from napari_ditto.engine.context import segment_like_steps
    from napari_ditto.engine.examples import PlaneExample

    scene = SCENES[0]
    pixels = getattr(data, scene.picture)()
    source = open_source(pixels, axes=scene.axes, name=scene.name)
    clicked, click = empty_result(source, model, []), scene.prompts[:1]
    prompt_all(clicked, model, click, console)
    plane = Box.of_shape(source.plane_shape(clicked.address))
    shown = clicked.store.read(clicked.address, plane)
    example = PlaneExample(source, clicked.address, shown, name="one coin", partial=True)
    steps = segment_like_steps(source, [example], model, instances=True)
    found, seconds = timed(console, steps)
    outputs = [folder / "coins-like.zarr", folder / "coins-like.png"]
    result = empty_result(source, model, outputs)
    highest, none = int(found.labels.max()), np.zeros_like(found.labels)
    result.store.apply(LabelDelta(result.address, found.box, none, found.labels, highest))
    result.write(outputs, plane, click)
    return Found(model.spec.id, "coins", "one coin", highest, seconds)


def follow_stack(model: DemoModel, folder: Path, console: Console) -> Found:
    """Carry the nuclei of one plane through a generated stack."""
    from napari_ditto.core import synthetic
    from napari_ditto.data.source import open_source
    from napari_ditto.engine.propagate import propagate_steps

    image, truth = synthetic.stack(STACK, NUCLEI)
    source = open_source(image, axes="zyx", name="nuclei")
    steps = propagate_steps(
        source, {LABELLED: truth[LABELLED]}, "z", model, out=folder / "stack-follow.zarr"
    )
    found, seconds = timed(console, steps)
    labels = np.asarray(found.labels)
    facts = results.provenance(model.spec, source, source.plane())
    save_strip(folder / "stack-follow.png", source, labels, facts)
    mean = float(np.mean([overlap(labels == i, truth == i) for i in found.ids]))
    return Found(model.spec.id, "nuclei, z-stack", "one plane", len(found.ids), seconds, mean)


def timed(console: Console, steps: Generator[Progress, None, T]) -> tuple[T, float]:
    """Run a job; return its result and the seconds it took."""
    start = time.perf_counter()
    found = console.follow(steps)
    return found, time.perf_counter() - start


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the intersection over union."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def save_strip(path: Path, source: Source, labels: Labels, facts: Mapping[str, object]) -> None:
    """Write some planes with their labels side by side."""
    planes = []
    for z in SHOWN:
        address = source.plane({"z": z})
        pixels = source.read(address, Box.of_shape(labels.shape[1:]))
        drawn = pictures.overlay(pixels, labels[z]).repeat(ENLARGED, 0).repeat(ENLARGED, 1)
        planes.append(np.pad(drawn, ((0, LINE), (0, LINE), (0, 0)), constant_values=255))
    half = len(planes) // 2
    rows = [np.concatenate(part, axis=1) for part in (planes[:half], planes[half:])]
    pictures.save(path, np.concatenate(rows, axis=0), json.dumps(dict(facts), default=str))
