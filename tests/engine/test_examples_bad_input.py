"""Examples that do not fit: one clear line each, or the sensible result."""

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like, segment_like_steps
from napari_ditto.errors import DittoError, LabelsError, ModelError, SourceError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.models.protocols import Memory

CLASSIC = ClassicModel()


def overlap(found, truth):
    return ((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum()


@pytest.fixture
def scene():
    """An image to learn from with its objects, and another."""
    shown, truth = blobs((120, 120), 12, radius=9, seed=0), blobs((140, 160), 15, radius=9, seed=1)
    return render(shown), shown, render(truth, seed=1), truth


def grey(image, **about):
    return open_source(image, axes="yx", **about)


def test_no_example(scene):
    with pytest.raises(ModelError, match="there is no example"):
        segment_like(grey(scene[2]), [], CLASSIC)


def test_no_example_is_switched_on(scene):
    image, labels, other, _ = scene
    source = grey(image)
    off = PlaneExample(source, source.plane(), labels, enabled=False)
    with pytest.raises(ModelError, match="switch one on"):
        segment_like(grey(other), [off], CLASSIC)


@pytest.mark.parametrize("instances", [False, True])
def test_examples_without_an_object(scene, instances):
    image, labels, other, _ = scene
    with pytest.raises(ModelError, match="No labelled pixel"):
        segment_like(grey(other), [(image, labels * 0)], CLASSIC, instances=instances)


def test_only_examples_of_what_is_not_meant(scene):
    image, labels, other, _ = scene
    source = grey(image)
    none = PlaneExample(source, source.plane(), labels, negative=True)
    with pytest.raises(ModelError, match="No labelled pixel"):
        segment_like(grey(other), [none], CLASSIC)


@pytest.mark.parametrize("instances", [False, True])
def test_a_plane_with_no_object_gets_no_label(scene, instances):
    image, labels, _, _ = scene
    dark = np.full((100, 90), 30, image.dtype)
    source = grey(dark, window=(0, 255))
    found = drain(segment_like_steps(source, [(image, labels)], CLASSIC, instances=instances))
    assert (found.labels > 0).mean() < 0.05
    assert found.labels.shape == (100, 90)
    if instances:
        assert len(found.scores) == found.labels.max()


def test_a_plane_with_no_object_beside_one_that_has_some(scene):
    image, labels, other, truth = scene
    empty = np.full((100, 90), int(np.percentile(image, 20)), image.dtype)
    found = segment_like(
        grey(other, window=(0, 255)), [(image, labels > 0), (empty, np.zeros(empty.shape, int))],
        CLASSIC,
    )  # fmt: skip
    assert overlap(found, truth) > 0.7


@pytest.mark.parametrize("change", ["uint16", "float32", "colour", "contrast"])
def test_other_types_channels_and_contrasts_are_read_with_their_own_window(scene, change):
    image, labels, other, truth = scene
    changed = {
        "uint16": image.astype(np.uint16) * 257,
        "float32": image.astype(np.float32) / 255,
        "colour": np.repeat(image[..., None], 3, axis=-1),
        "contrast": None,
    }[change]
    if change == "contrast":
        dim = open_source((image // 4 + 90).astype(np.uint8), axes="yx")
        given = PlaneExample(dim, dim.plane(), labels)
    else:
        given = (changed, labels)
    found = segment_like(grey(other), [given], CLASSIC, instances=True)
    assert overlap(found, truth) > 0.7


def test_another_pixel_size_is_evened_out(scene):
    image, labels, other, truth = scene
    finer = np.kron(image, np.ones((3, 3), np.uint8)), np.kron(labels, np.ones((3, 3), np.uint8))
    target = grey(other, scale=(0.9, 0.9))
    source = grey(finer[0], scale=(0.3, 0.3))
    example = PlaneExample(source, source.plane(), finer[1])
    found = segment_like(target, [example], CLASSIC, instances=True)
    assert overlap(found, truth) > 0.7
    assert abs(int(found.max()) - len(np.unique(truth)) + 1) <= 3


@pytest.mark.parametrize("labels", [np.ones((5, 5), int), np.ones((120, 121), int),
                                    np.ones(120, int), np.ones((120, 120, 1), int)])  # fmt: skip
def test_labels_of_another_shape(scene, labels):
    image, _, other, _ = scene
    source = grey(image)
    for given in ((source, labels), PlaneExample(source, source.plane(), labels)):
        with pytest.raises(SourceError, match=r"example 1.*Choose labels"):
            segment_like(grey(other), [given], CLASSIC)


def test_labels_that_are_no_whole_numbers(scene):
    image, labels, other, _ = scene
    with pytest.raises(SourceError, match="whole numbers"):
        segment_like(grey(other), [(image, labels / 2)], CLASSIC)


@pytest.mark.parametrize("name", [65_536, 70_000, 2**31, 2**32 - 1])
def test_large_ids_are_kept(scene, name):
    image, labels, other, truth = scene
    found = segment_like(grey(other), [(image, np.where(labels > 0, name, 0))], CLASSIC)
    assert np.unique(found).tolist() == [0, name]
    assert overlap(found, truth) > 0.7


def test_ids_that_no_label_image_can_hold(scene):
    image, labels, other, _ = scene
    with pytest.raises(LabelsError, match="too large"):
        segment_like(grey(other), [(image, np.where(labels > 0, 2**40, 0))], CLASSIC)


def test_300_classes():
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 301).reshape(15, 20), np.ones((6, 6), int))
    image = np.kron(rng.integers(0, 255, (15, 20, 3)), np.ones((6, 6, 1), int)).astype(np.uint8)
    source = open_source(image, axes="yxc", window=(0, 255))
    found = drain(segment_like_steps(source, [(image, labels)], CLASSIC))
    assert found.classes == tuple(range(1, 301))
    assert (found.labels == labels).mean() > 0.5


def test_too_many_classes_for_the_plane():
    wide = open_source(np.zeros((4000, 4000), np.uint8), axes="yx", window=(0, 255))
    memory = Memory({}, tuple(range(1, 301)), CLASSIC.spec.key)
    with pytest.raises(ModelError, match="Choose a region"):
        drain(segment_like_steps(wide, [], CLASSIC, memory=memory))


def test_a_memory_of_another_model(scene):
    memory = Memory({}, (1,), "someone@1#0")
    with pytest.raises(ModelError, match="someone@1#0"):
        drain(segment_like_steps(grey(scene[2]), [], CLASSIC, memory=memory))


def test_a_region_outside_of_the_image(scene):
    image, labels, other, _ = scene
    with pytest.raises(SourceError, match="outside"):
        segment_like(grey(other), [(image, labels)], CLASSIC, region=Box(500, 500, 600, 600))


def test_a_plane_that_is_too_large_says_what_to_do(scene):
    image, labels, _, _ = scene
    vast = open_source(np.broadcast_to(np.uint8(0), (9000, 9000)), axes="yx", window=(0, 255))
    with pytest.raises(SourceError, match="Choose a region"):
        segment_like(vast, [(image, labels)], CLASSIC)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3)])
def test_tiny_examples(scene, shape):
    labels = np.zeros(shape, int)
    labels[0, 0] = 1
    source = grey(np.full(shape, 200, np.uint8), window=(0, 255))
    for partial in (False, True):
        given = PlaneExample(source, source.plane(), labels, partial=partial)
        found = segment_like(grey(scene[2]), [given], CLASSIC, instances=True)
        assert found.shape == scene[2].shape


def test_every_refusal_is_one_line(scene):
    image, labels, other, _ = scene
    for given in ([], [(image, labels[:3])], [(image, labels * 0)], [(image, labels * 0.5)]):
        with pytest.raises(DittoError) as error:
            segment_like(grey(other), given, CLASSIC)
        assert "\n" not in str(error.value)
