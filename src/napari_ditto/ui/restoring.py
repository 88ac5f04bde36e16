"""What an earlier session has left: found when the dock opens, offered once, restored on demand."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from napari_ditto.core.progress import Progress
from napari_ditto.data.blocks import DamagedBlock
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_replay import Story, read_journal
from napari_ditto.data.journal_shelf import Entry, Resumed, Shelf, put_aside
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import DittoError, SourceError, StoreError
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.journal_prompts import KeptPrompts, decode_prompts
from napari_ditto.ui.journals import Journals
from napari_ditto.ui.prompting import Prompting

OPEN_THE_IMAGE = "Restored. Open '{}' to go on with it"


@dataclass(frozen=True)
class Offer:
    """Something that can be restored.

    Attributes
    ----------
    paths : tuple of Path
        Journals of labels and of prompts that belong together.
    text : str
        What the user is asked.
    """

    paths: tuple[Path, ...]
    text: str


class Layers(Protocol):
    """The part of the viewer that restored work is shown in."""

    def find_image(self, note: ImageNote) -> str:
        """Return the image layer that a note is about, ``""`` if there is none."""
        ...

    def add_labels(self, store: LabelStore, note: ImageNote, name: str) -> str:
        """Show restored labels; return the layer's id."""
        ...

    def put_prompts(self, layer: str, prompts: KeptPrompts) -> None:
        """Add prompts to one of our layers."""
        ...

    def prompts(
        self, layers: Sequence[str], images: Sequence[str]
    ) -> tuple[ImageNote, KeptPrompts] | None:
        """Return the prompts of some layers in pixels of their image."""
        ...


class Restoring:
    """Offers what was left, one after the other, and keeps the prompts of this session.

    Parameters
    ----------
    desk, prompting
        Of the controller.
    start_over : callable
        Called when another image is chosen.
    journals : Journals
        Where journals are.
    layers : Layers
        The viewer.
    """

    def __init__(
        self,
        desk: Desk,
        prompting: Prompting,
        start_over: Callable[[], None],
        journals: Journals,
        layers: Layers,
    ) -> None:
        self._desk, self._session, self._prompting = desk, desk.session, prompting
        self._journals, self._layers, self._start_over = journals, layers, start_over
        self._offers: tuple[Offer, ...] = ()
        self._looked = self._told = False
        desk.settle = journals.settle
        prompting.changed.connect(self._keep_prompts)
        self._session.events.working.connect(self._tell_trouble)

    # --- this session ----------------------------------------------------------------------------

    def _keep_prompts(self) -> None:
        session = self._session
        found = self._layers.prompts(session.prompt_layers, session.images)
        if found is not None:
            self._journals.note_prompts(*found)

    def _tell_trouble(self, working: str) -> None:
        """Say once that something is not on disk, until it is again."""
        trouble = self._journals.trouble
        if trouble is not None and not (working or self._told):
            self._desk.fail(trouble)
        self._told = trouble is not None and (self._told or not working)

    # --- earlier ones ----------------------------------------------------------------------------

    def look(self) -> None:
        """Look once for what was left, in the background."""
        if not self._looked:
            self._looked = True
            self._desk.run(
                "looking for unsaved work", lambda: find_offers(self._journals.shelf), self._offer,
                cancellable=False,
            )  # fmt: skip

    def _offer(self, offers: tuple[Offer, ...]) -> None:
        self._offers = offers
        more = f" (and {len(offers) - 1} more)" if len(offers) > 1 else ""
        self._session.unsaved = offers[0].text + more if offers else ""

    def answer(self, answer: str) -> None:
        """Do what the user wants with what is offered: restore it, discard it, or ask later."""
        if not self._offers:
            return
        offer, *rest = self._offers
        if answer == "later":
            self._offer(())
            return
        self._offer(tuple(rest))
        if answer == "restore":
            self._restore(offer)
        else:
            for path in offer.paths:
                if path.suffix != ".aside":
                    put_aside(path)

    def _restore(self, offer: Offer) -> None:
        shelf = self._journals.shelf
        self._desk.run(
            "restoring", lambda: resume(shelf, offer.paths), self._show, cancellable=False
        )

    def _show(self, found: tuple[Resumed, ...]) -> None:
        note = found[0].story.head.image
        session = self._session
        trouble = "; ".join(r.story.trouble for r in found if r.story.trouble)
        try:
            image = self._layers.find_image(note)
        except DittoError as error:
            image, trouble = "", str(error)
        for resumed in found:
            if resumed.store is not None:
                self._show_labels(resumed, resumed.store)
        if image and session.images[:1] != (image,):
            session.images = (image,)
        for resumed in found:
            self._show_prompts(resumed, image)
        if image:
            self._start_over()
        session.error = trouble
        if not image:
            session.hint = OPEN_THE_IMAGE.format(note.name)

    def _show_labels(self, resumed: Resumed, store: LabelStore) -> None:
        head, session = resumed.story.head, self._session
        self._journals.adopt(resumed.journal)
        layer = self._layers.add_labels(store, head.image, head.name)
        session.target_choices = self._desk.scene.target_choices()
        session.target = layer

    def _show_prompts(self, resumed: Resumed, image: str) -> None:
        """Put the prompts of the object in hand back into our layers."""
        kept = prompts_of(resumed.story)
        if kept is None:
            return
        if not image:
            resumed.journal.afterwards = "aside"
            self._journals.end(resumed.journal)
            return
        points = replace(kept, shapes=(), kinds=(), widths=(), shape_signs=())
        shapes = replace(kept, points=kept.points[:0], signs=())
        scene, images = self._desk.scene, self._session.images
        for part, add in ((points, scene.add_points), (shapes, scene.add_boxes)):
            if part.count:
                layer = add(images)
                self._layers.put_prompts(layer, part)
                self._prompting.use(layer)
        self._prompting.take_edit()
        self._keep_prompts()
        self._journals.end(resumed.journal)


def find_offers(shelf: Shelf) -> Generator[Progress, None, tuple[Offer, ...]]:
    """Return what was left, the newest first; remove what is too old.

    Labels of a session that ended in order are offered this once: they are put aside by it.
    """
    yield Progress("read", text="looking for unsaved work")
    shelf.prune()
    left = [entry for entry in shelf.entries() if entry.state in ("crashed", "closed")]
    stories = [(entry, story) for entry in left if (story := _story(entry.path)) is not None]
    offers = []
    for labels in [pair for pair in stories if pair[1].head.shape]:
        prompts = [pair for pair in stories if _belong(labels, pair)]
        stories = [pair for pair in stories if pair not in prompts]
        offers.append(_offer([labels, *prompts]))
    alone = [pair for pair in stories if not pair[1].head.shape and prompts_of(pair[1])]
    return tuple(filter(None, (*offers, *(_offer([pair]) for pair in alone))))


def _story(path: Path) -> Story | None:
    try:
        return at_end(read_journal(path))
    except SourceError:
        put_aside(path)  # nothing can be made of it here; the command line still lists it
        return None


def _belong(labels: tuple[Entry, Story], other: tuple[Entry, Story]) -> bool:
    """Whether prompts are of the same process and image as labels."""
    if other[1].head.shape or prompts_of(other[1]) is None:
        return False
    processes = {entry.path.name.rpartition("-")[0] for entry in (labels[0], other[0])}
    images = {story.head.image.name for story in (labels[1], other[1])}
    return len(processes) == len(images) == 1


def _offer(pairs: list[tuple[Entry, Story]]) -> Offer | None:
    """Return what to ask; None if another process has taken it meanwhile."""
    (entry, story), *_ = pairs
    edits = sum(s.edits for _, s in pairs)
    prompts = sum(kept.count for _, s in pairs if (kept := prompts_of(s)))
    parts = [_count(edits, "edit")] if edits else []
    parts += [_count(prompts, "prompt")] if prompts else []
    day = "" if time.time() - entry.changed < 43_200 else "%d %b "
    when = time.strftime(f"{day}%H:%M", time.localtime(entry.changed))
    why = "napari ended unexpectedly" if entry.state == "crashed" else "From your last session"
    text = f"{why}: {' and '.join(parts) or 'labels'} on '{story.head.image.name}', {when}"
    try:
        paths = [put_aside(e.path) if e.state == "closed" else e.path for e, _ in pairs]
    except StoreError:
        return None
    return Offer(tuple(paths), text)


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number} {word}s"


def at_end(story: Story) -> Story:
    """Return a story of prompts with the image that the last of them are on."""
    if story.prompts is None or "image" not in story.prompts.facts:
        return story
    try:
        image = ImageNote.from_json(story.prompts.facts["image"])
    except (DamagedBlock, TypeError):
        return story
    return replace(story, head=replace(story.head, image=image))


def prompts_of(story: Story) -> KeptPrompts | None:
    """Return the prompts that a journal ends with, None if it ends without any."""
    found = story.prompts
    if found is None:
        return None
    try:
        kept = decode_prompts(found.facts, found.arrays, len(story.head.image.shape))
    except DamagedBlock:
        return None
    return kept if kept.count else None


def resume(shelf: Shelf, paths: Sequence[Path]) -> Generator[Progress, None, tuple[Resumed, ...]]:
    """Restore what some journals hold."""
    found = []
    for path in paths:
        yield Progress("read", text="restoring")
        resumed = shelf.resume(path)
        found.append(replace(resumed, story=at_end(resumed.story)))
    return tuple(found)
