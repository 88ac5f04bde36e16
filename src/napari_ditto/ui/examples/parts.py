"""Everything behind the dock of examples, as one part of the controller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from napari_ditto.ui.desk import Desk
from napari_ditto.ui.examples.bench import Asking, Bench
from napari_ditto.ui.examples.collecting import Collecting
from napari_ditto.ui.examples.following import Following
from napari_ditto.ui.examples.jobs import ExampleJobs
from napari_ditto.ui.examples.liking import Liking
from napari_ditto.ui.examples.reviewing import Reviewing
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.examples.state import ExamplesState, resolve_examples
from napari_ditto.ui.examples.tracking import Tracking
from napari_ditto.ui.examples.tuning import Tuning
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import Proposing

SETTINGS = frozenset(
    {"one_kind", "only_selected", "where", "other_images", "tuned", "kind", "into", "keep_fixed"}
    | {"first", "last"}
)
"""Fields of the session that the dock sets as they are."""

KEPT: Mapping[str, tuple[object, ...]] = {
    "one_kind": (False, True),
    "only_selected": (False, True),
    "keep_fixed": (False, True),
    "where": ("view", "plane", "images"),
    "kind": ("objects", "cells"),
    "into": ("same", "new"),
}
"""Settings that a saved session keeps, and what they can be."""


class Examples:
    """Collects examples, and finds, follows and reviews what is like them.

    Parameters
    ----------
    desk, proposing, prompting, labelling
        Parts of the controller.
    asking : Asking
        Who puts questions to the user.
    arm, interrupt : callable
        Puts the points tool into the user's hand; drops what is running.
    """

    def __init__(
        self,
        desk: Desk,
        proposing: Proposing,
        prompting: Prompting,
        labelling: Labelling,
        asking: Asking,
        arm: Callable[[], None],
        interrupt: Callable[[], None],
    ) -> None:
        self.state = ExamplesSession()
        self._is_open = False
        self._bench = bench = Bench(
            desk, self.state, ExampleJobs(desk.workshop),
            proposing, prompting, labelling, asking, interrupt,
        )  # fmt: skip
        self._collecting = Collecting(bench, self._watch)
        self._liking = Liking(bench, self._collecting)
        self._following = Following(bench, self._collecting)
        self._tracking = Tracking(bench, self._collecting, self._following)
        self._reviewing = Reviewing(bench, self._following, self._collecting, arm)
        self._tuning = Tuning(bench, self._collecting)
        self._choices: Mapping[str, Callable[..., None]] = {
            "threshold": self._liking.choose_threshold,
            "axis": self._following.choose_axis,
            "use_drawing": self._collecting.use_drawing,
            "example": lambda change: self._collecting.change(*change),
            "remove_example": self._collecting.remove,
            "renew_example": self._collecting.renew,
            "doubt": self._reviewing.go,
            "position": self._reviewing.go_to_position,
        }
        actions: Mapping[str, Callable[[], None]] = {
            "add_example": self._collecting.add,
            "draw_example": self._collecting.draw,
            "save_examples": self._collecting.save,
            "load_examples": self._collecting.load,
            "like": self._liking.run,
            "follow": self._follow,
            "tune": self._tuning.run,
            "export_tracks": self._tracking.export,
            "next_doubt": self._reviewing.next,
            "accept_doubt": self._reviewing.accept,
            "fix_doubt": self._reviewing.fix,
            "delete_doubt": self._reviewing.delete,
        }
        self.actions = {name: partial(self._act, name, call) for name, call in actions.items()}
        bench.stage.labels_edited.connect(self._on_edited)
        labelling.written.connect(self._on_written)

    @property
    def shown(self) -> ExamplesState:
        """What the dock draws."""
        return resolve_examples(self._bench.session, self.state)

    def open(self) -> None:
        """Begin to keep axes and lists up to date: a dock shows them now."""
        self._is_open = True
        self.refresh()

    def takes(self, field: str) -> bool:
        """Whether a choice in a dock is ours."""
        return field in SETTINGS or field in self._choices

    def choose(self, field: str, value: object) -> None:
        """Take over a setting, or what was done to a row, a doubt, or the curve."""
        if field in SETTINGS:
            setattr(self.state, field, value)
        else:
            self._choices[field](value)

    def kept(self) -> dict[str, object]:
        """Return the settings that a saved session keeps."""
        return {name: getattr(self.state, name) for name in KEPT}

    def put_back(self, kept: Mapping[str, object]) -> None:
        """Take over the settings of a saved session; what makes no sense is left out."""
        for name, choices in KEPT.items():
            if kept.get(name) in choices:
                setattr(self.state, name, kept[name])

    def open_set(self, path: Path) -> None:
        """Take the examples of a file in the place of those in the list."""
        self.state.rows = ()
        self._collecting.load_from(path)

    def _act(self, name: str, call: Callable[[], None]) -> None:
        """Do what a key or a menu asks for, unless the button would not; the dock may be closed."""
        if not self._is_open:
            self.open()
        button = self.shown.buttons[name]
        self._bench.session.hint = "" if button.enabled else button.why
        if button.enabled:
            call()

    def _follow(self) -> None:
        run = self._tracking.run if self.state.kind == "cells" else self._following.run
        run()
        self._watch()

    def cancelled(self) -> None:
        """Keep what had been followed when the user cancelled."""
        self._following.cancelled()
        self._tracking.cancelled()

    # --- what the viewer does --------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the plane on show and at the layers that are left."""
        if not self._is_open:
            return
        self._following.look()
        self._following.on_layers_changed()
        self._tracking.on_layers_changed()
        self._liking.on_layers_changed()
        self._collecting.compare()
        known = {choice.key for choice in self._bench.session.image_choices}
        self.state.other_images = tuple(k for k in self.state.other_images if k in known)
        self._watch()

    def plane_changed(self) -> None:
        """Bring the curve's cursor and the frame round a doubt up to date."""
        if self._is_open:
            self._following.look()
            self._reviewing.point_out()

    def model_ready(self) -> None:
        """List what is tuned for the model that has been loaded."""
        if self._is_open:
            self._tuning.list_for_model()

    def _watch(self) -> None:
        layers = [row.layer for row in self.state.rows if row.layer]
        layers += [*self._following.layers, *self._liking.layers]
        self._bench.stage.watch(tuple(dict.fromkeys(layers)))

    def _on_edited(self, layer: str) -> None:
        self._bench.desk.guarded(lambda: self._edited(layer))

    def _edited(self, layer: str) -> None:
        self._collecting.compare(layer)
        self._reviewing.on_edited(layer)

    def _on_written(self, layer: str) -> None:
        if self._is_open:
            self._bench.desk.guarded(lambda: self._collecting.compare(layer))
            self._watch()
