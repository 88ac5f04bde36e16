"""Labels drawn in the colours of their classes, for many objects without a pause.

napari checks and sorts every entry of a direct colormap, 0.8 s for 50,000 objects. That is done in
the background, and tried out there on one pixel, so that what it keeps is ready when it is shown.
New objects have the colour of the class that they get, so that nothing is made anew for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.data.object_records import NO_CLASS
from napari_ditto.errors import DittoError

Colors = Any
"""A ``napari.utils.colormaps.DirectLabelColormap``."""

WITHOUT_CLASS = "#b0b0b0"


@dataclass(frozen=True, eq=False)
class ClassColors:
    """Which colours the objects of a layer have.

    Attributes
    ----------
    ids, classes : ndarray of int64, shape (n,)
        Objects, sorted, and their classes.
    palette : mapping of int to str
        ``"#rrggbb"`` by class; those of no class are grey.
    others : int
        The class in whose colour all other objects are drawn: that of the next one.
    """

    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    palette: Mapping[int, str]
    others: int = NO_CLASS

    def shows(self, wanted: ClassColors) -> bool:
        """Whether all objects of another value are drawn as that says, too."""
        if dict(self.palette) != dict(wanted.palette):
            return False
        at = np.minimum(np.searchsorted(self.ids, wanted.ids), max(0, self.ids.size - 1))
        known = self.ids[at] == wanted.ids if self.ids.size else np.zeros(wanted.ids.size, bool)
        drawn = np.full(wanted.ids.size, self.others)
        drawn[known] = self.classes[at[known]]
        return bool((drawn == wanted.classes).all())

    def color(self, class_id: int) -> NDArray[np.float64]:
        """Return the colour of a class."""
        return rgba(self.palette.get(class_id, WITHOUT_CLASS))


def make_colors(wanted: ClassColors, dtype: np.dtype[Any]) -> Generator[Progress, None, Colors]:
    """Return colours for labels of a type.

    Raises
    ------
    DittoError
        If napari cannot draw ids as high as these in chosen colours.
    """
    from napari.utils.colormaps import DirectLabelColormap

    yield Progress("read", text="colouring classes")
    others = wanted.color(wanted.others)
    colors: defaultdict[int | None, NDArray[np.float64]] = defaultdict(lambda: others)
    # napari takes a map of nothing but background and others for none at all.
    colors |= {None: others, 0: np.zeros(4), int(np.iinfo(dtype).max): others}
    for class_id in np.unique(wanted.classes).tolist():
        if class_id != wanted.others:
            ids = wanted.ids[wanted.classes == class_id].tolist()
            colors |= dict.fromkeys(ids, wanted.color(class_id))
    yield Progress("read", text="colouring classes")
    made = DirectLabelColormap(color_dict=colors, background_value=0)
    yield Progress("read", text="colouring classes")
    try:
        made.map(np.zeros((1, 1), dtype=dtype))
    except RuntimeError as error:
        raise DittoError(
            "napari cannot colour ids above 65,536 by class without numba",
            todo="Install numba, or renumber the objects",
        ) from error
    return made


def rgba(color: str) -> NDArray[np.float64]:
    """Return ``"#rrggbb"`` as four numbers from 0 to 1."""
    return np.array([*(int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0])
