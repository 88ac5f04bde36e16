"""Points, Shapes and Labels layers as prompts on one plane, through the world; no window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes, Surface

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.prompts import BoxPrompt, PointPrompt
from napari_ditto.ui.adapters import collect_prompts, which_on_plane
from napari_ditto.ui.prompt_layers import NEGATIVE, POSITIVE, SIGN

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")

PLANE = PlaneAddress("y", "x", (("z", 2),))


def stack(**kwargs):
    return Image(np.zeros((5, 100, 120), np.uint8), name="im", **kwargs)


def flat(**kwargs):
    return Image(np.zeros((100, 120), np.uint8), name="im", **kwargs)


def flat_plane():
    return PlaneAddress("y", "x", ())


def rectangle(y0, x0, y1, x1, *lead):
    return np.array([[*lead, y, x] for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))], float)


# --- points --------------------------------------------------------------------------------------


def test_points_on_the_plane_count_and_the_others_are_counted():
    points = Points([(2, 10, 20), (2.4, 11, 21), (3, 12, 22), (1.6, 13, 23), (2.5, 14, 24)])
    found = collect_prompts([points], stack(), PLANE)
    assert [p.y for p in found.prompts.points] == [10, 11, 13]
    assert (found.used, found.elsewhere, found.notes) == (3, 2, ())
    np.testing.assert_array_equal(which_on_plane(points, stack(), PLANE), [1, 1, 0, 1, 0])


def test_world_coordinates_join_layers_of_any_transform():
    image = stack(scale=(2, 0.5, 0.25), translate=(-1, 10, 20))
    world = np.array([[3.0, 15.0, 25.0]])
    for points in (
        Points(world),
        Points(world / (3, 1, 5), scale=(3, 1, 5)),
        Points(world - (7, 8, 9), translate=(7, 8, 9)),
    ):
        found = collect_prompts([points], image, PLANE).prompts.points
        assert [(round(p.y, 6), round(p.x, 6)) for p in found] == [(10, 20)]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_point_is_lost_under_any_affine(seed):
    rng = np.random.default_rng(seed)
    affines = []
    for _ in range(2):
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.3, 3, 3)
        affine[:3, 3] = rng.normal(size=3) * 1000
        affines.append(affine)
    image, points = stack(affine=affines[0]), Points(np.zeros((0, 3)), affine=affines[1])
    wanted = rng.uniform((1.6, 0, 0), (2.4, 99, 119), (7, 3))
    elsewhere = rng.uniform((2.6, 0, 0), (4, 99, 119), (4, 3))
    coords = [image.data_to_world(p) for p in np.concatenate([wanted, elsewhere])]
    points.data = np.array([points.world_to_data(p) for p in coords])
    found = collect_prompts([points], image, PLANE)
    yx = [(p.y, p.x) for p in found.prompts.points]
    np.testing.assert_allclose(yx, wanted[:, 1:], atol=1e-4)
    assert (found.used, found.elsewhere) == (7, 4)


def test_transposed_and_side_views():
    points = Points([(2, 10, 20)])
    for plane, expected in (
        (PlaneAddress("x", "y", (("z", 2),)), (20, 10)),
        (PlaneAddress("z", "x", (("y", 10),)), (2, 20)),
        (PlaneAddress("z", "y", (("x", 20),)), (2, 10)),
    ):
        (point,) = collect_prompts([points], stack(), plane).prompts.points
        assert (point.y, point.x) == expected


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({}, [True, True, True]),
        ({SIGN: [POSITIVE, NEGATIVE, POSITIVE]}, [True, False, True]),
        ({"label": ["negative", "positive", "negative"]}, [False, True, False]),
        ({"label": ["negative", "nucleus", "negative"]}, [True, True, True]),
    ],
)
def test_signs_come_from_a_feature_column(features, expected):
    points = Points(np.zeros((3, 2)), features=features)
    found = collect_prompts([points], flat(), flat_plane()).prompts.points
    assert [p.positive for p in found] == expected


def test_positions_that_are_not_finite_are_named():
    points = Points(np.array([[1.0, 2], [3, 4]]), name="clicks")
    points.features = {SIGN: [POSITIVE, POSITIVE]}
    coords = np.array([[1.0, 2], [np.nan, 4]])

    class Broken:
        """A Points layer with a lost position; napari itself warns while it draws one."""

        def __getattr__(self, name):
            return coords if name == "data" else getattr(points, name)

    from napari_ditto.ui.prompt_reading import points_from_layer

    found = points_from_layer(Broken(), flat(), flat_plane())
    assert (found.used, found.elsewhere) == (1, 0)
    assert found.notes == ("point 2 of 'clicks' has no finite position and was left out",)


def test_points_outside_the_image_are_handed_on():
    found = collect_prompts([Points([(-50, 500)])], flat(), flat_plane())
    assert found.prompts.points == (PointPrompt(-50, 500),)


def test_flat_points_lie_on_every_plane_and_on_none_from_the_side():
    points = Points([(10, 20)])
    assert collect_prompts([points], stack(), PLANE).used == 1
    found = collect_prompts([points], stack(), PlaneAddress("z", "x", (("y", 10),)))
    assert (found.used, found.elsewhere) == (0, 1)


def test_points_with_more_axes_than_the_image_follow_the_slider():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40)))
    points = viewer.add_points([(0, 5, 5), (3, 6, 6)], scale=(2, 1, 1))
    viewer.dims.set_point(0, 6)
    found = collect_prompts([points], image, flat_plane(), viewer.dims)
    assert ([p.y for p in found.prompts.points], found.elsewhere) == ([6], 1)


# --- shapes --------------------------------------------------------------------------------------


def test_a_rectangle_is_a_box_and_nothing_else():
    shapes = Shapes([rectangle(10, 20, 30, 50)], scale=(2, 2))
    found = collect_prompts([shapes], flat(), flat_plane())
    assert found.prompts.box == BoxPrompt(20, 40, 60, 100)
    assert found.prompts.mask is None


def test_a_rectangle_at_an_angle_is_its_extent_with_a_rough_mask():
    diamond = np.array([(10, 30), (30, 50), (50, 30), (30, 10)], float)
    prompts = collect_prompts([Shapes([diamond])], flat(), flat_plane()).prompts
    assert prompts.box == BoxPrompt(10, 10, 50, 50)
    mask = prompts.mask.rasterize((100, 120))
    assert mask[30, 30]
    assert not mask[12, 12]
    assert abs(mask.sum() - 800) < 60


def test_a_rotated_image_turns_a_straight_rectangle():
    image = flat(rotate=45)
    prompts = collect_prompts([Shapes([rectangle(30, -10, 50, 10)])], image, flat_plane()).prompts
    assert prompts.mask is not None


@pytest.mark.parametrize("kind", ["ellipse", "polygon"])
def test_ellipses_and_polygons_are_box_and_rough_mask(kind):
    corners = rectangle(9.5, 19.5, 29.5, 59.5)
    shapes = Shapes([corners if kind == "ellipse" else corners[:3]], shape_type=kind)
    prompts = collect_prompts([shapes], flat(), flat_plane()).prompts
    box = prompts.box
    np.testing.assert_allclose((box.y0, box.x0, box.y1, box.x1), (9.5, 19.5, 29.5, 59.5), atol=0.1)
    area = {"ellipse": np.pi * 10 * 20, "polygon": 400}[kind]
    assert prompts.mask.mask.sum() == pytest.approx(area, rel=0.05)


@pytest.mark.parametrize("kind", ["path", "line"])
def test_paths_and_lines_are_strokes_as_wide_as_their_edge(kind):
    shapes = Shapes([np.array([(10.0, 20), (10, 60)])], shape_type=kind, edge_width=4)
    shapes.scale = (2, 2)
    (stroke,) = collect_prompts([shapes], flat(scale=(0.5, 0.5)), flat_plane()).prompts.scribbles
    assert stroke.path == ((40, 80), (40, 240))
    assert stroke.width == pytest.approx(16)
    assert stroke.positive


def test_negative_strokes_and_areas():
    shapes = Shapes(
        [np.array([(10.0, 20), (10, 60)]), rectangle(40, 40, 50, 50)],
        shape_type=["path", "rectangle"],
        features={SIGN: [NEGATIVE, NEGATIVE]},
    )
    found = collect_prompts([shapes], flat(), flat_plane())
    assert [s.positive for s in found.prompts.scribbles] == [False, False]
    assert found.prompts.scribbles[1].path[0] == found.prompts.scribbles[1].path[-1]
    assert (found.prompts.box, found.used) == (None, 2)


def test_several_areas_join_to_one_box_and_one_mask():
    shapes = Shapes([rectangle(10, 10, 20, 20), rectangle(40, 50, 60, 80)])
    prompts = collect_prompts([shapes], flat(), flat_plane()).prompts
    assert prompts.box == BoxPrompt(10, 10, 60, 80)
    mask = prompts.mask.rasterize((100, 120))
    assert mask[15, 15]
    assert mask[50, 60]
    assert not mask[30, 30]


def test_shapes_must_lie_on_the_plane_with_all_vertices():
    tilted = rectangle(10, 10, 20, 20, 2)
    tilted[0, 0] = 3
    shapes = Shapes([rectangle(10, 10, 20, 20, 2), rectangle(10, 10, 20, 20, 1), tilted])
    found = collect_prompts([shapes], stack(), PLANE)
    assert (found.used, found.elsewhere) == (1, 2)
    np.testing.assert_array_equal(which_on_plane(shapes, stack(), PLANE), [True, False, False])


def test_an_area_as_large_as_a_country_is_only_a_box():
    shapes = Shapes([np.array([(0, 0), (0, 9e4), (9e4, 0)], float)], shape_type="polygon")
    found = collect_prompts([shapes], flat(), flat_plane())
    assert found.prompts.mask is None
    assert found.prompts.box.height == 9e4
    assert "too large" in found.notes[0]


# --- labels --------------------------------------------------------------------------------------


def a_label(shape=(5, 100, 120)):
    data = np.zeros(shape, np.uint16)
    data[2, 30:50, 40:70] = 7
    data[2, 45:60, 60:65] = 7
    data[3, :10, :10] = 8
    return data


def test_a_label_is_a_mask_prompt():
    labels = Labels(a_label())
    labels.selected_label = 7
    found = collect_prompts([labels], stack(), PLANE)
    np.testing.assert_array_equal(found.prompts.mask.rasterize((100, 120)), a_label()[2] == 7)
    assert (found.prompts.box, found.used) == (None, 1)


def test_a_label_that_is_elsewhere_is_named():
    labels = Labels(a_label(), name="cells")
    labels.selected_label = 8
    assert collect_prompts([labels], stack(), PLANE).notes == (
        "label 8 of 'cells' is not on this plane",
    )


def test_a_label_from_another_grid():
    image = stack(scale=(1, 0.5, 0.5))
    labels = Labels(a_label()[:, ::2, ::2], translate=(0, 0.25, 0.25))
    labels.selected_label = 7
    mask = collect_prompts([labels], image, PLANE).prompts.mask.rasterize((100, 120))
    truth = a_label()[2] == 7
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95


def test_a_label_seen_transposed_and_from_the_side():
    labels = Labels(a_label())
    labels.selected_label = 7
    turned = collect_prompts([labels], stack(), PlaneAddress("x", "y", (("z", 2),))).prompts
    np.testing.assert_array_equal(turned.mask.rasterize((120, 100)), (a_label()[2] == 7).T)
    side = collect_prompts([labels], stack(), PlaneAddress("z", "x", (("y", 40),))).prompts
    np.testing.assert_array_equal(side.mask.rasterize((5, 120)), a_label()[:, 40] == 7)


def test_flat_labels_and_tilted_labels():
    flat_labels = Labels(a_label()[2])
    flat_labels.selected_label = 7
    assert collect_prompts([flat_labels], stack(), PLANE).used == 1
    tilted = Labels(a_label(), rotate=[0, 20, 0])
    tilted.selected_label = 7
    assert "tilted" in collect_prompts([tilted], stack(), PLANE).notes[0]


# --- mixtures ------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 99), st.floats(0, 119), st.integers(0, 4)), max_size=8),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 4)), max_size=4),
    st.booleans(),
)
def test_every_prompt_is_used_or_counted_elsewhere(clicks, corners, with_label):
    points = Points(np.array([(z, y, x) for y, x, z in clicks]).reshape(-1, 3))
    shapes = Shapes(ndim=3)
    if corners:
        shapes = Shapes([rectangle(y, x, y + 9, x + 9, z) for y, x, z in corners])
    labels = Labels(a_label())
    labels.selected_label = 7
    layers = [points, shapes, *([labels] if with_label else [])]
    found = collect_prompts(layers, stack(), PLANE)
    assert found.used + found.elsewhere == len(clicks) + len(corners) + with_label
    assert len(found.prompts.points) == sum(z == 2 for _, _, z in clicks)
    assert (found.prompts.box is not None) == any(z == 2 for _, _, z in corners)
    for y, x, z in corners:
        if z == 2 and found.prompts.mask:
            inside = found.prompts.mask.rasterize((100, 120))
            assert inside[Box(y + 1, x + 1, y + 8, x + 8).slices].all()


def test_other_layers_hold_no_prompts():
    surface = Surface((np.zeros((3, 2)), np.array([[0, 1, 2]])), name="mesh")
    assert collect_prompts([surface], flat(), flat_plane()).notes == ("'mesh' holds no prompts",)


def test_a_tilted_image_is_mentioned():
    found = collect_prompts([Points([(2, 10, 20)])], stack(rotate=[0, 10, 0]), PLANE)
    assert found.used + found.elsewhere == 1
    image = stack(rotate=[0, 10, 0])
    on = image.data_to_world((2, 10, 20))
    assert "tilted" in collect_prompts([Points([on])], image, PLANE).notes[0]
