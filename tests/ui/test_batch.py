"""Each prompt its own object, on real layers and on fakes: asked together, accepted as one step."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.masks import PlacedMask
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.ui.batch.part import BatchState
from napari_ditto.ui.batch.reading import objects_on_plane
from napari_ditto.ui.preview import _outlines
from napari_ditto.ui.prompt_reading import CollectedPrompts
from tests.ui.test_controller import (  # noqa: F401
    controller,
    last,
    model,
    runner,
    scene,
    view,
)

PLANE = PlaneAddress()


def blobs():
    out = np.zeros((64, 64), dtype=np.uint8)
    out[4:14, 4:14] = out[4:14, 40:50] = out[40:50, 20:30] = 255
    return out


SPOTS = [(8.0, 8.0), (8.0, 45.0), (45.0, 25.0)]


def say(scene, spots):  # noqa: F811
    points = tuple(PointPrompt(*spot) for spot in spots)
    scene.prompts.return_value = CollectedPrompts(PromptSet(points))
    scene.prompt_sets.return_value = tuple(PromptSet((point,)) for point in points)
    from napari_ditto.ui.prompt_state import LayerState

    scene.prompt_state.return_value = {"pts": LayerState((np.array([len(points), 0.0]),))}
    scene.prompts_changed.emit()


@pytest.fixture
def asked(controller, scene, model):  # noqa: F811
    """A controller in the mode, with three clicks on three objects."""
    from napari_ditto.data.source import open_source

    scene.open_source.side_effect = lambda images, window: open_source(blobs())

    def clear(layers, images):
        scene.prompts.return_value, scene.prompt_sets.return_value = CollectedPrompts(), ()
        return tuple(layers)

    scene.clear_prompts.side_effect = clear
    controller.act("batch")
    say(scene, SPOTS)
    return controller


def parts(view, name):  # noqa: F811
    return [c.args[1] for c in view.show_part.call_args_list if c.args[0] == name][-1]


def test_all_are_shown_together_and_accepted_as_one_step(asked, scene, view, model):  # noqa: F811
    assert len(scene.show_previews.call_args.args[2]) == 3
    assert len(model.asked) == 3
    assert parts(view, "batch") == BatchState(True, "3 objects")
    assert last(view).proposal == "3 objects"
    assert last(view).buttons["accept"].enabled
    asked.act("accept")
    store = scene.add_labels.call_args.args[2]
    assert set(np.unique(store.data)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(store.data > 0, blobs() > 0)
    assert asked.session.offered == 0
    assert asked.session.prompts.is_empty
    assert asked.session.undo_text == "3 labels"
    asked.act("undo")
    assert not store.data.any()


def test_one_more_click_asks_about_that_one_alone(asked, scene, model):  # noqa: F811
    say(scene, SPOTS[:2])
    assert len(model.asked) == 3
    say(scene, [*SPOTS[:2], (46.0, 26.0)])
    assert len(model.asked) == 4


def test_another_model_answers_anew(asked, model):  # noqa: F811
    asked.choose("model", "classic")
    assert len(model.asked) == 6
    assert asked.session.offered == 3


def test_accept_waits_for_the_masks(asked, scene, runner):  # noqa: F811
    runner.hold = True
    say(scene, SPOTS[1:])
    asked.act("accept")
    scene.add_labels.assert_not_called()
    runner.release()
    assert set(np.unique(scene.add_labels.call_args.args[2].data)) == {0, 1, 2}


def test_without_the_mode_the_same_prompts_are_one_object(asked, scene, view):  # noqa: F811
    asked.choose("batch.on", False)
    assert asked.session.offered == 0
    assert asked.session.has_object
    assert parts(view, "batch") == BatchState(False, "")
    asked.act("accept")
    assert set(np.unique(scene.add_labels.call_args.args[2].data)) == {0, 1}


def test_two_clicks_on_one_object_are_told(asked, scene):  # noqa: F811
    say(scene, [*SPOTS, (9.0, 9.0)])
    assert asked.session.offered == 3
    assert asked.session.hint == "1 found no object of its own"


def test_layers_are_read_object_by_object():
    from napari.layers import Image, Shapes

    from napari_ditto.ui.prompt_layers import new_points_layer, set_next_sign

    image = Image(np.zeros((60, 80)))
    points = new_points_layer(image)
    points.add([[5, 5], [30, 30]])
    set_next_sign(points, positive=False)
    points.add([[32, 33]])
    shapes = Shapes([[[40, 40], [40, 60], [50, 60], [50, 40]]], shape_type="rectangle")
    shapes.add_ellipses([[10, 60], [10, 70], [20, 70], [20, 60]])
    shapes.add_paths([[2, 70], [4, 78]])
    sets = objects_on_plane([points, shapes], image, PLANE)
    assert [len(s.points) for s in sets] == [1, 2, 0, 0, 0]
    assert [s.box is not None for s in sets] == [False, False, True, True, False]
    assert [s.mask is not None for s in sets] == [False, False, False, True, False]
    assert len(sets[4].scribbles) == 1


def test_outlines_of_objects_far_apart_are_drawn_coarsely():
    full = np.ones((100, 100), dtype=bool)
    masks = [PlacedMask(Box(y, y, y + 100, y + 100), full) for y in (7, 1507)]
    data, box, step = _outlines(masks, 2, 10_000)
    assert (box, step) == (Box(7, 7, 1607, 1607), 16)
    assert data.shape == (100, 100)
    rows, columns = np.nonzero(data)
    assert set(zip((rows * step + 7) // 1500, (columns * step + 7) // 1500, strict=True)) == {
        (0, 0), (1, 1),
    }  # fmt: skip
    fine, box, step = _outlines(masks[:1], 2, 10_000)
    assert (fine.shape, step, (fine == 1).sum()) == ((100, 100), 1, 100**2 - 96**2)
