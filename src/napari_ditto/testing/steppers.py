"""Stand-ins for steppers: one that copies, one that knows the truth, one that counts."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask, bounding_box
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import MaskPrompt, PromptSet
from napari_ditto.core.propagation import Carried, Seen, Step
from napari_ditto.data.protocols import Source
from napari_ditto.engine.stepping import Stepper
from napari_ditto.testing.fakes import PerfectModel

Steps = Generator[Progress, None, Step]


class CopyStepper:
    """Leaves every object where it was last seen; where two runs meet, where either saw it."""

    key = "copy 1"

    def step(self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]) -> Steps:
        """Copy."""
        yield Progress("decode", 0, 1, "copying")
        return Step(tuple(Carried(n, m, m) for n, m in last_seen(before).items()))


class PerfectStepper:
    """Asks a :class:`~napari_ditto.testing.fakes.PerfectModel` with the mask of the plane before.

    Parameters
    ----------
    source : Source
        An image that tells the truth, see :func:`~napari_ditto.testing.scenes.truth_source`; its
        planes must fit one tile.
    tile : int
        Side of the model's tile.
    """

    def __init__(self, source: Source, tile: int = 512) -> None:
        self.source, self.model = source, PerfectModel(tile)
        self.key = f"perfect {tile}"

    def step(self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]) -> Steps:
        """Find what most of each object's old pixels lie on now."""
        yield Progress("decode", 0, 1, "looking")
        plane = Box.of_shape(self.source.plane_shape(address))
        (embedding,) = self.model.encode(self.source.read(address, plane)[None])
        expected = last_seen(before)
        prompts = [PromptSet(mask=MaskPrompt(m.box, m.mask)) for m in expected.values()]
        answers = self.model.decode(embedding, prompts).logits[:, 0] > 0
        found = zip(expected.items(), answers, strict=True)
        return Step(tuple(Carried(n, _placed(answer), was) for (n, was), answer in found))


class CountingStepper:
    """Passes everything on to another stepper and keeps the addresses asked about.

    Parameters
    ----------
    stepper : Stepper, optional
        Whom to pass on to; a :class:`CopyStepper` by default.
    """

    def __init__(self, stepper: Stepper | None = None) -> None:
        self.stepper: Stepper = stepper or CopyStepper()
        self.asked: list[PlaneAddress] = []

    @property
    def key(self) -> str:
        """Who the other stepper is."""
        return self.stepper.key

    def step(self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]) -> Steps:
        """Count, then pass on."""
        self.asked.append(address)
        return (yield from self.stepper.step(address, before, anchors))


def last_seen(before: Sequence[Seen]) -> dict[int, PlacedMask]:
    """Return each object's mask in the nearest planes that show it, by id."""
    found: dict[int, tuple[int, NDArray[np.bool_]]] = {}
    for seen in sorted(before, key=lambda s: s.distance):
        for label in np.unique(seen.labels[seen.labels > 0]).tolist():
            distance, mask = found.get(label, (seen.distance, np.False_))
            if distance == seen.distance:
                found[label] = distance, mask | (seen.labels == label)
    return {label: _placed(mask) for label, (_, mask) in sorted(found.items())}


def _placed(mask: NDArray[np.bool_]) -> PlacedMask:
    box = bounding_box(mask)
    return PlacedMask(box, mask[box.slices])
