"""Hostile and odd input through the public API: a right result, or one clear line."""

from __future__ import annotations

import shutil

import dask.array as da
import numpy as np
import pytest
import zarr
from skimage.draw import disk

import napari_ditto as nd
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.errors import DittoError, LabelsError, PromptError, SourceError
from napari_ditto.testing.fakes import CountingModel


def disc(shape=(96, 128), center=(40, 60), radius=18, dtype=np.uint8, value=200):
    image = np.full(shape, 30, dtype)
    image[disk(center, radius, shape=shape)] = value
    return image


@pytest.fixture(scope="module")
def model():
    return nd.load_model("classic")


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert 20 < len(text) < 400
    return text


def iou(mask, box, truth):
    full = np.zeros(truth.shape, bool)
    full[box.slices] = mask
    return (full & truth).sum() / (full | truth).sum()


# --- images that must simply work ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", ">u2", "<i4", "u8", "f2", ">f4", "f8"], ids=str)
def test_any_real_dtype_gives_the_same_disc(model, dtype):
    low, high = (0, 1) if dtype == "?" else (30, 100)
    image = np.where(disc() > 100, high, low).astype(dtype)
    proposals = nd.Annotator(nd.open_source(image), model).predict(points=[(40, 60)])
    assert iou(proposals.masks[proposals.best], proposals.box, disc() > 100) > 0.9


def test_nan_and_inf_do_not_spoil_the_rest(model):
    image = disc().astype(np.float32)
    image[:10], image[10:14, :20], image[:, -5:] = np.nan, np.inf, -np.inf
    proposals = nd.Annotator(nd.open_source(image), model).predict(points=[(40, 60)])
    assert iou(proposals.masks[proposals.best], proposals.box, disc() > 100) > 0.9


@pytest.mark.parametrize(
    "image",
    [
        np.full((40, 50), np.nan, np.float32),
        np.full((40, 50), 7, np.uint16),
        np.zeros((1, 200), np.uint8),
        np.zeros((200, 1), np.uint8),
        np.zeros((1, 1), np.uint8),
        np.arange(64, dtype=np.uint8).reshape(8, 8),
    ],
    ids=["all NaN", "constant", "1 x N", "N x 1", "1 x 1", "8 x 8"],
)
def test_images_without_an_object_are_answered_or_refused(model, image):
    annotator = nd.Annotator(nd.open_source(image), model)
    try:
        proposals = annotator.predict(points=[(0, 0)])
    except DittoError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert proposals.box.y1 <= image.shape[0]
        assert proposals.box.x1 <= image.shape[1]
    assert nd.segment_all(nd.open_source(image), model).shape == image.shape


def test_a_plane_2_to_the_40_wide_costs_one_tile(model):
    counting = CountingModel(model)
    image = zarr.create_array({}, shape=(4096, 2**40), chunks=(512, 512), dtype="u1")
    image[:, 2**39 : 2**39 + 512] = disc((4096, 512), (2000, 250), 30)
    annotator = nd.Annotator(nd.open_source(image, axes="yx", window=(0, 255)), counting)
    proposals = annotator.predict(points=[(2000, 2**39 + 250)])
    assert counting.encoded == 1
    assert proposals.masks[proposals.best].sum() == pytest.approx(np.pi * 30**2, rel=0.1)


# --- images that are refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((0, 10)), "empty"),
        (np.zeros((10, 10), complex), "complex"),
        (np.array([["a", "b"]]), "numbers"),
        (np.zeros((10, 10), object), "numbers"),
        (np.zeros(10), "two axes"),
    ],
    ids=["empty", "complex", "text", "objects", "1D"],
)
def test_what_is_no_image_is_refused_in_one_line(image, says):
    with pytest.raises(SourceError) as error:
        nd.open_source(image)
    one_line(error)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"nothing\.tif") as error:
        nd.open_source(tmp_path / "nothing.tif")
    one_line(error)


# --- stores that fail in mid-run ----------------------------------------------------------------


def test_missing_chunks_are_background(model, tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(96, 128), chunks=(32, 32), dtype="u1")
    array[:64] = disc()[:64]
    source = nd.open_source(tmp_path / "a.zarr", axes="yx", window=(0, 255))
    proposals = nd.Annotator(source, model).predict(points=[(40, 60)])
    assert iou(proposals.masks[proposals.best], proposals.box, disc() > 100) > 0.9


def test_a_store_that_breaks_loses_no_accepted_label(model, tmp_path):
    image = np.concatenate([disc(), np.zeros((96, 2000), np.uint8), disc()], axis=1)
    zarr.create_array(tmp_path / "a.zarr", data=image, chunks=(96, 128))
    annotator = nd.Annotator(nd.open_source(tmp_path / "a.zarr", axes="yx", window=(0, 255)), model)
    annotator.accept(annotator.predict(points=[(40, 60)]))
    before = np.array(annotator.labels)
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(SourceError) as error:
        annotator.predict(points=[(40, 2188)])
    assert "a.zarr" in one_line(error)
    assert np.array_equal(before, annotator.labels)
    assert before.max() == 1


def test_a_dask_graph_that_fails_is_one_line(model):
    def broken(block):
        raise OSError("the disk is gone")

    image = da.zeros((64, 64), chunks=32, dtype=np.uint8).map_blocks(broken, dtype=np.uint8)
    source = nd.open_source(image, axes="yx", window=(0, 1))
    with pytest.raises(SourceError, match="the disk is gone") as error:
        nd.Annotator(source, model).predict(points=[(10, 10)])
    one_line(error)


# --- prompts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompts",
    [
        {"points": [(500, 20)]},
        {"points": [(-0.6, 20)]},
        {"points": [(np.nan, 20)]},
        {"points": [(np.inf, 20)]},
        {"points": [(40, 60), (10, 4000)]},
        {"points": [(40, 60)], "positive": [False]},
        {"points": [(40, 60)], "positive": [True, False]},
        {"box": (10, 10, 10, 40)},
        {"box": (np.nan, 10, 20, 40)},
        {"box": (500, 500, 600, 600)},
        {"box": (1, 2, 3)},
        {"mask": np.zeros((96, 128), bool)},
        {"mask": np.zeros((5, 5), bool)},
        {"scribbles": [[(900, 900), (950, 950)]]},
        {"scribbles": [[]]},
        {},
    ],
    ids=str,
)
def test_senseless_prompts_are_named(model, prompts):
    with pytest.raises(PromptError) as error:
        nd.Annotator(nd.open_source(disc()), model).predict(**prompts)
    one_line(error)


@pytest.mark.parametrize("corner", [(-0.5, -0.5), (95.5, 127.5), (0, 127), (95, 0)], ids=str)
def test_a_click_on_the_very_edge_counts(model, corner):
    image = np.full((96, 128), 30, np.uint8)
    image[:20, :20] = image[-20:, -20:] = image[:20, -20:] = image[-20:, :20] = 200
    proposals = nd.Annotator(nd.open_source(image), model).predict(points=[corner])
    assert proposals.masks[proposals.best].sum() == pytest.approx(400, rel=0.15)


@pytest.mark.parametrize("plane", [{"z": 9}, {"z": -9}, {"q": 0}], ids=str)
def test_a_plane_that_does_not_exist_is_named(model, plane):
    source = nd.open_source(np.stack([disc()] * 3), axes="zyx")
    with pytest.raises(DittoError) as error:
        nd.Annotator(source, model).predict(points=[(40, 60)], plane=plane)
    one_line(error)


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((96, 128), np.float32),
        np.zeros((96, 128), bool),
        np.zeros((2, 96, 128), np.uint8),
    ],
    ids=["shape", "float", "bool", "ndim"],
)
def test_labels_that_do_not_fit_are_refused(model, labels):
    annotator = nd.Annotator(nd.open_source(disc()), model, labels=labels)
    proposals = annotator.predict(points=[(40, 60)])
    with pytest.raises(LabelsError) as error:
        annotator.accept(proposals)
    one_line(error)


def test_ids_at_the_end_of_the_dtype(model):
    labels = np.zeros((96, 128), np.uint8)
    labels[0] = np.arange(128) + 128
    labels[1, :127] = np.arange(127) + 1
    labels[1, 127] = 127
    before = labels.copy()
    annotator = nd.Annotator(nd.open_source(disc()), model, labels=labels)
    with pytest.raises(LabelsError) as error:
        annotator.accept(annotator.predict(points=[(40, 60)]))
    one_line(error)
    assert np.array_equal(labels, before)


def test_an_image_that_is_read_only_needs_no_copy(model):
    image = disc()
    image.setflags(write=False)
    annotator = nd.Annotator(nd.open_source(image), model)
    assert annotator.accept(annotator.predict(points=[(40, 60)])) == 1


# --- cache and models ---------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_is_said_and_survived(model, tmp_path):
    blocked = tmp_path / "not-a-folder"
    blocked.write_text("in the way")
    cache = EmbeddingCache(directory=blocked)
    annotator = nd.Annotator(nd.open_source(disc()), model, cache=cache)
    assert annotator.accept(annotator.predict(points=[(40, 60)])) == 1
    assert cache.problem
    assert "\n" not in cache.problem


@pytest.mark.parametrize("name", ["clasic", "sam:/no/such/folder", "", "sam2:"], ids=str)
def test_an_unknown_model_is_named(name):
    with pytest.raises(DittoError) as error:
        nd.load_model(name)
    one_line(error)
