"""The sign of prompts: one column, two colours, and what toggling changes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Points, Shapes

from napari_ditto.ui.prompt_layers import (
    COLORS,
    NEGATIVE,
    POSITIVE,
    SIGN,
    new_points_layer,
    new_shapes_layer,
    next_is_positive,
    set_next_sign,
    signs,
    toggle_sign,
)
from napari_ditto.ui.transforms import data_to_world

IMAGE = Image(np.zeros((3, 200, 300)), name="im", scale=(2, 0.5, 0.5), rotate=[0, 0, 10])


def add(layer, y=10, x=20):
    if isinstance(layer, Points):
        layer.add((0, y, x))
    else:
        corners = ((y, x), (y, x + 9), (y + 9, x + 9), (y + 9, x))
        layer.add(np.array([(0, *corner) for corner in corners]), shape_type="rectangle")


def colors(layer):
    return layer.face_color if isinstance(layer, Points) else layer.edge_color


def painted(layer):
    """The sign of every prompt as its colour tells it."""
    green = [int(COLORS[POSITIVE][i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [bool(np.allclose(color[:3], green, atol=0.01)) for color in colors(layer)]


@pytest.fixture(params=[new_points_layer, new_shapes_layer])
def layer(request):
    return request.param(IMAGE)


def test_new_layers_lie_on_the_image_and_are_armed(layer):
    np.testing.assert_allclose(data_to_world(layer), data_to_world(IMAGE))
    assert layer.ndim == 3
    assert str(layer.mode).startswith("add")
    assert layer.name.endswith("[im]")
    assert next_is_positive(layer)


def test_the_next_sign_counts_from_the_next_prompt_on(layer):
    add(layer)
    assert toggle_sign(layer) is False
    add(layer, 50)
    assert toggle_sign(layer) is True
    add(layer, 80)
    assert signs(layer).tolist() == painted(layer) == [True, False, True]


def test_the_very_first_prompt_may_be_negative(layer):
    set_next_sign(layer, positive=False)
    add(layer)
    set_next_sign(layer, positive=True)
    add(layer, 50)
    assert signs(layer).tolist() == painted(layer) == [False, True]


def test_in_select_mode_the_selected_ones_flip(layer):
    for y in (10, 40, 70):
        add(layer, y)
    layer.mode = "select"
    layer.selected_data = {0, 2}
    assert toggle_sign(layer) is False
    assert signs(layer).tolist() == painted(layer) == [False, True, False]
    assert next_is_positive(layer)


def test_removing_a_prompt_keeps_the_signs_of_the_others(layer):
    for y, positive in ((10, True), (40, False), (70, True)):
        set_next_sign(layer, positive=positive)
        add(layer, y)
    layer.selected_data = {0}
    layer.remove_selected()
    assert signs(layer).tolist() == painted(layer) == [False, True]


@pytest.mark.parametrize(
    "foreign",
    [
        Points(np.zeros((2, 2)), features={"score": [0.1, 0.2]}),
        Shapes(np.random.default_rng(0).uniform(0, 9, (2, 4, 2)), features={"score": [0.1, 0.2]}),
    ],
)
def test_foreign_layers_get_the_column_and_keep_their_own(foreign):
    assert signs(foreign).tolist() == [True, True]
    assert toggle_sign(foreign) is False
    assert signs(foreign).tolist() == painted(foreign) == [True, True]
    assert list(foreign.features["score"]) == [0.1, 0.2]
    assert SIGN in foreign.features
    foreign.add(np.full((4, 2), 3.0) if isinstance(foreign, Shapes) else (3, 3))
    assert signs(foreign).tolist() == [True, True, False]


def test_the_words_are_the_documented_ones():
    layer = new_points_layer(IMAGE)
    add(layer)
    toggle_sign(layer)
    add(layer)
    assert list(layer.features[SIGN]) == [POSITIVE, NEGATIVE] == ["positive", "negative"]
