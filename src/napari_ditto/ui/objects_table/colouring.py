"""Labels drawn in the colours of their classes, for many objects without a pause.

napari checks and sorts every entry of a direct colormap, 0.8 s for 50,000 objects. That is done in
the background, and tried out there on one pixel, so that what it keeps is ready when it is shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.progress import Progress
from napari_ditto.errors import DittoError

Colors = Any
"""A ``napari.utils.colormaps.DirectLabelColormap``."""

WITHOUT_CLASS = "#b0b0b0"


@dataclass(frozen=True, eq=False)
class ClassColors:
    """Which colours a layer is to have.

    Attributes
    ----------
    ids, classes : ndarray of int64, shape (n,)
        Objects and their classes.
    palette : mapping of int to str
        ``"#rrggbb"`` by class.
    """

    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    palette: Mapping[int, str]

    def is_same(self, other: ClassColors | None) -> bool:
        """Whether two would look the same."""
        return (
            other is not None
            and dict(self.palette) == dict(other.palette)
            and np.array_equal(self.ids, other.ids)
            and np.array_equal(self.classes, other.classes)
        )


def make_colors(wanted: ClassColors, dtype: np.dtype[Any]) -> Generator[Progress, None, Colors]:
    """Return colours for labels of a type; those of no class are grey.

    Raises
    ------
    DittoError
        If napari cannot draw ids as high as these in chosen colours.
    """
    from napari.utils.colormaps import DirectLabelColormap

    yield Progress("read", text="colouring classes")
    colors: defaultdict[int | None, NDArray[np.float64]] = defaultdict(lambda: rgba(WITHOUT_CLASS))
    colors[None], colors[0] = rgba(WITHOUT_CLASS), np.zeros(4)
    by_class = {number: rgba(color) for number, color in wanted.palette.items()}
    for label, number in zip(wanted.ids.tolist(), wanted.classes.tolist(), strict=True):
        if number in by_class:
            colors[label] = by_class[number]
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
