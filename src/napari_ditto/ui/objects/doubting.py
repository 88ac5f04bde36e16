"""Going through accepted objects, the most doubtful first, with the keys of the review."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.core.propagation import Doubt
from napari_ditto.data.label_extent import label_extent
from napari_ditto.data.object_extents import Extents
from napari_ditto.engine import objects
from napari_ditto.engine.doubts import find_doubts
from napari_ditto.engine.objects import LabelImage
from napari_ditto.ui.job_values import Written
from napari_ditto.ui.objects.picking import Picking
from napari_ditto.ui.parts import Tools

Act = Callable[[], None]
KnownExtents = Callable[[str], Extents | None]

QUICK_PIXELS = 1 << 25
"""So many pixels of labels are looked through again after every change."""

LOST = 30
"""An object so many times smaller than the view is zoomed in on."""
CONTEXT = 2
"""Sides of the object that are shown on each side of it then."""

NO_DOUBTS = "Nothing speaks against any object of this layer"


class Doubting:
    """Shows one doubtful object after the other, as long as nothing that was followed waits.

    What was followed has a review list of its own (:class:`~napari_ditto.ui.examples.reviewing`),
    which the same keys work through first.
    """

    def __init__(self, tools: Tools, picking: Picking, extents: KnownExtents) -> None:
        self._tools, self._session, self._scene = tools, tools.session, tools.scene
        self._picking, self._extents = picking, extents
        self._layer = ""
        self._left: list[Doubt] = []
        self._settled: set[int] = set()
        self._current: Doubt | None = None
        self._is_stale, self._is_quick = True, False
        tools.labelling.written.connect(self._on_written)

    def actions(self, review: Mapping[str, Act]) -> dict[str, Act]:
        """Return what the keys of the review do, given what they do where one is open."""
        own = {
            "next_doubt": self.next,
            "accept_doubt": self.accept,
            "fix_doubt": self.fix,
            "delete_doubt": self.delete,
        }
        return {name: self._either(review[name], call) for name, call in own.items()}

    def _either(self, review: Act, own: Act) -> Act:
        return lambda: (review if self._tools.examples.state.doubts else own)()

    # --- going there -----------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next doubtful object; look for them first, and again where that is quick."""
        layer = self._picking.picked.layer or self._picking.target()
        if layer != self._layer:
            self._layer, self._settled, self._is_stale = layer, set(), True
        if self._current is not None:
            self._settled.add(self._current.label)
        if not self._is_stale:
            return self._show_next()
        image, plane = self._image(layer)
        self._is_quick = math.prod(image.store.shape) <= QUICK_PIXELS
        table, known = self._tools.labelling.tables.of(layer), self._extents(layer)
        self._tools.desk.run(
            "looking for doubtful objects",
            lambda: find_doubts(image, table, plane, known),
            self._take_over,
        )
        return None

    def _image(self, layer: str) -> tuple[LabelImage, PlaneAddress]:
        images, source = self._session.images, self._tools.proposing.setup().source
        store = self._scene.label_store(layer, source, images)
        return LabelImage(store, source.axes), self._scene.address(images)

    def _take_over(self, doubts: tuple[Doubt, ...]) -> None:
        self._is_stale = False
        self._left = [doubt for doubt in doubts if doubt.label not in self._settled]
        self._show_next()

    def _show_next(self) -> None:
        if not self._left:
            settled, self._settled, self._is_stale = len(self._settled), set(), True
            self._current = None
            self._picking.let_go()
            self._session.hint = "Nothing more is doubtful" if settled else NO_DOUBTS
            return
        doubt = self._left.pop(0)
        image, _ = self._image(self._layer)
        shape = self._tools.proposing.setup().source.plane_shape(doubt.address)
        self._tools.desk.run(
            "looking for the object",
            lambda: find_plane(image, doubt, shape),
            lambda found: self._go(doubt, *found),
        )

    def _go(self, doubt: Doubt, address: PlaneAddress, box: Box) -> None:
        if box.is_empty:
            return self._show_next()  # it has gone since
        images, stage = self._session.images, self._scene.stage
        self._current = doubt
        stage.go_to(images, address)
        view, side = stage.view_box(images), max(box.shape)
        if side * LOST < max(view.shape) or not view.covers(box):
            self._scene.runs.go_to_tile(images, address, box.grow(CONTEXT * side))
        left = f"{len(self._left)} more" if self._left else "the last one"
        reasons = ", ".join(doubt.reasons)
        self._picking.pick(self._layer, (doubt.label,), f"Object {doubt.label}: {reasons} ({left})")
        return None

    # --- deciding --------------------------------------------------------------------------------

    def accept(self) -> None:
        """Leave the object as it is, and go on."""
        self.next()

    def fix(self) -> None:
        """Arm the points: the next mask takes the place of the object, which is picked."""
        if self._picking.picked.one:
            self._tools.act("new_points")
        else:
            self.next()

    def delete(self) -> None:
        """Remove the object from all planes, and go on."""
        doubt, layer = self._current, self._layer
        if doubt is None:
            return self.next()
        image, _ = self._image(layer)

        def job() -> Generator[Progress, None, Written]:
            changed = yield from objects.delete(image, (doubt.label,))
            return Written(image.store, changed.deltas, became=changed.became, text="delete")

        self._tools.labelling.write_to(layer, job, self.next)
        return None

    def _on_written(self, layer: str) -> None:
        if layer == self._layer:
            self._is_stale |= self._is_quick


def find_plane(
    image: LabelImage, doubt: Doubt, shape: tuple[int, int]
) -> Generator[Progress, None, tuple[PlaneAddress, Box]]:
    """Return the plane nearest to the middle of an object that shows it, and where."""
    address, store = doubt.address, image.store
    around = Box.of_shape(shape)
    for step, near in enumerate(_outward(address, image)):
        if step % 10 == 0:
            yield Progress("read", text="looking for the object")
        box = label_extent(store, near, shape, doubt.label, around)
        if not box.is_empty:
            return near, box
    return address, Box(0, 0, 0, 0)


def _outward(address: PlaneAddress, image: LabelImage) -> Generator[PlaneAddress, None, None]:
    yield address
    if not address.fixed:
        return
    axis, middle = address.fixed[-1]
    size = image.store.shape[image.axes.index(axis)]
    for index in sorted(range(size), key=lambda i: abs(i - middle)):
        yield address.with_index({axis: index})
