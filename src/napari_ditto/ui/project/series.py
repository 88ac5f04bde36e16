"""An image series in the window: next, previous, done; model, classes and examples stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_ditto.data.series import Item, Series, list_images, series_of
from napari_ditto.data.session_layers import SessionPrompts
from napari_ditto.errors import DittoError, SourceError
from napari_ditto.ui.parts import Tools
from napari_ditto.ui.project.opening import Opened, Showing, moved_steps
from napari_ditto.ui.project.saving import Sources, labels_entry
from napari_ditto.ui.project.series_jobs import Arrived, Leaving, arrive_steps, leave_steps
from napari_ditto.ui.session import NEW_LABELS

KEEP_PLACE = "Save the session to come back to this place later"


class SeriesWalk:
    """Walks through a series, one image at a time in the viewer.

    Parameters
    ----------
    tools : Tools
        Of the controller.
    sources : Sources
        Where entries of layers come from.
    changed : callable
        Called when the series has changed.
    save : callable
        Saves the session, if there is one.
    """

    def __init__(
        self,
        tools: Tools,
        sources: Sources,
        changed: Callable[[], None],
        save: Callable[[], None],
    ) -> None:
        self._tools, self._sources = tools, sources
        self._changed, self._save = changed, save
        self.series: Series | None = None
        self._image = ""
        self._others = frozenset[str]()  # labels that do not belong to the image on show
        self._stored: dict[str, list[str]] = {}  # labels of layers that stay open, target first
        self._is_going = False

    # --- which images ----------------------------------------------------------------------------

    def choose_folder(self) -> None:
        """Begin with the images of a folder that the user chooses."""
        chosen = self._tools.ask.ask_folder("Images of a series")
        if chosen:
            self.begin(list_images(chosen))

    def begin(self, paths: Sequence[Path]) -> None:
        """Begin with some files, or the images of one folder."""
        one = paths[0] if len(paths) == 1 else None
        files = list_images(one) if one and one.is_dir() and one.suffix != ".zarr" else paths
        self._start(series_of(files))

    def begin_layers(self, layers: Sequence[str] = ()) -> None:
        """Begin with image layers that are open; all of them if none are named."""
        stage = self._sources.stage
        chosen = [stage.image(key)[0] for key in layers or stage.images()]
        if not chosen:
            raise SourceError("there are no images", todo="Open some first")
        self._start(Series(tuple(Item(e.path, e.key, e.name) for e in chosen)))

    def choose_labels(self, folder: str) -> None:
        """Let labels go to a folder from now on, ``""`` for beside each image."""
        if self.series is not None:
            self.series = replace(self.series, folder=folder)
            self._changed()

    def _start(self, series: Series) -> None:
        if self.series is None:
            self._begin(lambda: self._arrive(series))
        else:
            self._begin(lambda: self._leave(lambda left: self._arrive(series)))

    def end(self) -> None:
        """Let the series go; the image that is shown stays."""
        self.series, self._image = None, ""
        self._changed()

    # --- going on --------------------------------------------------------------------------------

    def next(self) -> None:
        """Go on to the next image; this one is done if anything is labelled on it."""
        self._go(self.series.next if self.series else None, done=True)

    def previous(self) -> None:
        """Go back to the image before."""
        self._go(self.series.previous if self.series else None)

    def next_undone(self) -> None:
        """Go on to the next image that is not done."""
        self._go(self.series.next_undone if self.series else None, done=True)

    def toggle_done(self) -> None:
        """Mark the image as done, or as not done."""
        if self.series is not None:
            at = self.series.current
            self.series = self.series.change(at, done=not self.series.item.done)
            self._changed()

    def _go(self, to: int | None, done: bool = False) -> None:
        if self.series is None:
            raise SourceError("there is no series", todo="Choose a folder of images first")
        if to is None:
            self._tools.session.hint = f"{self.series.progress}: there is no further image"
            return
        self._begin(lambda: self._leave(lambda series: self._arrive(series.go(to)), done))

    def _begin(self, go: Callable[[], None]) -> None:
        """Go once all that was accepted is written; a second press on the way is not heard."""
        if not self._is_going:
            self._is_going = True
            self._tools.labelling.after_writes(lambda: self._try(go))

    def _try(self, go: Callable[[], None]) -> None:
        try:
            go()
        except DittoError as error:
            self._stay(error)

    def _stay(self, error: DittoError) -> None:
        self._is_going = False
        self._tools.desk.fail(error)

    def cancelled(self) -> None:
        """Stay where we are."""
        self._is_going = False

    def _leave(self, then: Callable[[Series], None], done: bool = False) -> None:
        """Save what is labelled on the image that is shown; nothing is closed before that."""
        series, leaving = self.series, self._leaving()
        if series is None:
            return
        if leaving is None:
            then(series)
            return
        is_done = series.item.done or (done and leaving.has_labels)

        def left(parked: object) -> None:
            then(series.change(series.current, parked=parked, done=is_done))

        self._tools.desk.run("saving the labels", lambda: leave_steps(leaving), left, self._stay)

    def _leaving(self) -> Leaving | None:
        """Return what is on the image that is shown, None if that was closed.

        Raises
        ------
        LabelsError
            If there are labels that cannot be saved: they are not to be closed.
        """
        stage, series = self._sources.stage, self.series
        if series is None or not stage.has(self._image):
            return None
        entry, levels = stage.image(self._image)
        labels = []
        for key in self._label_layers():
            found, store = labels_entry(self._sources, key)
            labels.append((found, store, self._sources.labelling.tables.of(key)))
        return Leaving(entry, levels, tuple(labels), series.labels_path(series.current))

    def _label_layers(self) -> list[str]:
        """Return the Labels layers of the image that is shown, the target first."""
        session, stage = self._tools.session, self._sources.stage
        keys = [choice.key for choice in session.target_choices if stage.has(choice.key)]
        ours = [key for key in keys if key not in self._others]
        return sorted(ours, key=lambda key: key != session.target)

    def _set_labels(self, keys: Sequence[str]) -> None:
        """Take note of the labels of the image that is shown, the target first."""
        session = self._tools.session
        session.target_choices = self._tools.scene.target_choices()
        self._others = frozenset(choice.key for choice in session.target_choices) - set(keys)
        session.target = keys[0] if keys else NEW_LABELS

    def _arrive(self, series: Series) -> None:
        """Open the image that is to be shown, and then close the one before."""
        item = series.item
        if item.layer and self._sources.stage.has(item.layer):
            self._show_layer(series)
            return
        labels = series.labels_path(series.current)
        self._tools.desk.run(
            f"opening {item.title}",
            lambda: arrive_steps(Path(item.path), labels, item.parked),
            lambda arrived: self._show(series, arrived),
            lambda error: self._skipped(series, error),
        )

    def _skipped(self, series: Series, error: DittoError) -> None:
        """Stay in the series although an image cannot be opened."""
        self._close()
        self.series, self._image = series, ""
        self._changed()
        self._stay(error)

    def _show_layer(self, series: Series) -> None:
        session, layer = self._tools.session, series.item.layer
        stage = self._sources.stage
        if self._image:
            self._stored[self._image] = self._label_layers()
        self._clear_prompts()
        stage.show_image(layer)
        session.images, self._image = (layer,), layer
        self._set_labels([key for key in self._stored.get(layer, ()) if stage.has(key)])
        self._settle(series, "")

    def _show(self, series: Series, arrived: Arrived) -> None:
        tools, stage, session = self._tools, self._sources.stage, self._tools.session
        armed = stage.armed()
        self._close()
        self._image = stage.add_file(arrived.file)
        session.images = (self._image,)
        session.image_choices = tools.scene.image_choices()
        targets = []
        for entry, store, table in arrived.labels:
            key = stage.add_labels(entry, store, (self._image,))
            self._sources.log.put(key, moved_steps(entry, {arrived.image: self._image}))
            self._sources.labelling.tables.put(key, table)
            targets.append(key)
        self._set_labels(targets)
        stage.show_image(self._image)
        self._settle(series, armed)
        session.error = ". ".join(arrived.notes)

    def _settle(self, series: Series, armed: str) -> None:
        """Let everything know of the image that is shown now."""
        first, self.series, self._is_going = self.series is None, series, False
        self._tools.proposing.start_over()
        if armed:
            self._tools.act("new_points" if armed == "points" else "new_boxes")
        self._changed()
        self._tools.session.hint = f"{series.item.title}: {series.progress}"
        if first:
            self._tools.session.hint += f". {KEEP_PLACE}"
        self._save()

    def _close(self) -> None:
        """Take the image that was shown, and all that is on it, out of the viewer."""
        stage = self._sources.stage
        if self._image and not (self.series and self.series.item.layer == self._image):
            gone = [*self._label_layers(), *self._our_prompts(), self._image]
            for key in gone:
                self._sources.log.forget(key)
            stage.remove(gone)
        self._image = ""

    def _our_prompts(self) -> list[str]:
        prompts: tuple[SessionPrompts, ...] = self._sources.stage.prompts(())
        return [entry.key for entry in prompts if entry.image == self._image]

    def _clear_prompts(self) -> None:
        self._sources.stage.remove(self._our_prompts())

    # --- sessions --------------------------------------------------------------------------------

    def put_back(self, opened: Opened, showing: Showing) -> None:
        """Go on with the series of a session that was opened."""
        self.series, self._stored = opened.series, {}
        chosen = opened.record.chosen[:1]
        self._image = showing.keys.get(chosen[0], "") if chosen and opened.series else ""
        if self.series is not None:
            choices = self._tools.scene.target_choices()
            self._others = frozenset(c.key for c in choices) - set(showing.keys.values())
