"""Measurements in physical units, against scikit-image on the whole image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import regionprops_table

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data import measuring
from napari_ditto.data.measuring import measure
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError


def blobs(seed: int = 0, shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint16)
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    for label in range(1, 9):
        y, x = rng.integers(12, shape[0] - 12), rng.integers(12, shape[1] - 12)
        ry, rx = rng.integers(4, 11, 2)
        labels[((yy - y) / ry) ** 2 + ((xx - x) / rx) ** 2 < 1] = label * 3
    return labels


def test_areas_places_and_shapes_are_those_of_scikit_image() -> None:
    labels, image = blobs(), np.random.default_rng(1).integers(0, 4000, (90, 120), np.uint16)
    table = measure(labels, image, scale=(0.5, 0.5), units=("um", "micrometer"))
    names = ("area", "centroid", "perimeter", "eccentricity", "solidity", "orientation",
             "axis_major_length", "equivalent_diameter_area", "bbox", "label")  # fmt: skip
    truth = regionprops_table(labels, spacing=(0.5, 0.5), properties=names)
    mean = regionprops_table(labels, image, properties=("intensity_mean",))["intensity_mean"]
    pairs = {"area": "area", "centroid_y": "centroid-0", "centroid_x": "centroid-1",
             "perimeter": "perimeter", "eccentricity": "eccentricity", "solidity": "solidity",
             "orientation": "orientation", "major_axis": "axis_major_length", "label": "label",
             "equivalent_diameter": "equivalent_diameter_area",
             "bbox_y_min": "bbox-0", "bbox_x_max": "bbox-3"}  # fmt: skip
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(table.columns[ours], truth[theirs], err_msg=ours)
    np.testing.assert_allclose(table.columns["mean_intensity"], mean)
    assert table.units["area"] == "µm²"
    assert table.units["perimeter"] == table.units["centroid_x"] == "µm"
    assert next(iter(table.columns)) == "label"
    assert {len(c) for c in table.columns.values()} == {len(table)}


def test_pixels_that_are_not_square() -> None:
    table = measure(blobs(), scale=(2, 0.5), units=("nm", "nm"))
    truth = regionprops_table(blobs(), spacing=(2, 0.5), properties=("area", "eccentricity"))
    np.testing.assert_allclose(table.columns["area"], truth["area"])
    np.testing.assert_allclose(table.columns["eccentricity"], truth["eccentricity"])
    assert np.isnan(table.columns["perimeter"]).all()


def test_volumes_and_areas_by_plane() -> None:
    stack = np.stack([blobs(), blobs(), np.zeros_like(blobs())])
    whole = measure(stack, scale=(3, 0.5, 0.5), units=("um",) * 3)
    planes = measure(stack, scale=(3, 0.5, 0.5), units=("um",) * 3, per="plane")
    flat = measure(blobs())
    np.testing.assert_allclose(whole.columns["volume"], flat.columns["pixels"] * 2 * 0.75)
    assert whole.units["volume"] == "µm³"
    assert "perimeter" not in whole.columns
    assert (whole.columns["centroid_z"] == 1.5).all()
    assert sorted(set(planes.columns["z"].tolist())) == [0, 1]
    np.testing.assert_allclose(planes.columns["area"][::2], flat.columns["pixels"] * 0.25)


def test_the_same_object_at_other_times_has_rows_of_its_own() -> None:
    movie = np.stack([blobs(0), blobs(1)])
    table = measure(movie, axes="tyx", shapes=False)
    assert table.columns["t"].tolist().count(1) == len(np.unique(blobs(1))) - 1
    assert "area" in table.columns


@pytest.mark.parametrize("place", [0, -1])
def test_each_channel_is_measured(place: int) -> None:
    labels, rng = blobs(), np.random.default_rng(2)
    channels = [rng.random(labels.shape) for _ in range(4)]
    table = measure(labels, np.stack(channels, axis=place), shapes=False)
    for number, channel in enumerate(channels):
        mean = regionprops_table(labels, channel, properties=("intensity_mean",))
        np.testing.assert_allclose(
            table.columns[f"mean_intensity_{number}"], mean["intensity_mean"]
        )


def test_a_huge_object_is_measured_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MAX_SHAPE", 100)
    labels, image = blobs(), np.random.default_rng(1).random((90, 120))
    table = measure(labels, image)
    mean = regionprops_table(labels, image, properties=("intensity_mean",))["intensity_mean"]
    np.testing.assert_allclose(table.columns["mean_intensity"], mean)
    assert np.isnan(table.columns["solidity"][0])


def test_labels_on_disk_bring_their_scale(tmp_path: Path) -> None:
    store = PyramidLabels.create(tmp_path / "l.zarr", (90, 120), "yx", scale=(2.0, 2.0))
    address, box = PlaneAddress(), Box(0, 0, 90, 120)
    store.write(address, box, blobs() == 3, 3)
    store.flush()
    for labels in (tmp_path / "l.zarr", str(tmp_path / "l.zarr")):
        table = measure(labels)
        assert table.columns["label"].tolist() == [3]
        assert table.columns["area"][0] == 4 * (blobs() == 3).sum()
    assert measure(store).columns["area"][0] == (blobs() == 3).sum()


def test_records_become_columns() -> None:
    known = ObjectTable(
        {3: ObjectRecord(3, 1, 0.5, "ditto@1#a")}, (ObjectClass(1, "cell", "#000000"),)
    )
    table = measure(blobs(), shapes=False).with_records(known)
    assert table.columns["class"][:2].tolist() == ["cell", ""]
    assert table.columns["model"][0] == "ditto"
    assert np.isnan(table.columns["score"][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": (1,)}, "one value for each axis"),
        ({"scale": (0, 1)}, "make no sense"),
        ({"axes": "yy"}, "make no sense"),
        ({"image": np.zeros((9, 9))}, r"for an image \(9, 9\)"),
        ({"labels": np.zeros((9, 9))}, "no room for ids"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(LabelsError, match=message) as caught:
        measure(**{"labels": blobs(), **arguments})  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_nothing_to_measure() -> None:
    table = measure(np.zeros((8, 8), np.uint8), np.zeros((8, 8)))
    assert len(table) == 0
    assert dataclasses.is_dataclass(table)
    assert "perimeter" in table.columns
