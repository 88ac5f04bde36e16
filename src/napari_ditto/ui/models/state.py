"""What the dock "Ditto models" shows: a list, and one model in full. No Qt; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from napari_ditto.models.catalogue import about
from napari_ditto.models.manifest import manifest
from napari_ditto.models.registry import ModelEntry
from napari_ditto.models.speed_check import Speed, remembered
from napari_ditto.models.verification import known_hash
from napari_ditto.models.weights import begun, folder_of, locate

Place = Literal["package", "here", "shared", "own", "gone", "begun", "gated", "absent"]
"""In the package; fetched by us; in the cache of Hugging Face; the user's own, or what was; begun;
to be fetched by hand; to be fetched."""

_NOW, _FETCH, _OTHER = "Work now, without internet", "To download", "To get yourself"
_GROUPS: Mapping[Place, str] = {
    "package": _NOW,
    "here": _NOW,
    "shared": _NOW,
    "own": _NOW,
    "gone": _OTHER,
    "begun": _FETCH,
    "gated": _OTHER,
    "absent": _FETCH,
}
_HERE = {"package", "here", "shared", "own"}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of the list.

    Attributes
    ----------
    id, title : str
        Its name, and one for people.
    group : str
        Under which heading it is listed: what must be done before it works.
    offline : bool
        Whether it works without a network, that is: now.
    chosen : bool
        Whether it is the one that answers.
    figure : str
        Time for a tile on this machine once it was measured; the size of what is to download.
    """

    id: str
    title: str
    group: str
    offline: bool
    chosen: bool
    figure: str


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """One model in full; what is not a text is whether something can be done.

    Attributes
    ----------
    use_label, get_label : str
        What the buttons say that choose and fetch it; ``""`` where there is nothing to fetch.
    """

    id: str
    title: str
    badge: str
    good_at: str
    less_good_at: str
    evidence: str
    figures: tuple[tuple[str, float, float], ...]
    reads: str
    size: str
    licence: str
    source: str
    citation: str
    bibtex: str
    hash: str
    speed: str
    here: bool
    can_use: bool
    use_label: str
    get_label: str
    can_get: bool
    can_discard: bool
    can_remove: bool
    can_verify: bool
    can_measure: bool


@dataclass(frozen=True, slots=True)
class ModelsState:
    """What the dock shows.

    Attributes
    ----------
    rows : tuple of ModelRow
        All models.
    details : ModelDetails or None
        The selected one.
    never_online, forced_offline : bool
        Whether the user, or the environment, forbids the network.
    working : str
        What is being done, ``""`` for nothing.
    fraction : float or None
        Part done; None where it cannot be known.
    note : str
        What came of what was asked last.
    trouble : bool
        Whether that is an error.
    """

    rows: tuple[ModelRow, ...] = ()
    details: ModelDetails | None = None
    never_online: bool = False
    forced_offline: bool = False
    working: str = ""
    fraction: float | None = None
    note: str = ""
    trouble: bool = False


def place_of(entry: ModelEntry) -> Place:
    """Return where a model is."""
    if entry.added:
        return "own" if entry.installed else "gone"
    published = manifest().get(entry.id)
    if published is None:
        return "package"
    found = locate(published)
    if found is not None:
        return "here" if found.path == folder_of(published) else "shared"
    if entry.gated:
        return "gated"
    return "begun" if begun(published) else "absent"


def row_of(entry: ModelEntry, chosen: str) -> ModelRow:
    """Return a model's line of the list."""
    place, speed = place_of(entry), _speed_of(entry)
    quick = _time(speed.encode_ms) if speed else ""
    size = megabytes(entry.size_bytes) if entry.size_bytes else ""
    here = place in _HERE
    return ModelRow(
        entry.id, entry.title, _GROUPS[place], here, entry.id == chosen, quick if here else size
    )


def details_of(entry: ModelEntry, *, busy: bool, chosen: str, checked: str = "") -> ModelDetails:
    """Return a model in full.

    Parameters
    ----------
    entry : ModelEntry
        The model.
    busy : bool
        Whether something is being done already.
    chosen : str
        The model that answers.
    checked : str
        What came of checking its hash.
    """
    place, told = place_of(entry), about(entry)
    here = place in _HERE
    return ModelDetails(
        id=entry.id,
        title=entry.title,
        badge=_badge(place),
        good_at=told.good_at,
        less_good_at=told.less_good_at,
        evidence=told.evidence,
        figures=told.figures,
        reads=told.reads,
        size=_size(entry, place),
        licence=entry.licence,
        source=entry.source,
        citation=told.citation,
        bibtex=told.bibtex,
        hash=checked or _hash(entry),
        speed=_speed(_speed_of(entry), _ASKED.get(entry.family, "click")),
        here=here,
        can_use=here and entry.id != chosen,
        use_label="In use" if entry.id == chosen else "Use this one",
        get_label={"absent": "Download", "begun": "Go on downloading"}.get(place, ""),
        can_get=place in ("absent", "begun") and not busy,
        can_discard=place == "begun" and not busy,
        can_remove=place in ("here", "own", "gone") and not busy,
        can_verify=here and not busy and entry.id != "classic",
        can_measure=here and not busy,
    )


def listed(entries: Sequence[ModelEntry], chosen: str) -> tuple[ModelRow, ...]:
    """Return the list, group by group: what works now first."""
    order = (_NOW, _FETCH, _OTHER)
    rows = [row_of(entry, chosen) for entry in entries]
    return tuple(sorted(rows, key=lambda row: order.index(row.group)))


def _badge(place: Place) -> str:
    return {
        "gone": "Its files are not where they were: add it again, or remove it from the list.",
        "begun": "A download was begun: go on with it, or throw away what is here.",
        "gated": "Not to be downloaded from here: accept its licence on its page, get all its "
        "files into one folder, then press Add a folder.",
        "absent": "Needs the internet once, to download it. Afterwards it works without.",
    }.get(place, "Works without internet. Your images never leave this computer.")


def _size(entry: ModelEntry, place: Place) -> str:
    if place == "package":
        return "nothing to download"
    size = megabytes(entry.size_bytes) if entry.size_bytes else "not known"
    published = manifest().get(entry.id)
    if place == "begun" and published:
        return f"{size}, {megabytes(begun(published))} of it here"
    return f"{size}, in the cache of Hugging Face" if place == "shared" else size


def _hash(entry: ModelEntry) -> str:
    known = known_hash(entry.id)
    if known.by in ("no weights", "nobody"):
        return {
            "no weights": "has no weights",
            "nobody": "no hash was published; that of the first download will bind later ones",
        }[known.by]
    return f"{known.sha256[:16]}…  ({_WHO[known.by]})"


_WHO = {
    "package": "comes with Ditto",
    "published": "published",
    "first fetched": "of the first download; none was published",
    "when added": "when you added it",
}


def _speed_of(entry: ModelEntry) -> Speed | None:
    return remembered(entry.id, known_hash(entry.id).sha256)


_ASKED = {"seggpt": "example", "sam3": "word"}
"""What such models are asked with; the others with clicks."""


def _speed(speed: Speed | None, asked: str) -> str:
    if speed is None:
        return "not measured yet"
    memory = speed.gpu_bytes or speed.memory_bytes
    takes = f"; {megabytes(memory)} of memory" if memory else ""
    return (
        f"{_time(speed.encode_ms)} to look at a new piece of the image ({speed.tile} px), "
        f"then {_time(speed.decode_ms)} for each {asked}{takes}; on {speed.device}, "
        f"{speed.measured[:10]}"
    )


def _time(milliseconds: float) -> str:
    seconds = milliseconds / 1000
    if seconds < 0.995:
        return f"{milliseconds:.0f} ms"
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"


def megabytes(nbytes: int) -> str:
    """Return a size for people."""
    return f"{nbytes / 1e9:.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.0f} MB"
