"""An image series: files in order, each with labels of its own, and which of them are done.

Pure but for :func:`list_images`; every change makes a new series.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_ditto.data.checked import Facts, Misfit
from napari_ditto.errors import SourceError

SUFFIXES = (
    *(".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".zarr", ".npy"),
    *(".lsm", ".stk", ".jp2"),
)
"""How names of files end that are taken from a folder."""

LABELS = ".labels.ome.zarr"
"""What is put behind an image's name for its labels."""

MAX_ITEMS = 100_000


@dataclass(frozen=True)
class Item:
    """One image of a series.

    Attributes
    ----------
    path : str
        Where it lies, ``""`` for a layer that is on no disk.
    layer : str
        Unique id of a layer that stays in the viewer, ``""`` for a file.
    name : str
        Of the layer.
    done : bool
        Whether the user is through with it.
    parked : mapping
        What a session keeps of it while another image is shown.
    """

    path: str = ""
    layer: str = ""
    name: str = ""
    done: bool = False
    parked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the user reads."""
        return self.name or Path(self.path).name


@dataclass(frozen=True)
class Series:
    """Images in order.

    Attributes
    ----------
    items : tuple of Item
        At least one.
    current : int
        Which is shown.
    folder : str
        Where labels go, ``""`` for beside each image.
    """

    items: tuple[Item, ...]
    current: int = 0
    folder: str = ""

    @property
    def item(self) -> Item:
        """The image that is shown."""
        return self.items[self.current]

    @property
    def done(self) -> int:
        """How many are done."""
        return sum(item.done for item in self.items)

    @property
    def progress(self) -> str:
        """``"12 of 40 done"``."""
        return f"{self.done} of {len(self.items)} done"

    @property
    def next(self) -> int | None:
        """The one after the one that is shown, None at the end."""
        return self.current + 1 if self.current + 1 < len(self.items) else None

    @property
    def previous(self) -> int | None:
        """The one before, None at the beginning."""
        return self.current - 1 if self.current else None

    @property
    def next_undone(self) -> int | None:
        """The next one that is not done, round the end; None if all the others are."""
        count = len(self.items)
        ways = ((self.current + step) % count for step in range(1, count))
        return next((at for at in ways if not self.items[at].done), None)

    def go(self, to: int) -> Series:
        """Return the series with another image shown."""
        if not 0 <= to < len(self.items):
            raise IndexError(to)
        return replace(self, current=to)

    def change(self, at: int, **changes: Any) -> Series:  # noqa: ANN401 - fields of an item
        """Return the series with one item changed."""
        items = list(self.items)
        items[at] = replace(items[at], **changes)
        return replace(self, items=tuple(items))

    def labels_path(self, at: int) -> Path | None:
        """Return where the labels of an image go, None for a layer on no disk."""
        item = self.items[at]
        if not item.path:
            return None
        path = Path(item.path)
        folder = Path(self.folder) if self.folder else path.parent
        same = [i for i, other in enumerate(self.items) if Path(other.path).name == path.name]
        # Files of one name from several folders, in one folder for labels.
        number = f"-{same.index(at) + 1}" if self.folder and len(same) > 1 else ""
        return folder / f"{stem(path)}{number}{LABELS}"

    def to_json(self) -> dict[str, Any]:
        """Return the series as JSON types; layers on no disk are left out."""
        rows = [
            {"path": item.path, "done": item.done, "parked": dict(item.parked)}
            for item in self.items
            if item.path
        ]
        before = sum(bool(item.path) for item in self.items[: self.current])
        current = min(before, max(0, len(rows) - 1))
        return {"items": rows, "current": current, "folder": self.folder} if rows else {}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Series | None:
        """Check and return a series, None for none; raises :class:`Misfit`."""
        facts = Facts(dict(told))
        rows = facts.rows("items", MAX_ITEMS)
        if not rows:
            return None
        items = tuple(
            Item(row.text("path"), done=row.flag("done"), parked=row.facts("parked").told)
            for row in rows
        )
        if not all(Path(item.path).is_absolute() and "://" not in item.path for item in items):
            raise Misfit("a path of the series is not absolute")
        return cls(items, facts.whole("current", 0, len(items) - 1), facts.text("folder", ""))


def series_of(paths: Iterable[Path | str], folder: Path | str = "") -> Series:
    """Return a series of files in the given order.

    Raises
    ------
    SourceError
        If there are none.
    """
    items = tuple(Item(str(Path(path).expanduser().absolute())) for path in paths)
    if not items:
        raise SourceError("there are no images", todo="Choose other files")
    return Series(items[:MAX_ITEMS], folder=str(folder))


def list_images(folder: Path | str) -> list[Path]:
    """Return the images of a folder in the order a person expects: 2 comes before 10.

    Labels that a series has written, and hidden files, are left out.

    Raises
    ------
    SourceError
        If there is no such folder, or no image in it.
    """
    home = Path(folder).expanduser()
    try:
        found = [path for path in home.iterdir() if _is_image(path)]
    except OSError as error:
        raise SourceError(
            f"the folder cannot be read: {error.strerror or error}", where=str(home)
        ) from error
    if not found:
        raise SourceError(
            "there are no images in this folder",
            where=str(home),
            todo=f"Names must end with {', '.join(SUFFIXES)}",
        )
    return sorted(found, key=natural)


def _is_image(path: Path) -> bool:
    name = path.name.lower()
    if name.startswith(".") or ".labels." in name or not name.endswith(SUFFIXES):
        return False
    return path.is_dir() if name.endswith(".zarr") else path.is_file()


def natural(path: Path) -> list[tuple[int, int | str]]:
    """Return a key that sorts numbers in names by their value."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def stem(path: Path) -> str:
    """Return the name of an image without its ending."""
    name = path.name
    for ending in (".ome.zarr", ".ome.tiff", ".ome.tif"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem
