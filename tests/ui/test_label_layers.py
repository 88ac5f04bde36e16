"""Labels layers: which fit an image, and new ones that lie on it."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError
from napari_ditto.ui.adapters import (
    data_to_world,
    label_store_for,
    new_labels_layer,
    refresh_labels,
    source_from_layer,
)

SHAPE = (3, 40, 50)
IMAGE = Image(np.zeros(SHAPE, np.uint8), name="im", scale=(2, 0.5, 0.5), translate=(1, 2, 3))
SOURCE = source_from_layer(IMAGE)
PLACE = {"scale": IMAGE.scale, "translate": IMAGE.translate}


def test_a_new_layer_is_empty_editable_and_lies_on_the_image():
    layer = new_labels_layer(IMAGE, SOURCE, model="classic@1")
    np.testing.assert_allclose(data_to_world(layer), data_to_world(IMAGE))
    assert (layer.data.shape, layer.editable, layer.data.any()) == (SHAPE, True, False)
    assert layer.metadata["ditto"] == {"model": "classic@1"}
    assert label_store_for(layer, SOURCE, IMAGE).data is layer.data


def test_what_the_store_writes_is_what_the_layer_shows():
    viewer = ViewerModel()
    viewer.add_layer(IMAGE)
    layer = viewer.add_layer(new_labels_layer(IMAGE, SOURCE))
    viewer.dims.set_current_step(0, 1)
    store = label_store_for(layer, SOURCE, IMAGE)
    delta = store.write(SOURCE.plane({"z": 1}), Box(4, 5, 8, 9), np.ones((4, 4), bool), 3)
    refresh_labels(layer)
    assert layer.get_value(layer.data_to_world((1, 5, 6)), world=True) == 3
    assert delta.box == Box(4, 5, 8, 9)


def test_painting_by_hand_counts_for_the_next_id():
    layer = new_labels_layer(IMAGE, SOURCE)
    layer.data[0, 0, 0] = 41
    assert label_store_for(layer, SOURCE, IMAGE).next_label() == 42


def test_a_layer_of_the_user_is_written_in_place():
    layer = Labels(np.zeros(SHAPE, np.uint16), **PLACE)
    store = label_store_for(layer, SOURCE, IMAGE)
    assert isinstance(store, ArrayLabels)
    assert store.data is layer.data


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Labels(np.zeros((40, 50), np.uint8), name="l"), r"shape \(40, 50\), the image \(3, 40"),
        (Labels(np.zeros(SHAPE, np.uint8), name="l"), "another scale"),
        (Labels(np.zeros(SHAPE, np.uint8), name="l", scale=(2, 0.5, 0.6)), "another scale"),
        (Labels(np.zeros(SHAPE, np.uint8), name="l", **PLACE, rotate=[0, 0, 5]), "another scale"),
        (
            Labels([np.zeros(SHAPE, np.uint8), np.zeros((3, 20, 25), np.uint8)], name="l", **PLACE),
            "only where they lie in one OME-Zarr",
        ),
    ],
    ids=["shape", "scale", "other scale", "rotation", "multiscale"],
)
def test_a_layer_that_does_not_fit_is_refused_with_advice(layer, message):
    with pytest.raises(LabelsError, match=message) as caught:
        label_store_for(layer, SOURCE, IMAGE)
    assert "'l'" in str(caught.value)
    assert "new layer" in str(caught.value)


def test_lazy_labels_are_refused():
    import dask.array as da

    layer = Labels(da.zeros(SHAPE, dtype=np.uint8), **PLACE)
    with pytest.raises(LabelsError, match="cannot be written"):
        label_store_for(layer, SOURCE, IMAGE)


def test_a_huge_image_gets_a_read_only_pyramid(tmp_path):
    import dask.array as da

    image = Image(da.zeros((9000, 9000), chunks=1000, dtype=np.uint8), contrast_limits=(0, 1))
    source = source_from_layer(image)
    layer = new_labels_layer(image, source)
    assert (layer.multiscale, layer.editable) == (True, False)
    store = label_store_for(layer, source, image)
    store.write(source.plane(), Box(5000, 5000, 5100, 5100), np.ones((100, 100), bool), 9)
    refresh_labels(layer)
    assert np.asarray(layer.data[0][5050, 5050]) == 9
    assert np.asarray(layer.data[-1]).max() == 9


def test_labels_for_channels_have_no_channel_axis():
    image = Image(np.zeros((2, 40, 50)), axis_labels=("c", "y", "x"), scale=(1, 2, 2))
    source = source_from_layer(image)
    layer = new_labels_layer(image, source)
    assert layer.data.shape == (40, 50)
    assert label_store_for(layer, source, image).data is layer.data


def test_a_duplicate_is_written_for_itself():
    layer = new_labels_layer(IMAGE, SOURCE)
    data, about, kind = layer.as_layer_data_tuple()
    copy = Layer.create(data.copy(), about, kind)
    store = label_store_for(copy, SOURCE, IMAGE)
    assert store.data is copy.data
    assert label_store_for(copy, SOURCE, IMAGE) is store
    assert label_store_for(layer, SOURCE, IMAGE).data is layer.data


# --- label pyramids that lie in an OME-Zarr folder -----------------------------------------------

LARGE = (1100, 1300)


@pytest.fixture(params=["0.4", "0.5"])
def pyramid(tmp_path, request):
    labels = PyramidLabels.create(tmp_path / "labels.zarr", LARGE, "yx", ngff=request.param)
    labels.write(PlaneAddress("y", "x"), Box(50, 60, 150, 160), np.ones((100, 100), bool), 4)
    labels.flush()
    return labels.path


def opened_as_zarr(path):
    group = zarr.open_group(path, mode="r")
    return Labels([group[str(level)] for level in range(3)], multiscale=True)


def opened_one_by_one(path):
    return Labels([zarr.open_array(path / str(level)) for level in range(3)], multiscale=True)


def opened_by_a_reader(path):
    """As napari does on drag and drop, with a reader that gives dask arrays."""
    import dask.array as da
    from napari.layers._source import layer_source

    with layer_source(path=str(path)):
        levels = [da.from_zarr(str(path / str(level))) for level in range(3)]
        return Labels(levels, multiscale=True)


@pytest.mark.parametrize("opened", [opened_as_zarr, opened_one_by_one, opened_by_a_reader])
def test_a_shown_pyramid_is_edited_in_its_folder(pyramid, opened):
    image = Image(np.zeros(LARGE, np.uint8), contrast_limits=(0, 1))
    source, layer = source_from_layer(image), opened(pyramid)
    store = label_store_for(layer, source, image)
    assert isinstance(store, PyramidLabels)
    assert store.next_label() == 5
    store.write(source.plane(), Box(1000, 1200, 1100, 1300), np.ones((100, 100), bool), 5)
    refresh_labels(layer)
    assert layer.get_value((1050, 1250)) is not None
    assert np.asarray(layer.data[0][1050, 1250]) == np.asarray(layer.data[2][262, 312]) == 5
    assert label_store_for(layer, source, image) is store
    assert PyramidLabels.open(pyramid).levels[2][262, 312] == 5
    assert not layer.editable


def test_a_pyramid_that_is_not_safe_is_refused_as_target(pyramid):
    layer = opened_as_zarr(pyramid)
    for file in (*pyramid.glob("1/.zarray"), *pyramid.glob("1/zarr.json")):
        file.write_text(file.read_text().replace("blosc", "pickle"))
    image = Image(np.zeros(LARGE, np.uint8), contrast_limits=(0, 1))
    with pytest.raises(LabelsError, match="pickle"):
        label_store_for(layer, source_from_layer(image), image)


def test_a_layer_of_other_levels_is_refused(pyramid):
    layer = Labels([opened_as_zarr(pyramid).data[level] for level in (0, 2)], multiscale=True)
    image = Image(np.zeros(LARGE, np.uint8), contrast_limits=(0, 1))
    with pytest.raises(LabelsError, match="other levels"):
        label_store_for(layer, source_from_layer(image), image)
