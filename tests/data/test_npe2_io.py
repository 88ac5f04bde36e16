"""What napari hands over and gets back, without a window."""

import json
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import tifffile
import zarr
from npe2 import PluginManager, PluginManifest

from napari_ditto.data.export import export
from napari_ditto.data.npe2_io import TABLE, reader_of_labels, reader_of_shapes, write
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import LabelsError

CLASSES = (ObjectClass(1, "cell", "#e69f00"),)
OBJECTS = ObjectTable({1: ObjectRecord(1, 1, 0.75), 2: ObjectRecord(2)}, CLASSES)


def labels():
    data = np.zeros((40, 50), np.uint16)
    data[3:10, 4:20], data[20:30, 30:45] = 1, 2
    return data


def layer(data=None, **more):
    about = {
        "name": "cells",
        "scale": [0.5, 0.25],
        "translate": [10.0, 20.0],
        "units": ("micrometer", "micrometer"),
        "axis_labels": ("y", "x"),
        "metadata": {TABLE: OBJECTS},
        **more,
    }
    return (labels() if data is None else data), about, "labels"


NAMES = [
    *("a.geojson", "a.gpkg", "a.json", "a.zip", "a.csv", "a.parquet"),
    *("a.zarr", "a.tif", "a.png"),
]


def test_every_suffix_of_the_manifest_is_written(tmp_path):
    manifest = PluginManifest.from_distribution("napari-ditto")
    suffixes = [s for w in manifest.contributions.writers for s in w.filename_extensions]
    assert {f"a{s}" for s in suffixes} >= set(NAMES)
    for suffix in suffixes:
        written = write(str(tmp_path / f"b{suffix}"), [layer()])
        assert written == [str(tmp_path / f"b{suffix}")]
    assert len(list(tmp_path.iterdir())) == len(suffixes)


@pytest.mark.parametrize("name", ["a.geojson", "a.zarr"])
def test_scale_place_units_and_classes_come_back(tmp_path, name):
    (path,) = write(str(tmp_path / name), [layer()])
    reader = reader_of_labels if name.endswith("zarr") else reader_of_shapes
    ((data, about, kind),) = reader(path)(path)
    np.testing.assert_array_equal(np.asarray(data), labels())
    assert kind == "labels"
    assert about["scale"] == (0.5, 0.25)
    assert about["translate"] == (10, 20)
    assert about["units"] == ("micrometer", "micrometer")
    assert about["axis_labels"] == ("y", "x")
    assert about["metadata"][TABLE].class_of(1).name == "cell"
    assert about["metadata"][TABLE].record(1).score == 0.75


def test_a_multiscale_layer_is_written_at_full_size(tmp_path):
    levels = [labels(), labels()[::2, ::2]]
    (path,) = write(str(tmp_path / "a.tif"), [layer(levels, multiscale=True)])
    np.testing.assert_array_equal(tifffile.imread(path), labels())


def test_axes_that_say_nothing_are_named_from_the_right(tmp_path):
    stack = np.stack([labels()] * 3)
    plain = {"axis_labels": ("-3", "-2", "-1"), "scale": [1, 1, 1], "translate": [0, 0, 0]}
    (path,) = write(str(tmp_path / "a.geojson"), [layer(stack, **plain, units=("pixel",) * 3)])
    told = json.loads(Path(path).read_text())
    assert told["napari-ditto"]["axes"] == ["z", "y", "x"]
    assert "area_unit" not in told["features"][0]["properties"]


def test_layers_of_classes_become_one_file(tmp_path):
    other = np.zeros_like(labels())
    other[35:39, 2:9] = 1
    layers = [layer(), layer(other, name="nuclei", metadata={})]
    (path,) = write(str(tmp_path / "a.geojson"), layers)
    read = geopandas.read_file(path).set_index("label")
    assert read["class"].to_dict() == {1: "cell", 2: "cells", 3: "nuclei"}
    overlapping = [layer(), layer(labels(), name="others")]
    with pytest.raises(LabelsError, match="over one another"):
        write(str(tmp_path / "b.geojson"), overlapping)
    with pytest.raises(LabelsError, match="sizes"):
        write(str(tmp_path / "b.geojson"), [layer(), layer(other[:9])])
    assert len(list(tmp_path.iterdir())) == 1


def test_an_image_layer_is_measured(tmp_path):
    image = (labels() * 3.0, {"name": "raw.tif"}, "image")
    (path,) = write(str(tmp_path / "a.csv"), [image, layer()])
    assert pandas.read_csv(path).mean_intensity.tolist() == [3, 6]
    (path,) = write(str(tmp_path / "a.json"), [image, layer()])
    assert json.loads(Path(path).read_text())["images"][0]["file_name"] == "raw.tif"
    with pytest.raises(LabelsError):
        write(str(tmp_path / "b.csv"), [image])


# --- what is claimed, and what not ---------------------------------------------------------------


def test_only_outlines_are_claimed(tmp_path):
    foreign = {
        "package.json": '{"name": "x", "version": "1", "images": []}',
        "data.json": "[1, 2, 3]",
        "notes.geojson": "hello",
        "empty.json": "",
        "binary.gpkg": "\x00\x01",
    }
    for name, text in foreign.items():
        (tmp_path / name).write_text(text)
        assert reader_of_shapes(str(tmp_path / name)) is None, name
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.roi", b"")
        archive.writestr("b.txt", b"")
    assert reader_of_shapes(str(tmp_path / "a.zip")) is None
    assert reader_of_shapes(str(tmp_path / "gone.json")) is None
    assert reader_of_shapes(str(tmp_path)) is None
    for name in NAMES[:4]:
        (path,) = write(str(tmp_path / f"x{name}"), [layer()])
        assert reader_of_shapes(path) is not None
        assert reader_of_shapes([path, path]) is None


def test_only_our_own_zarr_is_claimed(tmp_path):
    zarr.create_group(tmp_path / "image.zarr")
    (tmp_path / "plain.zarr").mkdir()
    assert reader_of_labels(str(tmp_path / "image.zarr")) is None
    assert reader_of_labels(str(tmp_path / "plain.zarr")) is None
    path = export(labels(), tmp_path / "ours.zarr")
    assert reader_of_labels(str(path)) is not None


def test_points_become_clicks(tmp_path):
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [x, 3.5]},
         "properties": {"label": sign}}
        for x, sign in ((10.5, 1), (20.5, 0))
    ]  # fmt: skip
    path = tmp_path / "clicks.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    ((data, about, kind),) = reader_of_shapes(str(path))(str(path))
    assert kind == "points"
    assert data.tolist() == [[3, 10], [3, 20]]
    assert list(about["features"]["ditto"]) == ["positive", "negative"]


def test_npe2_finds_readers_and_writers(tmp_path, npe2pm: PluginManager):
    npe2pm.register(PluginManifest.from_distribution("napari-ditto"))
    path = export(labels(), tmp_path / "a.geojson")
    assert [r.command for r in npe2pm.iter_compatible_readers([str(path)])]
    writer, _ = npe2pm.get_writer(str(tmp_path / "b.gpkg"), ["labels"])
    assert writer.command == "napari-ditto.write"
    writer, _ = npe2pm.get_writer(str(tmp_path / "b.gpkg"), ["image"])
    assert writer is None
