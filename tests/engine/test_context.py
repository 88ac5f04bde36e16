"""More like this: classes and objects after one example, over many tiles."""

import numpy as np
import pytest

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like, segment_like_steps
from napari_ditto.errors import SourceError
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.models.protocols import ContextMap, Memory, ModelSpec


class ByBrightness:
    """Knows each class by the mean brightness of its pixels; a stand-in with small tiles."""

    spec = ModelSpec("brightness", "fake", "1", "0" * 64, "BSD-3-Clause", "none", input_size=48)

    def encode(self, tiles):
        return [Embedding({"light": t[..., 0]}, t.shape[:2], self.spec.key) for t in tiles]

    def remember(self, examples):
        classes = sorted({int(c) for e in examples for c in np.unique(e.labels)} - {0})
        light = np.concatenate([e.embedding.arrays["light"].ravel() for e in examples])
        labels = np.concatenate([e.labels.ravel() for e in examples])
        means = [light[labels == c].mean() for c in (0, *classes)]
        return Memory({"means": np.array(means)}, tuple(classes), self.spec.key)

    def recall(self, embedding, memory):
        away = -abs(embedding.arrays["light"] - memory.arrays["means"][:, None, None])
        odds = np.exp(40 * away)
        return ContextMap((odds / odds.sum(axis=0))[1:].astype(np.float32))

    def tune(self, memory, examples, steps=20):
        return memory


def two_kinds(seed):
    cells = blobs((130, 170), 30, radius=9, seed=seed)
    kinds = np.where(cells > 0, cells % 2 + 1, 0)
    image = np.array([20, 120, 220], np.uint8)[kinds]
    return image, kinds, cells


def test_classes_are_found_over_many_tiles():
    (shown, kinds, _), (image, expected, _) = two_kinds(0), two_kinds(1)
    source = open_source(image, axes="yx", window=(0, 255))
    found = segment_like(source, [(shown, kinds)], ByBrightness())
    assert np.array_equal(found, expected)


def test_objects_get_ids_of_their_own():
    shown, image = blobs((100, 100), 15, seed=0), blobs((130, 170), 25, radius=10, seed=3)
    source = open_source((image > 0).astype(np.uint8) * 200, axes="yx", window=(0, 255))
    example = ((shown > 0).astype(np.uint8) * 200, shown)
    found = segment_like(source, [example], ByBrightness(), instances=True)
    assert np.array_equal(found > 0, image > 0)
    assert abs(int(found.max()) - int(image.max())) <= 2


def test_classic_learns_from_one_example():
    shown, truth = blobs((120, 120), 20, seed=0), blobs((140, 160), 25, seed=1)
    source = open_source(render(truth, seed=1), axes="yx", window=(0, 255))
    found = segment_like(source, [(render(shown), (shown > 0).astype(int))], ClassicModel())
    assert ((found > 0) & (truth > 0)).sum() / ((found > 0) | (truth > 0)).sum() > 0.8


def test_progress_names_each_tile():
    image, kinds, _ = two_kinds(0)
    source = open_source(image, axes="yx", window=(0, 255))
    steps = list(segment_like_steps(source, [(image, kinds)], ByBrightness()))
    tiles = [p for p in steps if p.stage == "decode"]
    assert [p.done for p in tiles] == list(range(tiles[0].total))


def test_labels_of_another_shape_are_refused():
    image, kinds, _ = two_kinds(0)
    source = open_source(image, axes="yx", window=(0, 255))
    with pytest.raises(SourceError, match="example 1"):
        segment_like(source, [(image, kinds[:50])], ByBrightness())
