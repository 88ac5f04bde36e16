"""The traps of SegGPT's classes in transformers: each is real, and we do not fall into it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import SegGptImageProcessorPil

from napari_ditto.models.protocols import Example
from napari_ditto.models.seggpt.look import painted
from napari_ditto.models.seggpt.square import Square

SIZE = 64


def batch(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIZE, SIZE, generator=generator)


def test_a_mask_of_0_and_1_is_white_not_black(labelling):
    labels = labelling()
    trap = SegGptImageProcessorPil(size={"height": SIZE, "width": SIZE}, do_normalize=False)
    black = trap(None, prompt_masks=labels, do_rescale=False, return_tensors="np")["prompt_masks"]
    assert black.max() == 1  # of 255
    assert painted(labels.astype(np.uint16), (1,)).max() == 255


def test_one_query_needs_as_many_copies_as_there_are_examples(
    network, random_model, picture, labelling, example
):
    with pytest.raises(RuntimeError), torch.no_grad():
        network(batch(1, 0), batch(3, 1), batch(3, 2), feature_ensemble=True)
    shown = [example(random_model, picture(seed=s), labelling(seed=s)) for s in range(3)]
    query = random_model.encode(picture(seed=9)[None])[0]
    found = random_model.recall(query, random_model.remember(shown))
    assert found.probability.shape == (1, SIZE, SIZE)


def test_an_ensemble_of_two_queries_mixes_them_so_we_ask_one_at_a_time(
    network, random_model, picture, labelling, example
):
    def first_row(second_query):
        queries = torch.cat([batch(1, 0), second_query])
        with torch.no_grad():
            return network(queries, batch(2, 1), batch(2, 2), feature_ensemble=True).pred_masks[0]

    assert not torch.allclose(first_row(batch(1, 0)), first_row(batch(1, 7)), atol=1e-2)
    shown = [example(random_model, picture(seed=s), labelling(seed=s)) for s in range(2)]
    memory = random_model.remember(shown)
    tiles = np.stack([picture(seed=s) for s in (8, 9)])
    together = random_model.encode(tiles)
    for tile, embedding in zip(tiles, together, strict=True):
        alone = random_model.encode(tile[None])[0]
        expected = random_model.recall(alone, memory).probability
        np.testing.assert_array_equal(random_model.recall(embedding, memory).probability, expected)


def test_every_row_of_an_ensemble_paints_the_same_so_the_first_is_taken(network):
    query = batch(1, 0).expand(3, -1, -1, -1)
    with torch.no_grad():
        rows = network(query, batch(3, 1), batch(3, 2), feature_ensemble=True).pred_masks
    for row in rows[1:]:
        torch.testing.assert_close(row[:, SIZE + 1 :], rows[0, :, SIZE + 1 :], atol=1e-3, rtol=0)


# --- the seam between example and query ---------------------------------------------------------


def test_the_decoder_mixes_the_first_row_of_the_query_with_the_example(network):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 2 * SIZE // 16, SIZE // 16, 64, generator=generator)
    other = hidden.clone()
    other[:, SIZE // 16 - 1] += 1  # the last row of patches of the example
    with torch.no_grad():
        change = (network.decoder(hidden) - network.decoder(other)).abs()[0].amax(dim=(0, 2))
    assert change[SIZE] > 0.1
    assert change[SIZE + 1 :].max() == 0


def test_a_tile_lower_than_the_square_has_no_pixel_on_the_seam():
    for height in range(1, SIZE):
        assert Square(SIZE).corner((height, 5))[0] >= 1


def test_a_full_tile_repeats_its_second_row_over_the_seam(
    random_model, picture, labelling, example
):
    memory = random_model.remember([example(random_model, picture(), labelling())])
    found = random_model.recall(random_model.encode(picture(seed=1)[None])[0], memory).probability
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert not np.array_equal(found[:, 1], found[:, 2])


# --- one size, square, at one pixel size --------------------------------------------------------


def test_the_network_takes_one_size_only_and_smaller_tiles_are_mirrored(
    network, random_model, picture, labelling, example
):
    small = torch.zeros(1, 3, SIZE - 16, SIZE)
    with pytest.raises(ValueError, match="doesn't match model"):
        network(small, small, small)
    memory = random_model.remember([example(random_model, picture(), labelling())])
    for shape in [(SIZE, SIZE), (40, 64), (63, 17), (1, 64), (64, 1), (1, 1)]:
        query = random_model.encode(picture(*shape, seed=1)[None])[0]
        found = random_model.recall(query, memory).probability
        assert found.shape == (1, *shape)
        assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(64, 64), (40, 64), (63, 17), (5, 3), (1, 1)])
def test_nothing_is_squashed_or_scaled(shape, picture):
    square = Square(SIZE)
    tile = picture(*shape)
    shown = square.show(tile)
    assert shown.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(
        square.cut(np.moveaxis(shown, -1, 0), shape), tile.transpose(2, 0, 1)
    )
    assert set(np.unique(shown)) == set(np.unique(tile))  # mirrored, nothing made up


def test_an_example_of_another_size_than_the_query_keeps_its_pixel_size(model, scene, example):
    """A square of 16 pixels is one of 16 pixels in either tile."""
    tile, labels = scene([(8, 8, 0.8)], shape=(32, 40))
    wide, truth = scene([(32, 40, 0.8)], shape=(80, 80), seed=1)
    memory = model.remember([example(model, tile, labels)])
    found = model.recall(model.encode(wide[None])[0], memory).probability[0] > 0.5
    assert (found & (truth > 0)).sum() / (found | (truth > 0)).sum() > 0.8


# --- what cannot be said ------------------------------------------------------------------------


def test_unknown_pixels_are_cut_off_or_taken_for_background(model, scene, example):
    tile, labels = scene([(8, 8, 0.8), (8, 50, 0.8)])
    labels[labels == 2] = -1  # nobody has looked at the second square
    labels[:, 40:] = -1
    memory = model.remember([example(model, tile, labels)])
    shown = memory.arrays["images"][0]
    bright = (shown[..., 0] > 150) != (memory.arrays["labels"][0] > 0)
    assert not bright.any()  # all bright squares, mirrored ones too, are labelled
    found = model.recall(model.encode(tile[None])[0], memory).probability[0] > 0.5
    assert found[8:24, 50:66].mean() > 0.8
    labels[30, 60] = 0  # now the second square lies within what is known
    memory = model.remember([Example(model.encode(tile[None])[0], labels)])
    assert memory.arrays["labels"].max() == 1
