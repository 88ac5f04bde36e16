"""What a session folder tells: layers, settings, view; as one value and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.data.series import Series
from napari_ditto.data.session_layers import (
    SessionImage,
    SessionLabels,
    SessionPrompts,
    SessionView,
    told_of,
)

FORMAT = "napari-ditto session"
VERSION = 1

MAX_LAYERS = 1000


@dataclass(frozen=True, eq=False)
class SessionRecord:
    """Everything that is in a session but pixels.

    Attributes
    ----------
    images, labels, prompts
        Layers.
    chosen : tuple of str
        Keys of the images whose channels are looked at.
    target : str
        Key of the labels that are written to, ``""`` for a new layer.
    used : tuple of str
        Keys of the layers that are read as prompts.
    settings : mapping
        Model, device and so on; checked by who uses them.
    parts : mapping
        What further capabilities keep, by their names.
    examples : str
        The file of the session with the examples, ``""`` if there are none.
    series : mapping
        An image series, empty if there is none.
    view : SessionView or None
        What the viewer showed.
    program : str
        Which version wrote it.
    """

    images: tuple[SessionImage, ...] = ()
    labels: tuple[SessionLabels, ...] = ()
    prompts: tuple[SessionPrompts, ...] = ()
    chosen: tuple[str, ...] = ()
    target: str = ""
    used: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Any] = field(default_factory=dict)
    examples: str = ""
    series: Mapping[str, Any] = field(default_factory=dict)
    view: SessionView | None = None
    program: str = ""

    @property
    def files(self) -> frozenset[str]:
        """Names of all files of the session that this speaks of."""
        named = [image.kept for image in self.images] + [labels.file for labels in self.labels]
        return frozenset(filter(None, (*named, self.examples)))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all layers."""
        images = [layer.key for layer in self.images]
        labels = [layer.key for layer in self.labels]
        return (*images, *labels, *(layer.key for layer in self.prompts))

    @property
    def steps(self) -> int:
        """How many objects were accepted after prompts."""
        return sum(len(labels.steps) for labels in self.labels)

    def image(self, key: str) -> SessionImage:
        """Return an image by its key; raises :class:`Misfit` if it is not in the session."""
        found = next((image for image in self.images if image.key == key), None)
        if found is None:
            raise Misfit("a step speaks of an image that is not in the session")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the session as JSON types."""
        lists = {
            name: [entry.to_json() for entry in getattr(self, name)]
            for name in ("images", "labels", "prompts")
        }
        view = self.view and self.view.to_json()
        told = told_of(self, **lists, chosen=list(self.chosen), used=list(self.used), view=view)
        return {"format": FORMAT, "version": VERSION, **told}

    @classmethod
    def from_json(cls, told: Facts) -> SessionRecord:
        """Check and return a session; raises :class:`Misfit` if it is none."""
        if told.told.get("format") != FORMAT:
            raise Misfit("it is no session")
        if told.told.get("version") != VERSION:
            raise Misfit(f"it is of version {told.told.get('version')!r:.20}, not {VERSION}")
        record = cls(
            tuple(SessionImage.from_json(row) for row in told.rows("images", MAX_LAYERS)),
            tuple(SessionLabels.from_json(row) for row in told.rows("labels", MAX_LAYERS)),
            tuple(SessionPrompts.from_json(row) for row in told.rows("prompts", MAX_LAYERS)),
            told.texts("chosen", 3),
            told.text("target"),
            told.texts("used", MAX_LAYERS),
            told.facts("settings").told,
            told.facts("parts").told,
            told.text("examples"),
            told.facts("series").told,
            SessionView.from_json(told.facts("view")) if "view" in told else None,
            told.text("program"),
        )
        if len(set(record.keys)) < len(record.keys):
            raise Misfit("two layers have the same key")
        return record


def with_files(record: SessionRecord, files: Mapping[str, str]) -> SessionRecord:
    """Return a record whose layers, by key, lie in these files of the session."""
    return replace(
        record,
        images=tuple(replace(i, kept=files.get(i.key, i.kept)) for i in record.images),
        labels=tuple(replace(x, file=files.get(x.key, x.file)) for x in record.labels),
    )


def with_parked(record: SessionRecord) -> SessionRecord:
    """Return a record with the images and labels of a series that are not shown, too.

    Raises
    ------
    Misfit
        If what is kept of one makes no sense.
    """
    series = Series.from_json(record.series)
    items = () if series is None else (*enumerate(series.items),)
    parked = [Facts(dict(x.parked)) for at, x in items if series and at != series.current]
    images = [SessionImage.from_json(p.facts("image")) for p in parked if "image" in p]
    labels = [SessionLabels.from_json(row) for p in parked for row in p.rows("labels", MAX_LAYERS)]
    return replace(record, images=(*record.images, *images), labels=(*record.labels, *labels))
