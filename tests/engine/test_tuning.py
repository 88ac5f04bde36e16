"""Tuning on examples: what is held out, what is kept, how it ends."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.source import open_source
from napari_ditto.engine import tuning
from napari_ditto.engine.context import segment_like_steps
from napari_ditto.engine.lessons import remember_steps
from napari_ditto.engine.teaching import encode_steps
from napari_ditto.engine.tuning import split, tune_steps
from napari_ditto.errors import JobCancelled, ModelError
from napari_ditto.models.protocols import UNKNOWN, Example
from napari_ditto.models.registry import load_model
from napari_ditto.testing.blobs import BlobContextModel

SUNNYBROOK = Path(__file__).parents[2] / "../shared/data/train/sunnybrook_cmr"


class Tunable(BlobContextModel):
    """Remembers greys that are off by `start`; each step of tuning moves them by `pace`."""

    def __init__(self, start=0.3, pace=-0.01):
        super().__init__()
        self.start, self.pace, self.tuned = start, pace, []

    def remember(self, examples):
        memory = super().remember(examples)
        return replace(memory, arrays={"grey": memory.arrays["grey"] + self.start})

    def tune(self, memory, examples, steps=20):
        self.tuned.append(len(examples))
        return replace(memory, arrays={"grey": memory.arrays["grey"] + self.pace * steps})


def plane(seed=0, objects=4, **flags):
    """Squares of grey 0.6 on 0.2, all of them labelled."""
    rng = np.random.default_rng(seed)
    image, labels = np.full((60, 80), 0.2, np.float32), np.zeros((60, 80), np.int32)
    for n, (row, column) in enumerate([(5, 5), (5, 45), (35, 5), (35, 45)][:objects], 1):
        y, x = np.array([row, column]) + rng.integers(0, 10, 2)
        image[y : y + 12, x : x + 12], labels[y : y + 12, x : x + 12] = 0.6, n
    source = open_source(image, axes="yx", window=(0, 1))
    return PlaneExample(source, source.plane(), labels, name=f"plane {seed}", **flags)


def tuned(examples, model, **how):
    return drain(tune_steps(examples, model, **{"instances": True, "steps": 60, **how}))


def test_what_helps_is_kept_and_scored_on_what_was_held_out():
    model = Tunable()
    found = tuned([plane(0), plane(1)], model, name="squares")
    assert (found.name, found.model, found.classes) == ("squares", model.spec.key, (1,))
    assert (found.before, found.after, found.examples, found.note) == (0.0, 1.0, 2, "")
    assert found.instances
    # One portion of ten steps is enough; it is done on all examples at last.
    np.testing.assert_allclose(found.memory.arrays["grey"], 0.8, atol=1e-6)
    assert model.tuned[-1] == 2


def test_what_does_harm_is_not_kept():
    model = Tunable(start=0.0, pace=0.05)
    found = tuned([plane(0), plane(1)], model)
    assert found.before == found.after == 1.0
    assert "did not help" in found.note
    np.testing.assert_allclose(found.memory.arrays["grey"], 0.6, atol=1e-6)


def test_it_is_given_up_when_nothing_is_gained():
    model = Tunable(pace=0.0)
    tuned([plane(0), plane(1)], model, steps=1000)
    assert len(model.tuned) == 2 * tuning.PATIENCE


def test_time_ends_it_but_something_is_tried(monkeypatch):
    now = iter(range(0, 10_000, 50))
    monkeypatch.setattr(tuning.time, "monotonic", lambda: float(next(now)))
    model = Tunable(start=0.5)
    found = tuned([plane(0), plane(1)], model, steps=None, seconds=60)
    assert len(model.tuned) == 2
    assert found.before == found.after


def test_slow_models_are_tuned_in_small_portions():
    class Slow(Tunable):
        def tune(self, memory, examples, steps=20):
            assert steps == tuning.SLOW_PORTION
            return super().tune(memory, examples, steps)

    from napari_ditto.models.protocols import PerExample

    model = Slow()
    model.spec = replace(model.spec, per_example=PerExample(4, 4))
    assert tuned([plane(0), plane(1)], model).after == 1.0


def test_every_step_tells_the_time_left_and_can_be_cancelled():
    steps = []
    tune = tune_steps([plane(0), plane(1)], Tunable(), instances=True, seconds=60)
    drain(tune, steps.append)
    told = [s.text for s in steps if "left" in s.text]
    assert told
    assert any("held-out Dice 0.000, 60 s left" in t for t in told)
    for stop in range(1, len(steps)):
        count = iter(range(stop))
        with pytest.raises(JobCancelled):
            drain(
                tune_steps([plane(0), plane(1)], Tunable(), instances=True),
                cancelled=lambda count=count: next(count, None) is None,
            )


def test_the_result_goes_into_more_like_this():
    model, target = Tunable(), plane(7)
    found = tuned([plane(0)], model)
    steps = segment_like_steps(target.source, [], model, instances=False, memory=found.memory)
    assert np.array_equal(drain(steps).labels > 0, target.labels > 0)


def test_pictures_with_labels_are_examples_too():
    example = plane(0)
    pixels = example.source.read(example.address, example.where)[..., 0]
    assert (
        tuned([(pixels, example.labels), (example.source, example.labels)], Tunable()).examples == 2
    )


def test_examples_switched_off_are_left_out():
    assert tuned([plane(0), plane(1, enabled=False)], Tunable()).examples == 1
    with pytest.raises(ModelError, match="no example"):
        tuned([plane(1, enabled=False)], Tunable())


def test_a_single_pixel_cannot_be_held_out():
    labels = np.zeros((60, 80), int)
    labels[3, 3] = 1
    found = tuned([replace(plane(), labels=labels)], Tunable())
    assert math.isnan(found.before)
    assert "too little is labelled" in found.note


# --- what is held out --------------------------------------------------------------------------


def tile(labels):
    model = BlobContextModel()
    return Example(model.encode(np.zeros((1, *labels.shape, 3), np.float32))[0], labels)


def spots(*places):
    labels = np.zeros((20, 30), int)
    for y, x in places:
        labels[y, x] = 1
    return tile(labels)


def test_examples_are_held_out_in_turn():
    groups = [[spots((n, n))] for n in range(1, 4)]
    folds = split(groups)
    assert [f.held for f in folds] == groups
    assert all(len(f.rest) == 2 and not set(f.rest) & set(f.held) for f in folds)


def test_of_many_examples_several_are_held_out_together():
    groups = [[spots((n, n))] for n in range(1, 11)]
    folds = split(groups)
    assert len(folds) == tuning.MOST_FOLDS
    assert sum(len(f.held) for f in folds) == 10
    assert all(len(f.rest) + len(f.held) == 10 for f in folds)


def test_what_is_not_meant_is_always_known():
    bare = [spots()]
    folds = split([[spots((1, 1))], bare, [spots((2, 2))]])
    assert len(folds) == 2
    assert all(bare[0] in f.rest and bare[0] not in f.held for f in folds)


def test_tiles_of_a_lone_example_are_held_out():
    tiles = [spots((1, 1)), spots(), spots((5, 5))]
    folds = split([tiles])
    assert [f.held for f in folds] == [[tiles[0]], [tiles[2]]]
    assert all(tiles[1] in f.rest for f in folds)


def test_a_lone_tile_is_halved_across_its_objects():
    lone = spots((10, 3), (10, 25), (8, 24), (9, 4))
    folds = split([[lone]])
    assert len(folds) == 2
    for fold in folds:
        (rest,), (held,) = fold.rest, fold.held
        known = [e.labels != UNKNOWN for e in (rest, held)]
        assert not (known[0] & known[1]).any()
        assert (known[0] | known[1]).all()
        assert (rest.labels > 0).sum() == (held.labels > 0).sum() == 2


# --- the real models ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_the_result_depends_on_the_examples_alone(name):
    model = load_model(name, "cpu")
    examples = [replace(plane(n), box=Box(0, 0, 60, 80)) for n in range(2)]
    first, second = (tuned(e, model, steps=10) for e in (examples, examples[::-1]))
    assert 0.5 < first.before <= first.after <= 1
    assert (first.before, first.after) == (second.before, second.after)
    for array, again in zip(
        first.memory.arrays.values(), second.memory.arrays.values(), strict=True
    ):
        assert np.array_equal(array, again)


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_tuning_recovers_what_wrong_labels_taught(name):
    """From a memory of noise, tuning on clean examples finds the squares again."""
    model = load_model(name, "cpu")
    (clean,) = drain(encode_steps(plane(0), model, None, instances=True))
    noise = np.random.default_rng(0).random(clean.labels.shape) < 0.5
    memory = model.remember([replace(clean, labels=noise.astype(int))])
    before, after = (
        tuning._dice(model, m, [clean]) for m in (memory, model.tune(memory, [clean], 20))
    )
    assert before < 0.7
    assert after > 0.9


@pytest.mark.parametrize("name", ["classic", "ditto"])
def test_examples_without_one_of_the_classes_change_nothing(name):
    model = load_model(name, "cpu")
    (both,) = drain(encode_steps(plane(0, objects=2), model, None))
    (one,) = drain(encode_steps(plane(1, objects=1), model, None))
    memory = model.remember([both])
    assert model.tune(memory, [one], 5) is memory
    assert model.tune(memory, [both], 5) is not memory


@pytest.mark.data
@pytest.mark.skipif(not SUNNYBROOK.is_dir(), reason="no real images here")
def test_real_hearts_gain_on_patients_that_were_not_shown():
    from PIL import Image

    model, shown = load_model("ditto", "cpu"), []
    for path in sorted((SUNNYBROOK / "images").iterdir())[::55]:
        pixels, mask = (
            np.asarray(Image.open(SUNNYBROOK / part / path.name)) for part in ("images", "masks")
        )
        shown.append((pixels, (mask > 0).astype(np.int32)))
    found = tuned(shown[:2], model, steps=20)
    assert found.after > found.before
    held = [
        tile
        for pixels, labels in shown[2:]
        for tile in drain(encode_steps(example_of(pixels, labels), model, None))
    ]
    plain = drain(remember_steps(example_of(*shown[0]).source, shown[:2], model, weighted=False))
    dice = [np.mean([tuning._dice(model, m, [e]) for e in held]) for m in (plain, found.memory)]
    assert dice[1] > dice[0] + 0.02


def example_of(pixels, labels):
    source = open_source(pixels, axes="yx")
    return PlaneExample(source, source.plane(), labels)
