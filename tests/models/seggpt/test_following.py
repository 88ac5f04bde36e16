"""What propagation asks of it: objects keep their ids from plane to plane, by colour.

The published script for videos keeps what it has predicted as white on black, whatever the colour,
and so makes one object of all. It has no gate either; that is the propagation's part.
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.data.source import open_source
from napari_ditto.engine.propagate import propagate
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.models import iou
from napari_ditto.testing.small_seggpt import save_small_seggpt

IDS = np.array([0, 500, 7, 70_000])
PLANES = 6


@pytest.fixture(scope="module")
def near(tmp_path_factory):
    """Things of one look are told apart by where they are."""
    folder = tmp_path_factory.mktemp("near") / "seggpt"
    save_small_seggpt(folder, likeness=20.0, nearness=12.0)
    return load_model(f"seggpt:{folder}", "cpu")


@pytest.fixture(scope="module")
def stack(scene):
    """Three squares of the same grey that move by one patch per plane."""
    planes = []
    for z in range(PLANES):
        tile, numbers = scene(
            [(4, 4 + 4 * z, 0.7), (40, 8, 0.7), (24 + 4 * (z % 2), 48, 0.7)], seed=z
        )
        planes.append((tile, IDS[numbers]))
    return planes


def found_labels(model, embedding, memory):
    """Return the likeliest id of each pixel."""
    chances = model.recall(embedding, memory).probability
    everything = np.concatenate([1 - chances.sum(axis=0, keepdims=True), chances])
    return np.array([0, *memory.classes])[everything.argmax(axis=0)]


def test_objects_of_one_look_keep_their_ids_with_accepted_steps_as_examples(near, stack, example):
    anchor = example(near, *stack[0], weight=2.0)
    latest = []
    for tile, truth in stack[1:]:
        memory = near.remember([anchor, *latest])
        (embedding,) = near.encode(tile[None])
        labels = found_labels(near, embedding, memory)
        assert set(np.unique(labels)) == set(IDS)
        for label in IDS[1:]:
            assert iou(labels == label, truth == label) > 0.6
        latest = [example(near, tile, labels)]  # accepted: predicted, not true


def test_what_is_remembered_of_a_step_has_as_many_colours_as_objects(near, stack, example):
    anchor, step = (example(near, *plane) for plane in stack[:2])
    memory = near.remember([anchor, step])
    assert len(memory.arrays["images"]) == 2
    for own in memory.arrays["labels"]:
        assert len(np.unique(own)) == 4


def test_an_object_that_has_ended_is_not_painted(near, stack, example, scene):
    memory = near.remember([example(near, *stack[0])])
    tile, _ = scene([(4, 4, 0.7), (40, 8, 0.7)])
    labels = found_labels(near, near.encode(tile[None])[0], memory)
    assert (labels == 70_000).sum() < 20
    assert iou(labels == 500, stack[0][1] == 500) > 0.9


@pytest.mark.parametrize("kinds", ["objects", "classes"])
def test_a_whole_stack_from_one_plane(near, stack, kinds):
    """Through the propagation's own loop and gate."""
    pixels = np.stack([tile for tile, _ in stack])
    source = open_source(pixels, axes="zyxc", window=(0, 1))
    truth = np.stack([labels for _, labels in stack])
    result = propagate(source, {0: truth[0]}, "z", near, kinds=kinds)
    assert result.ids == (7, 500, 70_000)
    for label in result.ids:
        overlaps = [iou(result.labels[z] == label, truth[z] == label) for z in range(PLANES)]
        assert np.mean(overlaps) > 0.7, (label, overlaps)


def test_more_than_seven_objects_take_two_passes_and_keep_their_ids(near, scene, example):
    places = [(4 + 20 * r, 4 + 24 * c, 0.7) for r in range(3) for c in range(3)]
    tile, numbers = scene(places, shape=(64, 72), side=12)
    ids = 100 * numbers
    memory = near.remember([example(near, tile, ids)])
    moved, truth = scene([(y, x + 4, v) for y, x, v in places], seed=1, side=12)
    labels = found_labels(near, near.encode(moved[None])[0], memory)
    assert set(np.unique(labels)) == {0, *range(100, 1000, 100)}
    for number in range(1, 10):
        assert iou(labels == 100 * number, truth == number) > 0.6
