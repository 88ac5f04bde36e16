"""More like this: estimate, ask, search the images one by one, and show what is sure enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.object_records import ObjectClass
from napari_ditto.errors import DittoError, ModelError, PromptError
from napari_ditto.models.protocols import Memory
from napari_ditto.ui.examples.bench import Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.jobs import Liked, Work
from napari_ditto.ui.examples.naming import classes_of, found_objects
from napari_ditto.ui.job_values import Setup

if TYPE_CHECKING:
    from napari_ditto.engine.examples import PlaneExample

NAME = "like"
NOTHING_FOUND = "Nothing found: add an example, or lower the confidence"


@dataclass(frozen=True, eq=False)
class Place:
    """Where to look: images that make one picture, a plane of it, a part of that."""

    images: tuple[str, ...]
    setup: Setup
    address: PlaneAddress
    region: Box | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what is looked at."""
        return self.region.shape if self.region else self.setup.source.plane_shape(self.address)


@dataclass(frozen=True, eq=False)
class Found:
    """A result and the Labels layer that shows it."""

    layer: str
    place: Place
    liked: Liked


class Liking:
    """Finds what is like the examples."""

    def __init__(self, bench: Bench, collecting: Collecting) -> None:
        self._bench, self._state, self._collecting = bench, bench.state, collecting
        self._found: list[Found] = []
        self._classes: dict[int, ObjectClass] = {}
        self._rewriting = False

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the slider acts on."""
        return tuple(found.layer for found in self._found)

    def run(self) -> None:
        """Search where the user wants, after the examples that are switched on."""
        if not self._state.tuned:
            self._collecting.add_if_empty()
        if not (self._state.enabled or self._state.tuned):
            raise ModelError("no example is switched on", todo="Tick one in the list")
        places = self._places()
        go_on = self._search if not self._state.tuned else self._recall
        shape = max((place.shape for place in places), key=lambda shape: shape[0] * shape[1])
        kinds = 1 if self._state.one_kind else len(self._state.classes)
        work = Work(shape, len(places), examples=len(self._state.enabled), kinds=kinds)
        self._bench.when_agreed(places[0].setup, work, lambda: go_on(places))

    def _places(self) -> list[Place]:
        bench, session = self._bench, self._bench.session
        if self._state.where == "images":
            return [self._other(key) for key in self._other_images()]
        address = bench.scene.address(session.images)
        region = bench.stage.view_box(session.images) if self._state.where == "view" else None
        return [Place(session.images, bench.setup, address, region)]

    def _other_images(self) -> tuple[str, ...]:
        known = {choice.key for choice in self._bench.session.image_choices}
        chosen = tuple(key for key in self._state.other_images if key in known)
        if not chosen:
            raise PromptError("no other image is chosen", todo="Tick images in the list")
        return chosen

    def _other(self, image: str) -> Place:
        """Return the plane on show of another image, its first one if it is not on show."""
        session, scene = self._bench.session, self._bench.scene
        source = scene.open_source((image,), "sampled")
        setup = Setup(source, session.model, session.device)
        try:
            address = scene.address((image,))
        except DittoError:
            address = source.plane()
        return Place((image,), setup, address)

    def _recall(self, places: list[Place]) -> None:
        """Fetch the tuned prompt first."""
        jobs, name = self._bench.jobs, self._state.tuned
        setup = places[0].setup
        self._bench.desk.run(
            f"reading {name}",
            lambda: jobs.load_tuned(setup, name),
            lambda tuned: self._search(places, tuned.memory, one_kind=tuned.instances),
        )

    def _search(
        self, places: list[Place], memory: Memory | None = None, *, one_kind: bool | None = None
    ) -> None:
        """Search one place after the other; a new run begins a new set of results."""
        before = {(f.place.images, f.place.address): f for f in self._present()}
        self._found, self._state.found = [], ""
        self._classes = classes_of(self._state.rows, self._bench.labelling.tables)
        if one_kind is not None:
            self._state.one_kind = one_kind  # a tuned prompt is for what it was tuned for
        self._next(places, memory, self._state.enabled, before)

    def _next(
        self,
        places: list[Place],
        memory: Memory | None,
        examples: tuple[PlaneExample, ...],
        before: dict[tuple[tuple[str, ...], PlaneAddress], Found],
    ) -> None:
        if not places:
            return
        place, *rest = places
        jobs, state = self._bench.jobs, self._state
        old = before.get((place.images, place.address))
        one_kind, threshold = state.one_kind, state.threshold

        def done(liked: Liked) -> None:
            self._show(place, liked, old)
            self._collecting.weigh(examples, liked.similarity)
            self._next(rest, memory, examples, before)

        self._bench.desk.run(
            "looking for more like this",
            lambda: jobs.like(
                place.setup, examples, place.address, place.region, threshold,
                one_kind=one_kind, memory=memory, before=old.liked if old else None,
            ),
            done,
        )  # fmt: skip

    def _show(self, place: Place, liked: Liked, old: Found | None) -> None:
        stage = self._bench.stage
        if old is not None and stage.name(old.layer):
            layer = old.layer
        else:
            layer = stage.add_result(place.images, place.setup.source, liked.store, NAME)
            self._bench.labelling.note_layers("more like this", layer)
        self._describe(layer, liked)
        self._found.append(Found(layer, place, liked))
        self._state.has_result = True
        self._tell()

    def _describe(self, layer: str, liked: Liked) -> None:
        """Put what is known of the objects beside their labels, and draw these again."""
        self._bench.labelling.tables.put(layer, found_objects(liked, self._classes))
        self._bench.stage.describe_labels(layer, liked.ids, liked.scores, liked.model)

    def _tell(self) -> None:
        if not self._found:
            return
        if not self._found[0].liked.result.instances:
            classes = {c for found in self._found for c in found.liked.ids}
            self._state.found = "1 class" if len(classes) == 1 else f"{len(classes)} classes"
            return
        shown = sum(len(found.liked.ids) for found in self._found)
        objects = [mask for found in self._found for mask in found.liked.result.objects]
        hidden = sum(mask.score < self._state.threshold for mask in objects)
        text = f"{shown} {'object' if shown == 1 else 'objects'}"
        fewer = f", {hidden} less sure are hidden" if hidden else ""
        self._state.found = text + fewer if objects else NOTHING_FOUND

    # --- the slider ------------------------------------------------------------------------------

    def choose_threshold(self, threshold: float) -> None:
        """Show what is at least so sure; the newest value wins while one is being shown."""
        self._state.threshold = threshold
        self._found = self._present()
        if self._found and not self._rewriting:
            self._rewrite(0, threshold)

    def _rewrite(self, number: int, threshold: float) -> None:
        self._rewriting = True
        jobs, found = self._bench.jobs, self._found[number]

        def done(liked: Liked) -> None:
            self._rewriting = False
            if number >= len(self._found) or self._found[number] is not found:
                return  # another search has begun
            self._describe(found.layer, liked)
            self._found[number] = Found(found.layer, found.place, liked)
            if number + 1 < len(self._found):
                self._rewrite(number + 1, threshold)
            else:
                self._tell()
                if self._state.threshold != threshold:
                    self._rewrite(0, self._state.threshold)

        def failed(error: DittoError) -> None:
            self._rewriting = False
            self._bench.desk.fail(error)

        liked = found.liked
        self._bench.desk.run(
            "choosing by confidence",
            lambda: jobs.above(liked, threshold),
            done,
            failed,
            cancellable=False,
        )

    def _present(self) -> list[Found]:
        """Return the results whose layers are still there."""
        return [found for found in self._found if self._bench.stage.name(found.layer)]

    def on_layers_changed(self) -> None:
        """Forget results whose layers are gone."""
        if not self._rewriting:
            self._found = self._present()
        self._state.has_result = bool(self._present())
        if not self._state.has_result:
            self._state.found = ""
