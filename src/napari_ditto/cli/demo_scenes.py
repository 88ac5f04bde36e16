"""What the demo does with each image, and what it measures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.cli import results
from napari_ditto.cli.console import Console
from napari_ditto.cli.label import add
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet

if TYPE_CHECKING:
    from napari_ditto.core.proposals import Proposals
    from napari_ditto.core.synthetic import Raster
    from napari_ditto.data.protocols import Source
    from napari_ditto.data.virtual import VirtualArray
    from napari_ditto.models.protocols import PromptModel

RASTER_SIDE = 60_000
MARGIN = 250
"""Pixels of the raster shown round its objects."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture that comes with scikit-image, and what to say about its objects.

    Attributes
    ----------
    name, picture : str
        Of the results, and of the function in ``skimage.data``.
    axes : str
        Of the picture.
    prompts : tuple of PromptSet
        One object each.
    everything : bool
        Whether to label the whole picture, too: "everything" means little in a tissue.
    """

    name: str
    picture: str
    axes: str
    prompts: tuple[PromptSet, ...]
    everything: bool = False


def click(y: float, x: float, *beside: tuple[float, float]) -> PromptSet:
    """Return a click on an object, and clicks that are not on it."""
    return PromptSet((PointPrompt(y, x), *(PointPrompt(*p, False) for p in beside)))


def around(y0: float, x0: float, y1: float, x1: float) -> PromptSet:
    """Return a rectangle round an object."""
    return PromptSet(box=BoxPrompt(y0, x0, y1, x1))


SCENES = (
    Scene(
        "coins",
        "coins",
        "yx",
        (click(57, 100), click(50, 155), click(45, 335), around(162, 188, 216, 238)),
        everything=True,
    ),
    Scene(
        "tissue",
        "immunohistochemistry",
        "yxc",
        (around(305, 248, 505, 388), around(100, 285, 200, 385), click(328, 428)),
    ),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one image; None was not done, or has no known truth.

    Attributes
    ----------
    model : str
        Who did it.
    image : str
        Which one, with its size.
    first_mask, second_prompt : float
        Seconds from the first prompt to its mask, and from the next prompt on the same tile.
    encoder_calls : int
        For all prompts together.
    prompted, found : int
        Objects labelled by prompts, and by "everything".
    everything : float
        Seconds for "everything".
    iou : float
        Of the first mask and the truth.
    pixels_read : int
        From the image, for the prompts and for its intensity window.
    """

    model: str
    image: str
    first_mask: float
    second_prompt: float
    encoder_calls: int
    prompted: int
    found: int | None = None
    everything: float | None = None
    iou: float | None = None
    pixels_read: int | None = None


def label_scene(scene: Scene, model: PromptModel, folder: Path, console: Console) -> Figures:
    """Label a picture by its prompts, then whole; write the results."""
    from skimage import data

    from napari_ditto.data.source import open_source

    source = open_source(getattr(data, scene.picture)(), axes=scene.axes, name=scene.name)
    outputs = [folder / f"{scene.name}-prompts{suffix}" for suffix in (".zarr", ".png")]
    result = empty_result(source, model, outputs)
    plane = Box.of_shape(source.plane_shape(result.address))
    seconds, _, calls = prompt_all(result, model, scene.prompts, console)
    result.write(outputs, plane, scene.prompts)
    figures = Figures(
        model.spec.id,
        f"{scene.name}, {plane.height} x {plane.width}",
        first_mask=seconds[0],
        second_prompt=seconds[1],
        encoder_calls=calls,
        prompted=len(scene.prompts),
    )
    if not scene.everything:
        return figures
    outputs = [folder / f"{scene.name}-everything{suffix}" for suffix in (".zarr", ".png")]
    found, everything = label_everything(source, model, outputs, console)
    return replace(figures, found=found, everything=everything)


def empty_result(source: Source, model: PromptModel, outputs: Sequence[Path]) -> results.Result:
    """Return new labels for the default plane of a source."""
    address = source.plane()
    facts = results.provenance(model.spec, source, address)
    return results.Result(source, address, results.open_labels(source, outputs, facts), facts)


def label_everything(
    source: Source, model: PromptModel, outputs: Sequence[Path], console: Console
) -> tuple[int, float]:
    """Label the whole plane; return the number of objects, and the seconds it took."""
    from napari_ditto.engine.everything import segment_all_steps

    result = empty_result(source, model, outputs)
    start = time.perf_counter()
    found = console.follow(segment_all_steps(source, model, result.address))
    seconds = time.perf_counter() - start
    add(result.store, found)
    result.write(outputs, found.box)
    return len(found.scores), seconds


def click_on_raster(model: PromptModel, folder: Path, console: Console) -> Figures:
    """Label two objects in the middle of a raster that is far too large to be read."""
    from napari_ditto.core.synthetic import Raster
    from napari_ditto.data.source import open_source
    from napari_ditto.data.virtual import VirtualArray

    raster = Raster((RASTER_SIDE, RASTER_SIDE))
    levels = [Watched(VirtualArray(raster, level)) for level in range(raster.levels)]
    source = open_source(levels, axes="yx", name="raster")
    result = empty_result(source, model, [])
    cell = RASTER_SIDE // raster.cell // 2
    objects = [raster.center(cell, cell), raster.center(cell, cell - 1)]
    prompts = [click(*center) for center in objects]
    seconds, proposals, calls = prompt_all(result, model, prompts, console)
    region = Box(*(int(v) for v in (*objects[1], *objects[0]))).grow(MARGIN)
    result.write([folder / "raster-prompts.png"], region, prompts)
    return Figures(
        model.spec.id,
        f"raster, {RASTER_SIDE} x {RASTER_SIDE}",
        first_mask=seconds[0],
        second_prompt=seconds[1],
        encoder_calls=calls,
        prompted=len(prompts),
        iou=iou(proposals[0], raster),
        pixels_read=sum(level.pixels_read for level in levels),
    )


class Watched:
    """An array that counts the pixels that are read from it."""

    def __init__(self, array: VirtualArray) -> None:
        self.array, self.pixels_read = array, 0
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks
        self.ndim = array.ndim

    def __getitem__(self, index: tuple[slice, slice]) -> NDArray[Any]:
        block = self.array[index]
        self.pixels_read += block.size
        return block


def iou(proposals: Proposals, raster: Raster) -> float:
    """Return intersection over union of the best mask and the object that was clicked."""
    box = proposals.box.grow(raster.cell).intersect(Box.of_shape(raster.shape))
    point = proposals.prompts.points[0]
    labels = raster.labels(box)
    truth = labels == labels[round(point.y) - box.y0, round(point.x) - box.x0]
    mask = np.zeros(box.shape, dtype=bool)
    mask[proposals.box.shift(-box.y0, -box.x0).slices] = proposals.masks[proposals.best]
    return float((mask & truth).sum() / (mask | truth).sum())


def prompt_all(
    result: results.Result, model: PromptModel, prompts: Sequence[PromptSet], console: Console
) -> tuple[list[float], list[Proposals], int]:
    """Label one object for each prompt; return seconds, proposals, and calls of the encoder."""
    from napari_ditto.engine.annotator import Annotator

    annotator = Annotator(result.source, model, labels=result.store)
    seconds, proposals = [], []
    for said in prompts:
        start = time.perf_counter()
        proposals.append(console.follow(annotator.predict_steps(said, result.address)))
        seconds.append(time.perf_counter() - start)
        annotator.accept(proposals[-1])
    return seconds, proposals, annotator.encoder.counts.encoded
