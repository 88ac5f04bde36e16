"""The journals of one viewer: of its labels, and of the prompts in the user's hand.

Labels write to their journals themselves, in whatever thread they are written. Prompts and strokes
of napari's own brush are noted by one thread of their own, so that neither a slow disk nor a long
job keeps them, or the user, waiting.
"""

from __future__ import annotations

import hashlib
import logging
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from napari_ditto import __version__
from napari_ditto.data.journal import Journal
from napari_ditto.data.journal_recorder import LabelRecorder
from napari_ditto.data.journal_records import Head, ImageNote
from napari_ditto.data.journal_shelf import Shelf, finish
from napari_ditto.data.protocols import LabelStore, Source
from napari_ditto.data.regions import Region
from napari_ditto.errors import StoreError
from napari_ditto.ui.journal_prompts import KeptPrompts

log = logging.getLogger(__name__)

Seen = dict[tuple[tuple[int, int], ...], bytes]
"""By region, the digest of what it showed."""

PATIENCE_SECONDS = 2.0
"""How long an answer waits for the disk to take what was asked."""


class Journals:
    """Begins journals, and knows which of them are in trouble.

    Parameters
    ----------
    shelf : Shelf, optional
        Where; by default the user's.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self._images: weakref.WeakKeyDictionary[Source, ImageNote] = weakref.WeakKeyDictionary()
        self._journals: weakref.WeakSet[Journal] = weakref.WeakSet()
        self._prompts: Journal | None = None
        self._seen: weakref.WeakKeyDictionary[LabelStore, Seen] = weakref.WeakKeyDictionary()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ditto-journal")
        self._last: Future[None] | None = None

    def describe(self, source: Source, image: ImageNote) -> None:
        """Note which image a source is of."""
        self._images[source] = image

    def record_new(self, labels: LabelStore, source: Source) -> None:
        """Keep a journal of labels that were made for a source just now."""
        image = self._images.get(source, ImageNote(source.name, shape=source.shape))
        self._watch(self.shelf.record(labels, image, fresh=True))

    def record(self, labels: LabelStore, image: ImageNote, name: str) -> None:
        """Keep a journal of the labels of a layer."""
        self._watch(self.shelf.record(labels, image, name))

    def _watch(self, recorder: LabelRecorder | None) -> None:
        if recorder is not None:
            self._journals.add(recorder.journal)

    def adopt(self, journal: Journal) -> None:
        """Watch a journal that is gone on with."""
        self._journals.add(journal)

    @property
    def trouble(self) -> StoreError | None:
        """Why something is not on disk, None if all is."""
        return next((j.trouble for j in self._journals if j.trouble is not None), None)

    def note_prompts(self, image: ImageNote, prompts: KeptPrompts) -> None:
        """Put the prompts in the user's hand on disk, in the background."""
        if self._prompts is None and not prompts.count:
            return
        journal = self._prompts or self._new_prompts()
        head = Head(f"napari-ditto {__version__}", image)
        self._soon(lambda: _append_prompts(journal, head, prompts))

    def _new_prompts(self) -> Journal:
        journal = self._prompts = self.shelf.new()
        journal.afterwards = "remove"
        weakref.finalize(self, finish, journal)
        self._journals.add(journal)
        return journal

    def note_stroke(self, labels: LabelStore, index: Region) -> None:
        """Put what a region of a label image shows on disk, in the background, unless it is."""
        if getattr(labels, "recorder", None) is not None:
            seen = self._seen.setdefault(labels, {})
            self._soon(lambda: _record_changed(labels, index, seen))

    def settle(self) -> None:
        """Wait until all that was noted so far is on disk; a disk that hangs is not waited for."""
        if self._last is not None:
            wait([self._last], PATIENCE_SECONDS)

    def end(self, journal: Journal) -> None:
        """End a journal once all that was noted before is on disk."""
        self._soon(lambda: finish(journal))

    def drop(self, labels: LabelStore) -> None:
        """End the journal of labels that the user has deleted: they are not offered again."""
        recorder = getattr(labels, "recorder", None)
        if isinstance(recorder, LabelRecorder):
            if recorder.journal.afterwards == "keep":
                recorder.journal.afterwards = "aside"
            finish(recorder.journal)

    def _soon(self, call: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                call()
            except Exception:  # in a thread of its own; trouble with a journal is told by it
                log.exception("a journal could not be written")

        self._last = self._thread.submit(guarded)


def _record_changed(labels: Any, index: Region, seen: Seen) -> None:  # noqa: ANN401
    """Record a region that shows something else than it did when it was last recorded."""
    content = np.asarray(labels.data[index]).tobytes()
    key, digest = tuple((s.start, s.stop) for s in index), hashlib.blake2b(content).digest()
    if seen.get(key) != digest:
        labels.record(index)
        seen[key] = digest


def _append_prompts(journal: Journal, head: Head, prompts: KeptPrompts) -> None:
    facts, arrays = prompts.encode()
    if not journal.is_begun:
        journal.begin(head)
    journal.append("prompts", {**facts, "image": head.image.to_json()}, arrays)
