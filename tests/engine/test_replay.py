"""Sessions replayed: the same prompts to the same model give the same labels, bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.core.refinement import Refinement
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.session_folder import (
    INDEX,
    SessionContent,
    read_session,
    write_session_steps,
)
from napari_ditto.data.session_layers import SessionImage, SessionLabels
from napari_ditto.data.session_pixels import fingerprint
from napari_ditto.data.session_records import SessionRecord
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.replay import Replay, replay, step_of
from napari_ditto.errors import LabelsError, ModelError, SourceError
from napari_ditto.models.registry import load_model

CLICKS = [[(20, 20)], [(20, 60), (24, 62)], [(60, 25)]]


@pytest.fixture(scope="module")
def model():
    return load_model("classic")


def scene():
    from skimage.draw import disk

    image = np.full((96, 96), 30, np.uint8)
    for y, x in [(20, 20), (22, 60), (60, 25), (64, 70)]:
        image[disk((y, x), 11)] = 190
    image += np.random.default_rng(3).integers(0, 20, image.shape, dtype=np.uint8)
    return image


def annotate(model, image, refinement=None, overlap="keep", choose=0):
    """Accept some objects as the window does; return labels and steps."""
    source = open_source(image, "yx")
    annotator = Annotator(source, model, overlap=overlap)
    steps = []
    for clicks in CLICKS:
        proposals = annotator.predict(points=clicks)
        choice = (proposals.best + choose) % len(proposals)
        if choice != proposals.best:
            proposals = drain(annotator.grow_steps(proposals, choice))
        proposals = proposals.refined(refinement or Refinement())
        annotator.accept(proposals, choice)
        delta = annotator.history.done[-1].delta
        step = step_of(proposals, choice, delta, overlap, source.window, "classic", "cpu")
        steps.append(replace(step, images=("i",)))
    return annotator.store, steps


def save(path, image, labels, steps):
    entry = SessionImage(
        "i", "discs", axes=("y", "x"), shapes=(image.shape,), dtype="uint8",
        fingerprint=fingerprint([image], "discs"),
    )  # fmt: skip
    told = SessionLabels(
        "l", "objects", images=("i",), axes=("y", "x"), shape=image.shape, steps=tuple(steps)
    )
    record = SessionRecord((entry,), (told,), chosen=("i",), target="l")
    drain(write_session_steps(path, SessionContent(record, {"l": labels}, {"i": [image]})))
    return path


@pytest.mark.parametrize(
    ("refinement", "overlap", "choose"),
    [
        (None, "keep", 0),
        (None, "replace", 1),
        (Refinement(threshold=-0.4, smooth=1.5, fill_holes=True, pieces="clicked"), "keep", 0),
    ],
)
def test_replay_gives_the_same_labels(tmp_path, model, refinement, overlap, choose):
    image = scene()
    labels, steps = annotate(model, image, refinement, overlap, choose)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    result = replay(path)
    assert result.is_identical
    assert result.steps == 3
    np.testing.assert_array_equal(result.labels.data, labels.data)
    assert result.labels.data.any()


def test_what_was_painted_and_merged_is_kept(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    labels.data[labels.data == 2] = 1  # merged
    labels.data[80:90, 80:90] = 9  # painted
    labels.data[18:22, 18:22] = 0  # rubbed out
    result = replay(save(tmp_path / "a.ditto-session", image, labels, steps))
    assert result.is_identical
    np.testing.assert_array_equal(result.labels.data, labels.data)


def test_painting_that_kept_an_object_small_does_not_matter(tmp_path, model):
    """The brush was there first; it is no step, but what it kept free is known."""
    image = scene()
    store = ArrayLabels(np.zeros(image.shape, np.uint32), "yx")
    store.data[10:20, 10:30] = 40
    annotator = Annotator(open_source(image, "yx"), model, labels=store)
    proposals = annotator.predict(points=[(20, 20)])
    annotator.accept(proposals)
    delta = annotator.history.done[-1].delta
    window = annotator.source.window
    step = step_of(proposals, proposals.best, delta, "keep", window, "classic", "cpu")
    assert not step.taken.box.is_empty
    path = save(tmp_path / "a.ditto-session", image, store, [replace(step, images=("i",))])
    assert replay(path).is_identical


def test_another_answer_is_told_with_its_pixels(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    told = json.loads((path / INDEX).read_text())
    told["labels"][0]["steps"][1]["prompts"]["points"] = [[64, 70, True]]
    (path / INDEX).write_text(json.dumps(told))
    result = replay(path)
    assert result.differing == (2,)
    assert not result.is_identical
    assert result.pixels == np.count_nonzero(result.labels.data != labels.data) > 100
    assert result.labels.data[64, 70] == 2
    assert result.labels.data[20, 60] == 0


def test_other_weights_are_refused(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    steps = [replace(step, model_key="classic@0#feed") for step in steps]
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    with pytest.raises(ModelError, match=r"other weights now.*--force"):
        replay(path)
    assert replay(path, force=True).is_identical


def test_other_pixels_are_refused(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    np.save(tmp_path / "x.npy", image)
    from PIL import Image

    Image.fromarray(image[::-1].copy()).save(tmp_path / "other.png")
    Image.fromarray(image).save(tmp_path / "same.png")
    with pytest.raises(SourceError, match="other pixels"):
        replay(path, images={"discs": tmp_path / "other.png"})
    assert replay(path, images={"discs": tmp_path / "same.png"}).is_identical


def test_labels_without_prompts_cannot_be_replayed(tmp_path, model):
    image = scene()
    labels, _ = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, [])
    with pytest.raises(LabelsError, match="no object was made by prompts"):
        replay(path)
    with pytest.raises(LabelsError, match="no labels 'none'"):
        replay(path, "none")


def test_a_step_outside_of_the_labels_is_refused(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    told = json.loads((path / INDEX).read_text())
    told["labels"][0]["steps"][0]["written"]["box"] = [90, 90, 200, 200]
    (path / INDEX).write_text(json.dumps(told))
    with pytest.raises(LabelsError):
        replay(path)


def test_nothing_in_the_session_is_changed(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    replay(path)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before


def test_images_and_models_are_opened_once(tmp_path, model):
    image = scene()
    labels, steps = annotate(model, image)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    asked = []
    job = Replay(path, load_model=lambda *name: asked.append(name) or model)
    assert drain(job.steps()).is_identical
    assert asked == [("classic", "cpu")]
    assert read_session(path).steps == 3


@pytest.mark.parametrize(
    "told", [{"smooth": 1e9}, {"smooth": "a"}, {"pieces": "x"}, {"min_area": 1.5}, {"x": 1}]
)
def test_a_refinement_that_makes_no_sense(tmp_path, model, told):
    image = scene()
    labels, steps = annotate(model, image)
    steps[0] = replace(steps[0], refinement=told)
    path = save(tmp_path / "a.ditto-session", image, labels, steps)
    with pytest.raises(SourceError, match="refined in an unknown way"):
        replay(path)
