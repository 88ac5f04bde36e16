"""What carries labels from finished planes to the next one: the seam between loop and models.

The loop (:mod:`.propagate`) decides which plane comes next and what it may read, judges what was
found, paints, stores and resumes. A stepper finds the objects. Steps are pure: the same plane and
the same planes read give the same result, bit for bit, in any run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Protocol, runtime_checkable

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.numbering import label_areas
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Seen, Step


class Stepper(Protocol):
    """Finds the objects of finished planes in a neighbouring plane."""

    @property
    def key(self) -> str:
        """Identity: model, version, settings. A stored step of another key is done again."""
        ...

    def step(
        self, address: PlaneAddress, before: Sequence[Seen], anchors: Sequence[Seen]
    ) -> Generator[Progress, None, Step]:
        """Return what becomes of the objects in the plane `address`.

        Parameters
        ----------
        address : PlaneAddress
            The plane to label.
        before : sequence of Seen
            Finished planes that lead here, the nearest first: the neighbour, or two neighbours at
            equal distance where two runs meet, then the planes before them on their ways, at most
            six in all. Anchors among them included.
        anchors : sequence of Seen
            The nearest labelled planes of the user, at most one on each side of each axis.
        """
        ...


@runtime_checkable
class Foreseeing(Stepper, Protocol):
    """A stepper that can prepare a plane beside its work on the one before."""

    def expect(self, address: PlaneAddress) -> None:
        """Be told which plane comes after the one that is stepped to next; results stay the same.

        It may not come, and other planes may come before it.
        """
        ...


def newest(before: Sequence[Seen]) -> Iterator[tuple[Seen, tuple[int, ...]]]:
    """Yield planes, the nearest first, with those of their objects that no nearer one shows.

    Where two runs meet, both of two equally near planes may tell of an object.
    """
    nearest: dict[int, int] = {}
    for seen in sorted(before, key=lambda s: s.distance):
        new = tuple(
            n
            for n in label_areas(seen.labels)
            if nearest.setdefault(n, seen.distance) == seen.distance
        )
        if new:
            yield seen, new
