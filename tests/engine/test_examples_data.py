"""More like this on real nuclei: after one object of the image, and after a whole other image."""

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from napari_ditto.core.jobs import drain
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.context import segment_like_steps
from napari_ditto.engine.examples import PlaneExample
from napari_ditto.evaluation.metrics import accuracy, match_ious
from napari_ditto.models.registry import load_model

DATA = Path(__file__).parents[2] / "../shared/data/train/dsb2018"
SHAPE = (256, 256)

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not here"),
]


def scenes(count):
    """Return dark images of one size with at least eight nuclei, as (source, labels)."""
    found = []
    for path in sorted((DATA / "images").iterdir()):
        image, labels = imread(path), imread(DATA / "masks" / path.name).astype(int)
        if labels.shape == SHAPE and image.mean() < 60 and len(np.unique(labels)) > 8:
            found.append(
                (open_source(image if image.ndim == 2 else image[..., 0], axes="yx"), labels)
            )
        if len(found) == count:
            break
    return found


def one_object(labels):
    """Return the labels of the object whose area is the median."""
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    return np.where(labels == ids[np.argsort(areas)[len(ids) // 2]], labels, 0)


def test_one_object_is_nearly_as_good_as_a_whole_image():
    ditto, cache, given = load_model("ditto"), EmbeddingCache(directory=None), scenes(4)
    scores = []
    for n, (source, truth) in enumerate(given):
        other, labels = given[n - 1]
        whole = PlaneExample(other, other.plane(), labels)
        one = PlaneExample(source, source.plane(), one_object(truth), partial=True)
        found = [
            drain(segment_like_steps(source, [e], ditto, instances=True, cache=cache)).labels
            for e in (whole, one)
        ]
        scores.append([accuracy(match_ious(f, truth), 0.5) for f in found])
    complete, partial = np.mean(scores, axis=0)
    assert complete > 0.6
    assert partial > 0.5
