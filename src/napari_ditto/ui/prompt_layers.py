"""Our prompt layers: ordinary Points and Shapes layers with a column that holds the sign.

The sign is the feature column ``ditto``, with the values ``"positive"`` and ``"negative"``, and
drives the colour. Layers without it count as positive throughout, whoever made them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.ui.transforms import transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Points, Shapes

SIGN = "ditto"
POSITIVE, NEGATIVE = "positive", "negative"
# Okabe and Ito's bluish green and vermilion: told apart with any colour vision.
COLORS = {POSITIVE: "#009e73", NEGATIVE: "#d55e00"}

# Columns in which other annotation tools keep the same two words.
_SIGN_COLUMNS = (SIGN, "label")


def new_points_layer(image: Image, ndim: int | None = None) -> Points:
    """Return an empty, armed Points layer for clicks, lying on an image."""
    from napari.layers import Points

    n = image.ndim if ndim is None else ndim
    layer = Points(
        np.zeros((0, n)),
        name=f"Ditto points [{image.name}]",
        size=_marker_size(image),
        # Seen from afar and not in the way from near.
        canvas_size_limits=(8, 14),
        border_color="white",
        border_width=0.1,
        **_sign_features(),
        **transform_kwargs(image, ndim=n),
    )
    _show_signs(layer)
    layer.mode = "add"
    return layer


def new_shapes_layer(image: Image, ndim: int | None = None) -> Shapes:
    """Return an empty Shapes layer for boxes and scribbles, armed with the rectangle."""
    from napari.layers import Shapes

    n = image.ndim if ndim is None else ndim
    layer = Shapes(
        None,
        ndim=n,
        name=f"Ditto boxes [{image.name}]",
        face_color="transparent",
        edge_width=max(1.0, _marker_size(image) / 5),
        **_sign_features(),
        **transform_kwargs(image, ndim=n),
    )
    _show_signs(layer)
    layer.mode = "add_rectangle"
    return layer


def _marker_size(image: Image) -> float:
    """Return a size in data pixels that is seen on small and large images alike."""
    shape = (image.data[0] if image.multiscale else image.data).shape[: image.ndim]
    return float(np.clip(min(shape[-2:]) / 60, 3, 40))


def _sign_features() -> dict[str, Any]:
    return {
        "features": {SIGN: np.array([], dtype=object)},
        "feature_defaults": {SIGN: POSITIVE},
    }


def signs(layer: Points | Shapes) -> NDArray[np.bool_]:
    """Return for every point or shape whether it is positive, shape (n,)."""
    for column in _SIGN_COLUMNS:
        if column in layer.features:
            words = [str(value).strip().lower() for value in layer.features[column]]
            if column == SIGN or set(words) <= {POSITIVE, NEGATIVE}:
                return np.array([word != NEGATIVE for word in words], dtype=bool)
    return np.ones(len(layer.data), dtype=bool)


def next_is_positive(layer: Points | Shapes) -> bool:
    """Whether the next point or shape that the user adds will be positive."""
    defaults = layer.feature_defaults
    return SIGN not in defaults or str(defaults[SIGN].iloc[0]) != NEGATIVE


def set_next_sign(layer: Points | Shapes, *, positive: bool) -> None:
    """Choose the sign of the next point or shape; nothing that exists changes."""
    _write_signs(layer, signs(layer), next_one=positive)


def toggle_sign(layer: Points | Shapes) -> bool:
    """Flip the selected points or shapes in select mode, else the sign of the next one.

    Returns
    -------
    bool
        Whether what was flipped is positive now (the first of the selected).
    """
    # In add mode napari leaves the last point selected: the user means the next one.
    selecting = str(layer.mode) in ("select", "direct")
    chosen = sorted(int(i) for i in layer.selected_data) if selecting else []
    if not chosen:
        positive = not next_is_positive(layer)
        set_next_sign(layer, positive=positive)
        return positive
    positive_now = signs(layer)
    positive_now[chosen] = ~positive_now[chosen]
    _write_signs(layer, positive_now, next_one=next_is_positive(layer))
    return bool(positive_now[chosen[0]])


def _word(positive: bool | np.bool_) -> str:
    return POSITIVE if positive else NEGATIVE


def _write_signs(layer: Points | Shapes, which: NDArray[np.bool_], *, next_one: bool) -> None:
    """Set the sign of everything and of what comes next; other columns stay as they are."""
    words = [_word(positive) for positive in which]
    defaults = {**layer.feature_defaults, SIGN: [_word(next_one)]}
    if SIGN not in layer.features or list(layer.features[SIGN]) != words:
        layer.features = layer.features.assign(**{SIGN: np.array(words, dtype=object)})
    # napari has just taken the last row for the defaults.
    layer.feature_defaults = defaults
    _show_signs(layer)


def _show_signs(layer: Points | Shapes) -> None:
    """Paint points' faces and shapes' edges by sign, what is there and what comes next."""
    part = "face" if hasattr(layer, "current_size") else "edge"
    colors = [COLORS[_word(positive)] for positive in signs(layer)]
    if colors:
        setattr(layer, f"{part}_color", colors)
    # Otherwise napari gives the next one's colour to everything that is selected as well.
    with layer.block_update_properties():
        setattr(layer, f"current_{part}_color", COLORS[_word(next_is_positive(layer))])
