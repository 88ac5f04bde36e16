"""In-context tuning: the pictures change, the weights and the labels do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import Example
from napari_ditto.models.registry import load_model
from napari_ditto.models.seggpt.look import Settings, painted, pixels
from napari_ditto.models.seggpt.tuning import Tuner
from napari_ditto.testing.small_seggpt import save_small_seggpt


@pytest.fixture(scope="module")
def soft(tmp_path_factory):
    """A network that is not very sure of itself: there is something to gain."""
    folder = save_small_seggpt(tmp_path_factory.mktemp("soft") / "seggpt", size=40, likeness=4.0)
    return load_model(f"seggpt:{folder}", "cpu")


@pytest.fixture(scope="module")
def faint(soft, scene, example):
    """Squares that are hardly brighter than what is round them."""
    scenes = [scene([(4, 4 + 4 * k, 0.33 - 0.01 * k)], (40, 40), seed=k) for k in range(5)]
    return [example(soft, *s) for s in scenes]


@pytest.fixture(scope="module")
def memory(soft, faint):
    return soft.remember(faint[:2])


@pytest.fixture(scope="module")
def tuned(soft, faint, memory):
    return soft.tune(memory, faint[:2], steps=20)


def dice(model, memory, examples):
    """Return the mean soft Dice."""
    scores = []
    for e in examples:
        chance = model.recall(e.embedding, memory).probability[0]
        true = e.labels > 0
        scores.append(2 * chance[true].sum() / (chance.sum() + true.sum()))
    return float(np.mean(scores))


def test_it_is_better_on_the_examples_and_on_others(soft, faint, memory, tuned):
    assert dice(soft, tuned, faint[:2]) > dice(soft, memory, faint[:2]) + 0.1
    assert dice(soft, tuned, faint[2:]) > dice(soft, memory, faint[2:]) + 0.3


def test_only_pictures_change(soft, memory, tuned):
    assert tuned.classes == memory.classes
    assert tuned.model == memory.model
    assert tuned.arrays["images"].dtype == np.float16
    assert tuned.arrays["images"].shape == memory.arrays["images"].shape
    assert not np.array_equal(tuned.arrays["images"], memory.arrays["images"])
    for name in ("labels", "names", "order"):
        np.testing.assert_array_equal(tuned.arrays[name], memory.arrays[name])


def test_it_survives_a_file_and_arrays_that_cannot_be_written(soft, faint, tuned, tmp_path):
    from safetensors.numpy import load_file, save_file

    save_file({n: np.ascontiguousarray(a) for n, a in tuned.arrays.items()}, tmp_path / "tuned")
    arrays = load_file(tmp_path / "tuned")
    for array in arrays.values():
        array.setflags(write=False)
    again = soft.recall(faint[3].embedding, replace(tuned, arrays=arrays)).probability
    np.testing.assert_array_equal(again, soft.recall(faint[3].embedding, tuned).probability)


def test_the_weights_stay(soft, faint, memory):
    network = soft._painter.network
    before = {n: p.clone() for n, p in network.named_parameters()}
    soft.tune(memory, faint[:2], steps=2)
    assert all(torch.equal(p, before[n]) for n, p in network.named_parameters())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_it_is_the_same_every_time_and_in_any_order(soft, faint, memory, tuned):
    again = soft.tune(memory, faint[1::-1], steps=20)
    np.testing.assert_array_equal(again.arrays["images"], tuned.arrays["images"])


def test_tuning_goes_on_where_it_stopped(soft, faint, tuned):
    further = soft.tune(tuned, faint[:2], steps=8)
    assert dice(soft, further, faint[:2]) >= dice(soft, tuned, faint[:2])


def test_one_example_is_the_query_of_itself_turned(soft, faint):
    memory = soft.remember(faint[:1])
    tuned = soft.tune(memory, faint[:1], steps=12)
    assert dice(soft, tuned, faint[2:]) > dice(soft, memory, faint[2:]) + 0.3


def test_a_class_that_one_example_alone_shows_is_asked_of_itself_turned(soft, faint):
    shown = [faint[0], replace(faint[1], labels=np.full((40, 40), 2))]
    memory = soft.remember(shown)
    tasks = Tuner(*parts(soft), memory, shown).tasks
    assert all(task.is_turned and len(task.chosen) == 2 for task in tasks)
    tuned = soft.tune(memory, shown, steps=4)
    assert np.isfinite(tuned.arrays["images"]).all()


@pytest.mark.parametrize("kind", ["random", "solved"])
def test_it_is_never_worse_on_the_examples(
    kind, random_model, model, picture, labelling, scene, example
):
    """Neither where steps lead anywhere, nor where there is nothing to gain."""
    if kind == "random":
        own = random_model
        shown = [example(own, picture(seed=s), labelling(seed=s)) for s in range(2)]
    else:
        own = model
        shown = [example(own, *scene([(8, 8 + 8 * s, 0.8)], seed=s)) for s in range(2)]
    memory = own.remember(shown)
    before = dice(own, memory, shown)
    for steps in (0, 1, 3):
        assert dice(own, own.tune(memory, shown, steps), shown) >= before - 1e-6


@pytest.mark.parametrize("ensemble", ["feature", "spatial"])
def test_the_grid_of_the_spatial_ensemble_is_tuned_as_well(soft, scene, ensemble):
    own = soft.using(Settings(ensemble=ensemble))
    scenes = [scene([(4, 4 + 4 * k, 0.33)], (40, 40), seed=k) for k in range(3)]
    shown = [Example(own.encode(tile[None])[0], labels) for tile, labels in scenes]
    memory = own.remember(shown[:2])
    tuned = own.tune(memory, shown[:2], steps=8)
    assert dice(own, tuned, shown[2:]) >= dice(own, memory, shown[2:])
    assert dice(own, tuned, shown[:2]) > dice(own, memory, shown[:2])


def test_what_is_unknown_does_not_count(soft, faint, memory):
    """Another truth where nobody has looked changes nothing."""
    partly = np.asarray(faint[0].labels).copy()
    partly[:, 30:] = -1
    first = Tuner(*parts(soft), memory, [replace(faint[0], labels=partly)])
    counted = first.tasks[0].counts
    assert counted.sum() == (partly != -1).sum()


def test_examples_that_show_nothing_do_not_count(soft, faint, memory, tuned):
    nobody_looked = replace(faint[3], labels=np.full((40, 40), -1))
    nothing_there = replace(faint[4], labels=np.zeros((40, 40), int))
    again = soft.tune(memory, [*faint[:2], nobody_looked, nothing_there], steps=20)
    np.testing.assert_array_equal(again.arrays["images"], tuned.arrays["images"])


def parts(model):
    return model._painter, model.settings, model._square


def test_the_loss_is_that_of_the_network(random_model, network, picture, labelling, example):
    shown = [example(random_model, picture(seed=s), labelling(seed=s)) for s in range(2)]
    memory = random_model.remember(shown)
    tuner = Tuner(*parts(random_model), memory, shown[:1])
    (task,) = tuner.tasks
    painter, cpu = random_model._painter, torch.device("cpu")
    images = pixels(memory.arrays["images"], cpu)
    with torch.no_grad():
        ours = float(tuner._error(images, task, 0))
    chosen = list(task.chosen)
    assert len(chosen) == 1
    assert not np.array_equal(memory.arrays["images"][chosen[0]], task.image)  # the other one
    theirs = network.requires_grad_(False)(
        pixel_values=painter.normalize(pixels(task.image, cpu))[None],
        prompt_pixel_values=painter.normalize(images[chosen]),
        prompt_masks=painter.normalize(painted(memory.arrays["labels"][chosen], task.group)),
        labels=painter.normalize(painted(task.ranks, task.group))[None],
        bool_masked_pos=torch.arange(2 * 4 * 4)[None] >= 4 * 4,
    ).loss
    assert ours == pytest.approx(float(theirs), rel=0.02)  # they count the row on the seam


# --- refusals -----------------------------------------------------------------------------------


def test_a_class_that_the_memory_does_not_know(soft, faint, memory):
    with pytest.raises(ModelError, match=r"\[9\] are not among the classes"):
        soft.tune(memory, [replace(faint[0], labels=9 * (faint[0].labels > 0))])


def test_a_memory_or_an_example_of_another_model(soft, model, faint, memory):
    with pytest.raises(ModelError, match="the memory is of another model"):
        soft.tune(replace(memory, model=model.spec.key), faint)
    foreign = model.encode(np.zeros((1, 40, 40, 3), np.float32))[0]
    with pytest.raises(ModelError, match="the embedding is of another model"):
        soft.tune(memory, [replace(faint[0], embedding=foreign)])
    with pytest.raises(ModelError, match="the memory is of another model"):
        model.recall(foreign, memory)
