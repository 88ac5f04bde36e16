"""Examples: what is learnt from them, how much each counts, how rough ones become sharp."""

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.synthetic import blobs
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.examples import PlaneExample, sharpen_steps, thumbnail, weigh_steps
from napari_ditto.engine.teaching import at_pixel_size, encode_steps, object_labels, taught
from napari_ditto.errors import ModelError, SourceError
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Memory, ModelSpec
from napari_ditto.testing.fakes import TRUTH_WINDOW, CountingModel, PerfectModel, paint_truth


def example(labels, image=None, **about):
    pixels = np.zeros(labels.shape, np.uint8) if image is None else image
    source = open_source(pixels, axes="yx", window=(0, 255), scale=about.pop("scale", None))
    return PlaneExample(source, source.plane(), labels, **about)


@pytest.fixture
def labels():
    found = np.zeros((60, 80), np.int32)
    found[20:30, 20:30], found[40:50, 50:60] = 3, 7
    return found


def test_everything_is_known_of_a_complete_example(labels):
    assert np.array_equal(taught(example(labels)), labels)
    assert np.array_equal(taught(example(labels), instances=True), labels > 0)


def test_what_is_not_chosen_is_not_known(labels):
    found = taught(example(labels, ids=(7,)))
    assert (found[labels == 7] == 7).all()
    assert (found[labels == 3] == UNKNOWN).all()
    assert (found[labels == 0] == 0).all()


def test_a_negative_example_knows_only_what_it_is_not(labels):
    found = taught(example(labels, negative=True), instances=True)
    assert (found[labels > 0] == 0).all()
    assert (found[labels == 0] == UNKNOWN).all()


def test_of_a_partial_example_only_what_is_near_is_known(labels):
    found = taught(example(labels, partial=True))
    assert np.array_equal(found[labels > 0], labels[labels > 0])
    assert found[25, 31] == found[25, 34] == found[16, 25] == 0  # a radius is 5.6 pixels
    assert found[25, 37] == found[0, 0] == found[12, 25] == UNKNOWN


def test_any_negative_label_is_not_known(labels):
    labels[0], labels[1] = -1, -5
    assert (taught(example(labels), instances=True)[:2] == UNKNOWN).all()
    assert object_labels(example(labels, negative=True)).min() == 0


def test_tiles_know_nothing_outside_of_the_box(labels):
    given = example(labels[15:35, 10:40], np.zeros((60, 80), np.uint8), box=Box(15, 10, 35, 40))
    (tile,) = drain(encode_steps(given, PerfectModel(128), None))
    expected = np.full(labels.shape, UNKNOWN)
    expected[15:35, 10:40] = labels[15:35, 10:40]
    assert np.array_equal(tile.labels, expected)


def test_only_tiles_that_teach_are_encoded():
    shown = np.zeros((2000, 2000), np.uint8)
    shown[900:910, 900:910] = 1
    model = CountingModel(PerfectModel(64))
    source = open_source(paint_truth(shown), axes="yxc", window=TRUTH_WINDOW)
    given = PlaneExample(source, source.plane(), shown, partial=True)
    drain(encode_steps(given, model, None))
    assert model.encoded == 1


@pytest.mark.parametrize("fault", ["shape", "float", "outside"])
def test_labels_that_do_not_fit_are_refused(labels, fault):
    given = example(labels, name="mine")
    wrong = {
        "shape": {"labels": labels[:5]},
        "float": {"labels": labels * 1.0},
        "outside": {"box": Box(30, 30, 90, 110)},
    }[fault]
    with pytest.raises(SourceError, match="mine"):
        drain(encode_steps(replace(given, **wrong), PerfectModel(), None))


# --- pixel size --------------------------------------------------------------------------------


def test_an_example_of_another_pixel_size_is_resampled(labels):
    given = example(labels, (labels > 0).astype(np.uint8) * 200, scale=(0.5, 0.25))
    found = at_pixel_size(given, (0.25, 0.5))
    assert found.source.shape == found.labels.shape == (120, 40)
    shown = found.source.read(found.address, found.where)[..., 0] > 0.4
    assert (shown == (found.labels > 0)).mean() > 0.97
    assert (found.labels == 3).sum() == (labels == 3).sum()


@pytest.mark.parametrize(("scale", "size"), [(None, (0.5, 0.5)), ((0.5, 0.5), None),
                                             ((0.5, 0.5), (0.52, 0.49))])  # fmt: skip
def test_pixel_sizes_that_are_unknown_or_close_change_nothing(labels, scale, size):
    given = example(labels, scale=scale)
    assert at_pixel_size(given, size) is given


def test_an_example_that_would_be_huge_is_refused(labels):
    with pytest.raises(SourceError, match="too large"):
        at_pixel_size(example(labels, scale=(0.5, 0.5)), (1e-5, 1e-5))


# --- similarity --------------------------------------------------------------------------------


class Brightness:
    """Its embedding is the image itself."""

    spec = ModelSpec("brightness", "fake", "1", "0" * 64, "BSD-3-Clause", "none", input_size=48)

    def encode(self, tiles):
        return [Embedding({"light": t[..., :1].transpose(2, 0, 1)}, t.shape[:2], self.spec.key)
                for t in tiles]  # fmt: skip

    def remember(self, examples):
        return Memory({}, (1,), self.spec.key)

    def recall(self, embedding, memory):
        return ContextMap(np.zeros((1, *embedding.tile_shape), np.float32))

    def tune(self, memory, examples, steps=20):
        return memory


def textured(level, shape=(60, 80)):
    noise = np.random.default_rng(level).integers(-9, 9, shape)
    return (level + noise).astype(np.uint8)


def weights_of(levels, target=100, **about):
    ones = np.ones((60, 80), int)
    given = [example(ones, textured(level), **about) for level in levels]
    source = open_source(textured(target), axes="yx", window=(0, 255))
    return drain(weigh_steps(given, source, source.plane(), Brightness()))


def test_the_most_similar_example_counts_most():
    weights = weights_of([30, 110, 220])
    assert max(weights) == weights[1] == 1
    assert 0 < weights[2] < weights[0] < 0.5


def test_weights_do_not_depend_on_the_order():
    assert weights_of([30, 110, 220]) == weights_of([220, 110, 30])[::-1]


def test_one_example_has_all_the_weight_and_costs_nothing():
    model = CountingModel(PerfectModel())
    given = example(np.ones((60, 80), int))
    assert drain(weigh_steps([given], given.source, given.address, model)) == (1.0,)
    assert drain(weigh_steps([], given.source, given.address, model)) == ()
    assert model.encoded == 0


def test_equal_images_count_the_same():
    assert weights_of([100, 100]) == (1.0, 1.0)


def test_examples_that_teach_nothing_have_a_weight_all_the_same():
    assert all(0 < w <= 1 for w in weights_of([50, 90], ids=(9,), negative=True))


# --- rough labels ------------------------------------------------------------------------------


@pytest.fixture
def cells():
    return blobs((128, 128), 8, radius=14, seed=2).astype(np.int32)


def told(truth, labels, **about):
    source = open_source(paint_truth(truth), axes="yxc", window=TRUTH_WINDOW)
    return PlaneExample(source, source.plane(), labels, **about)


def stroke(mask):
    """A line across a mask."""
    row = int(np.nonzero(mask)[0].mean())
    line = np.zeros_like(mask)
    line[row : row + 2] = mask[row : row + 2]
    return line


def ring(mask):
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, iterations=4) & ~binary_dilation(mask, iterations=2)


def frame(mask):
    rows, columns = np.nonzero(mask)
    filled = np.zeros_like(mask)
    filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


def rough(mask):
    from scipy.ndimage import binary_erosion

    return np.roll(binary_erosion(mask, iterations=2), 3, axis=1)


@pytest.mark.parametrize("draw", [stroke, ring, frame, rough])
def test_what_is_drawn_roughly_becomes_the_object(cells, draw):
    chosen = np.unique(cells)[1:3].tolist()
    drawn = np.zeros_like(cells)
    for label in chosen:
        drawn[draw(cells == label)] = label + 100
    sharp = drain(sharpen_steps(told(cells, drawn, partial=True), PerfectModel(128)))
    for label in chosen:
        assert np.array_equal(sharp.labels == label + 100, cells == label)
    assert sharp.partial


def test_an_answer_that_is_not_what_was_meant_is_not_taken(cells):
    nothing = np.zeros_like(cells)
    drawn = np.zeros_like(cells)
    drawn[40:60, 50:75] = 4
    drawn[45, 50] = 0
    sharp = drain(sharpen_steps(told(nothing, drawn), PerfectModel(128)))
    assert np.array_equal(sharp.labels, drawn)


def test_a_box_grows_with_what_is_sharpened(cells):
    label = int(np.unique(cells)[1])
    rows, columns = np.nonzero(cells == label)
    box = Box(rows.min() + 4, columns.min() + 4, rows.max() - 3, columns.max() - 3)
    drawn = np.where(cells[box.slices] == label, label, 0)
    sharp = drain(sharpen_steps(told(cells, drawn, box=box), PerfectModel(128)))
    inside = cells[sharp.where.slices] == label
    assert np.array_equal(sharp.labels == label, inside)
    assert inside.sum() == (cells == label).sum()
    outside = np.ones(sharp.where.shape, bool)
    outside[box.shift(-sharp.where.y0, -sharp.where.x0).slices] = False
    assert (sharp.labels[outside & ~inside] == UNKNOWN).all()


def test_sharpening_needs_prompts(labels):
    with pytest.raises(ModelError, match="takes no prompts"):
        drain(sharpen_steps(example(labels), Brightness()))


# --- thumbnails --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("about", [{}, {"negative": True}, {"partial": True}, {"ids": (7,)}])
def test_a_thumbnail_shows_the_object_outlined(labels, size, about):
    image = (labels > 0).astype(np.uint8) * 255
    picture = thumbnail(example(labels, image, **about), size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    yellow = (picture == (255, 255, 0)).all(axis=-1)
    assert 0.02 < yellow.mean() < 0.5
    assert (picture[size // 2, size // 2] == 255).all()
    assert (picture[0, 0] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (700, 5)])
def test_thumbnails_of_odd_planes(shape):
    assert thumbnail(example(np.zeros(shape, int)), 32).shape == (32, 32, 3)
    assert thumbnail(example(np.ones(shape, int)), 32).shape == (32, 32, 3)


def test_a_thumbnail_of_a_box_reads_little():
    labels = np.ones((20, 20), int)
    source = open_source(np.zeros((4000, 4000), np.uint8), axes="yx", window=(0, 255))
    given = PlaneExample(source, source.plane(), labels, box=Box(2000, 100, 2020, 120))
    picture = thumbnail(given)
    assert (picture == (255, 255, 0)).all(axis=-1).any()


def test_embeddings_are_shared_with_the_search(labels):
    model, cache = CountingModel(PerfectModel(128)), EmbeddingCache(directory=None)
    given = told(labels, labels)
    drain(encode_steps(given, model, cache))
    drain(weigh_steps([given, given], given.source, given.address, model, cache))
    assert model.encoded == 1
