"""What we send to the network, and what we make of its paint, equal the library's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import SegGptImageProcessorPil
from transformers.models.seggpt.modeling_seggpt import SegGptImageSegmentationOutput

from napari_ditto.models.seggpt.look import Settings, look, painted, pixels
from napari_ditto.models.seggpt.palette import CERTAINTY, palette, probabilities

SIZE = 64


def processor():
    return SegGptImageProcessorPil(size={"height": SIZE, "width": SIZE})


def eight_bit(tile):
    return np.rint(tile * 255).astype(np.uint8)


def library(network, query, images, labels, classes, **kind):
    """Return what the library's processor, network and postprocessing make of it.

    The painted query, 0 to 255, of every row of the batch, and its segmentation.
    """
    own = processor()
    inputs = own(
        images=[eight_bit(query)] * len(images),
        prompt_images=[eight_bit(i) for i in images],
        prompt_masks=list(labels),
        num_labels=classes,
        return_tensors="pt",
    )
    with torch.no_grad():
        out = network(**inputs, feature_ensemble=len(images) > 1, **kind)
    std, mean = (torch.tensor(v).view(3, 1, 1) for v in (own.image_std, own.image_mean))
    rows = (out.pred_masks[:, :, SIZE:] * std + mean) * 255
    found = own.post_process_semantic_segmentation(out, num_labels=classes)
    return rows.numpy(), np.stack([f.numpy() for f in found])


def ours(model, query, images, labels, classes, **settings):
    """Return the painted query, 0 to 255."""
    group = tuple(range(1, classes + 1))
    shown = pixels([eight_bit(i) for i in images], torch.device("cpu"))
    with torch.no_grad():
        return look(
            model._painter,
            Settings(**settings),
            shown,
            np.stack(labels).astype(np.uint16),
            group,
            pixels(eight_bit(query), torch.device("cpu")),
        ).numpy()


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 26, 27, 64, 125, 300])
def test_the_palette_is_the_librarys(classes):
    np.testing.assert_array_equal(palette(classes), processor().get_palette(classes))


@pytest.mark.parametrize("classes", [1, 3, 7])
def test_inputs_are_the_librarys(random_model, picture, labelling, classes):
    labels = labelling(range(classes + 1), seed=5)
    expected = processor()(
        images=eight_bit(picture(seed=1)),
        prompt_images=eight_bit(picture(seed=2)),
        prompt_masks=labels,
        num_labels=classes,
        return_tensors="np",
    )
    painter, cpu = random_model._painter, torch.device("cpu")
    group = tuple(range(1, classes + 1))
    for name, found in {
        "pixel_values": pixels(eight_bit(picture(seed=1)), cpu),
        "prompt_pixel_values": pixels(eight_bit(picture(seed=2)), cpu),
        "prompt_masks": painted(labels.astype(np.uint16), group),
    }.items():
        theirs = expected[name][0]
        np.testing.assert_allclose(painter.normalize(found).numpy(), theirs, atol=1e-5)
        assert np.abs(theirs).max() > 1.5


@pytest.mark.parametrize("kind", ["instance", "semantic"])
@pytest.mark.parametrize("classes", [1, 3])
def test_one_example_is_painted_as_the_library_does(
    random_model, network, picture, labelling, classes, kind
):
    scene = (picture(seed=1), [picture(seed=2)], [labelling(range(classes + 1))], classes)
    expected, segmented = library(network, *scene, embedding_type=kind)
    found = ours(random_model, *scene, kind=kind)
    np.testing.assert_allclose(found[:, 1:], expected[0, :, 1:], atol=2e-2)
    likeliest = probabilities(found, palette(classes)).argmax(axis=0)
    assert (likeliest == segmented[0])[1:].mean() > 0.999
    assert len(np.unique(segmented)) > 1  # the comparison is about something


def test_the_type_tokens_differ(random_model, picture, labelling):
    scene = (picture(seed=1), [picture(seed=2)], [labelling()], 1)
    assert (
        np.abs(ours(random_model, *scene) - ours(random_model, *scene, kind="semantic")).max() > 5
    )


@pytest.mark.parametrize("count", [2, 3])
def test_several_examples_are_painted_as_the_library_does_but_for_one_block(
    random_folder, network, picture, labelling, count
):
    """In the block where streams merge the library averages both together; see the next test."""
    from napari_ditto.models.registry import load_model

    model = load_model(f"seggpt:{random_folder}", "cpu")
    scene = (
        picture(seed=9),
        [picture(seed=s) for s in range(count)],
        [labelling((0, 1, 2), seed=s) for s in range(count)],
        2,
    )
    mute(network.model.encoder.layers[2].attention.proj)
    mute(model._painter.network.model.encoder.layers[2].attention.attention.proj)
    expected, _ = library(network, *scene)
    found = ours(model, *scene)
    np.testing.assert_allclose(found[:, 1:], expected[0, :, 1:], atol=2e-2)
    alone = ours(model, scene[0], scene[1][:1], scene[2][:1], 2)
    assert np.abs(found - alone).max() > 5


def mute(layer):
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()


def test_an_example_shown_twice_counts_once_as_in_the_published_code(
    random_model, network, picture, labelling
):
    scene = picture(seed=1), picture(seed=2), labelling()
    query, image, labels = scene
    once = ours(random_model, query, [image], [labels], 1)
    twice = ours(random_model, query, [image] * 2, [labels] * 2, 1)
    np.testing.assert_allclose(twice, once, atol=2e-2)
    first, _ = library(network, query, [image], [labels], 1)
    second, _ = library(network, query, [image] * 2, [labels] * 2, 1)
    assert np.abs(first[0] - second[0]).max() > 5  # when this fails, our hook can go


@pytest.mark.parametrize("classes", [1, 4, 7])
def test_probabilities_are_a_softmax_of_the_librarys_scores(classes):
    rng = np.random.default_rng(classes)
    wide = rng.normal(0, 2, (1, 3, 2 * 16, 16)).astype(np.float32)
    own = processor()
    theirs = own.post_process_semantic_segmentation(
        SegGptImageSegmentationOutput(pred_masks=torch.from_numpy(wide)),
        num_labels=classes,
        return_segmentation_scores=True,
    )[0]
    std, mean = np.array(own.image_std), np.array(own.image_mean)
    paint = (wide[0, :, 16:] * std[:, None, None] + mean[:, None, None]) * 255
    found = probabilities(paint, palette(classes))
    np.testing.assert_array_equal(found.argmax(axis=0), theirs.segmentation.numpy())
    apart = {1: 3 * 255**2, 4: 128**2, 7: 128**2}[classes]
    scores = CERTAINTY / apart * theirs.segmentation_scores.numpy().astype(np.float64)
    odds = np.exp(scores - scores.max(axis=0))
    np.testing.assert_allclose(found, odds / odds.sum(axis=0), atol=1e-4)
