"""Where the objects of Labels layers are, kept up to date in the background."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from napari_ditto.core.progress import Progress
from napari_ditto.data.measured import Subject
from napari_ditto.data.object_extents import Extents, rescan, scan
from napari_ditto.data.protocols import LabelDelta
from napari_ditto.data.regions import Region, plane_region
from napari_ditto.errors import DittoError
from napari_ditto.ui.runner import Job, Runner

Steps = Generator[Progress, None, Extents]


@dataclass(frozen=True, eq=False)
class Edited:
    """Objects of a layer lost or won pixels.

    Attributes
    ----------
    regions : tuple of tuple of slice
        Where any object may have changed.
    deltas : tuple of LabelDelta
        What was written besides.
    axes : tuple of str
        Of the labels that were written.
    """

    regions: tuple[Region, ...] = ()
    deltas: tuple[LabelDelta, ...] = ()
    axes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Entry:
    subject: Subject
    found: Extents | None = None
    edits: list[Edited] = field(default_factory=list)
    working: bool = False
    is_stale: bool = False


class Measurer:
    """Looks through the layers that are shown once, and after that only where they change.

    Parameters
    ----------
    runner : Runner
        A background thread of its own, so that nothing waits for it and it waits for nothing.
    on_found : callable
        Told the layer about which there is news.
    on_progress : callable
        Told the layer that is still looked through.
    on_error : callable
        Told what went wrong.
    """

    def __init__(
        self,
        runner: Runner,
        on_found: Callable[[str], None],
        on_progress: Callable[[str], None],
        on_error: Callable[[DittoError], None],
    ) -> None:
        self._runner, self._on_found, self._on_error = runner, on_found, on_error
        self._on_progress = on_progress
        self._entries: dict[str, _Entry] = {}
        self.progress = Progress("read")

    def found(self, layer: str) -> Extents | None:
        """Return where the objects of a layer are, None while that is not known."""
        entry = self._entries.get(layer)
        return entry.found if entry else None

    def is_working(self, layer: str) -> bool:
        """Whether a layer is being looked through."""
        entry = self._entries.get(layer)
        return entry is not None and entry.working

    def look(self, layer: str, subject: Subject) -> None:
        """Look through a layer, unless that was done for this very subject."""
        entry = self._entries.get(layer)
        if entry is None or entry.subject is not subject:
            entry = self._entries[layer] = _Entry(subject)
        self._work(layer, entry)

    def edited(self, layer: str, edits: Iterable[Edited]) -> None:
        """Look again where a layer was edited."""
        entry = self._entries.get(layer)
        if entry is not None:
            entry.edits += edits
            self._work(layer, entry)

    def look_again(self, layer: str) -> None:
        """Look through all of a layer once more; what was known of it stays until then."""
        entry = self._entries.get(layer)
        if entry is not None:
            entry.is_stale = True
            self._work(layer, entry)

    def keep(self, present: Iterable[str]) -> None:
        """Forget all layers but these."""
        for layer in self._entries.keys() - set(present):
            del self._entries[layer]

    def close(self) -> None:
        """Stop."""
        self._entries.clear()
        self._runner.close()

    # --- the work --------------------------------------------------------------------------------

    def _work(self, layer: str, entry: _Entry) -> None:
        known = None if entry.is_stale else entry.found
        if entry.working or (known is not None and not entry.edits):
            return
        # A scan that begins now sees the edits up to now.
        edits, entry.edits = entry.edits, []
        entry.working, entry.is_stale = True, False
        self._runner.submit(
            Job(
                "measuring objects",
                partial(_steps, entry.subject, known, edits),
                on_done=partial(self._done, layer, entry),
                on_error=partial(self._failed, layer, entry),
                on_progress=partial(self._tell, layer, entry),
            )
        )

    def _done(self, layer: str, entry: _Entry, found: Extents) -> None:
        entry.working, entry.found = False, found
        if self._entries.get(layer) is entry:
            self._work(layer, entry)
            self._on_found(layer)

    def _failed(self, layer: str, entry: _Entry, error: DittoError) -> None:
        entry.working = False
        if self._entries.get(layer) is entry:
            self._on_error(error)
            self._on_found(layer)

    def _tell(self, layer: str, entry: _Entry, progress: Progress) -> None:
        self.progress = progress
        if self._entries.get(layer) is entry and entry.found is None:
            self._on_progress(layer)


def _steps(subject: Subject, found: Extents | None, edits: list[Edited]) -> Steps:
    if found is None:
        return (yield from scan(subject.labels, subject.axes))
    ids: set[int] = set()
    regions: list[Region] = []
    for edit in edits:
        ids.update(*(_ids_in(subject, found, region) for region in edit.regions))
        regions += edit.regions
        for delta in (delta for delta in edit.deltas if not delta.box.is_empty):
            yield Progress("read", text="measuring objects")
            ids |= _changed(delta)
            shape = subject.labels.shape
            regions.append(plane_region(edit.axes, shape, delta.address, delta.box).index)
    return (yield from rescan(subject.labels, found, ids, regions))


def _changed(delta: LabelDelta) -> set[int]:
    where = delta.old != delta.new
    return {*np.unique(delta.old[where]).tolist(), *np.unique(delta.new[where]).tolist()}


def _ids_in(subject: Subject, found: Extents, region: Region) -> set[int]:
    """Return the objects that are in a region, or may have been."""
    low, high = ([getattr(s, end) for s in region] for end in ("start", "stop"))
    were = ((found.low < high) & (found.high > low)).all(axis=1)
    now = np.unique(subject.labels.read(region))
    return {*found.ids[were].tolist(), *now[now > 0].tolist()}
