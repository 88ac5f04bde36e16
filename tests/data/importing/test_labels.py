"""Labels that come back: from our own files bit for bit, from those of others as they mean it."""

import json

import geopandas
import numpy as np
import pytest
import roifile
import shapely
import tifffile

from napari_ditto.data.export import export
from napari_ditto.data.importing.labels import import_labels
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import DittoError, LabelsError, SourceError
from tests.data.exporting.test_georeferenced import NORTH_UP, ROTATED, write_image

SHAPES = ("a.geojson", "a.gpkg", "a.json", "a.zip")
PIXELS = ("a.tif", "a.ome.tif", "a.png", "a.ome.zarr")
CLASSES = (ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, "nucleus", "#56b4e9"))
TABLE = ObjectTable({1: ObjectRecord(1, 1, 0.75), 2: ObjectRecord(2, 2, 0.5)}, CLASSES)


def plane():
    y, x = np.mgrid[:70, :90]
    labels = np.zeros((70, 90), np.uint32)
    away = np.hypot(y - 30, x - 30)
    labels[(away < 20) & (away > 8)] = 1
    labels[5:9, 70:80] = labels[20:30, 60:66] = 2
    labels[30, 30] = 3
    labels[40:50, 60:70], labels[40:50, 70:80] = 4, 60_000
    return labels


@pytest.mark.parametrize("name", [*SHAPES, *PIXELS])
def test_what_was_exported_comes_back(tmp_path, name):
    path = export(plane(), tmp_path / name, objects=TABLE)
    found = import_labels(path, shape=(70, 90))
    np.testing.assert_array_equal(found.data, plane())
    assert found.grid.axes == ("y", "x")
    if name in SHAPES:
        names = {c.id: c.name for c in found.table.classes}
        kinds = {i: names[r.class_id] for i, r in found.table.records.items()}
        assert kinds == {1: "cell", 2: "nucleus"}
        assert found.table.record(2).score == 0.5
    if name.endswith("zarr"):
        assert found.table == TABLE


@pytest.mark.parametrize("name", SHAPES)
def test_stacks_come_back(tmp_path, name):
    stack = np.zeros((2, 3, 20, 30), np.uint8)
    stack[0, 1, 3:9, 3:9] = stack[1, 2, 5:8, 20:30] = 7
    stack[0, 1, 12:15, 3:30] = 8
    path = export(stack, tmp_path / name, axes="tzyx")
    found = import_labels(path, shape=stack.shape)
    np.testing.assert_array_equal(found.data, stack)


@pytest.mark.parametrize("name", ["a.geojson", "a.json"])
def test_a_file_that_tells_its_grid_needs_no_image(tmp_path, name):
    found = import_labels(export(plane(), tmp_path / name))
    np.testing.assert_array_equal(found.data, plane())


def test_the_grid_of_geojson_has_units(tmp_path):
    units = ("micrometer",) * 2
    found = import_labels(export(plane(), tmp_path / "a.geojson", scale=(0.5, 2), units=units))
    assert (found.grid.scale, found.grid.units) == ((0.5, 2), units)


def test_without_any_grid_labels_are_as_large_as_the_outlines(tmp_path):
    found = import_labels(export(plane()[:60], tmp_path / "a.zip"))
    np.testing.assert_array_equal(found.data, plane()[:50, :80])


@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north up", "rotated"])
@pytest.mark.parametrize("crs", ["", "EPSG:4326", "pixel"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_polygons_on_the_earth_come_back_onto_the_image(tmp_path, transform, crs, name):
    image = write_image(tmp_path / "image.tif", transform)
    path = export(plane(), tmp_path / name, image=image, crs=crs)
    found = import_labels(path, image)
    np.testing.assert_array_equal(found.data, plane())


def test_polygons_on_the_earth_need_an_image(tmp_path):
    image = write_image(tmp_path / "image.tif", NORTH_UP)
    path = export(plane(), tmp_path / "a.gpkg", image=image)
    with pytest.raises(SourceError, match="GeoTIFF"):
        import_labels(path)
    with pytest.raises(SourceError, match="GeoTIFF"):
        import_labels(path, plane())


# --- files of others -----------------------------------------------------------------------------


def test_polygons_of_geopandas(tmp_path):
    image = write_image(tmp_path / "image.tif", NORTH_UP)
    x, y = NORTH_UP @ (10, 5)
    houses = [shapely.box(x, y - 4, x + 3, y), shapely.Point(x + 20, y - 10).buffer(3)]
    frame = geopandas.GeoDataFrame({"name": ["a", "b"]}, geometry=houses, crs=32636)
    frame.to_file(tmp_path / "a.gpkg")
    frame.to_crs(4326).to_file(tmp_path / "b.geojson")
    for name in ("a.gpkg", "b.geojson"):
        found = import_labels(tmp_path / name, image).data
        assert (found == 1).sum() == 3 * 4 / 0.25
        assert found[5, 10] == 1
        assert (found == 2).sum() == pytest.approx(np.pi * 9 / 0.25, rel=0.05)


def test_annotations_of_qupath(tmp_path):
    square = [[2, 3], [6, 3], [6, 5], [2, 5], [2, 3]]
    feature = {
        "type": "Feature",
        "id": "PathAnnotationObject",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": {"classification": {"name": "Tumor", "color": [200, 0, 0]}},
    }
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature]))
    with pytest.raises(SourceError, match="GeoJSON"):
        import_labels(path, shape=(9, 9))
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature, point]}))
    found = import_labels(path, shape=(9, 9))
    assert np.argwhere(found.data).tolist() == [[y, x] for y in (3, 4) for x in range(2, 6)]
    assert found.table.classes == (ObjectClass(1, "Tumor", "#c80000"),)
    assert "1 geometries" in found.notes[0]


def test_coco_with_uncompressed_runs_and_several_images(tmp_path):
    images = [{"id": n, "file_name": f"{n}.png", "width": 4, "height": 3} for n in (1, 2)]
    runs = {"size": [3, 4], "counts": [4, 2, 6]}
    objects = [
        {"id": 5, "image_id": 2, "category_id": 1, "segmentation": runs},
        {"id": 6, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]]},
    ]
    categories = [{"id": 1, "name": "cat"}]
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"images": images, "annotations": objects, "categories": categories})
    )
    with pytest.raises(SourceError, match="several images"):
        import_labels(path)
    write_image(tmp_path / "2.png.tif", NORTH_UP, shape=(3, 4)).rename(tmp_path / "2.png")
    found = import_labels(path, tmp_path / "2.png")
    assert np.argwhere(found.data).tolist() == [[1, 1], [2, 1]]
    assert found.table.class_of(1).name == "cat"


def test_rois_that_people_draw(tmp_path):
    rois = [
        roifile.ImagejRoi.frompoints([[1.5, 1.5], [6.5, 1.5], [6.5, 4.5]], name="mine", z=1),
        roifile.ImagejRoi(
            roitype=roifile.ROI_TYPE.RECT, top=2, left=3, bottom=5, right=8, name="box"
        ),
        roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=5, y2=5, name="line"),
    ]
    roifile.roiwrite(tmp_path / "a.zip", rois)
    found = import_labels(tmp_path / "a.zip", shape=(2, 9, 9))
    assert (found.data[0] == 2).sum() == 15
    assert (found.data[1] == 1).any()
    assert "1 ROIs" in found.notes[0]
    rois[1].tofile(tmp_path / "one.roi")
    assert import_labels(tmp_path / "one.roi", shape=(9, 9)).data.sum() == 15


def test_objects_without_a_plane_go_where_they_are_told_to(tmp_path):
    path = export(plane(), tmp_path / "a.geojson")
    found = import_labels(path, shape=(3, 70, 90), plane={"z": 2})
    np.testing.assert_array_equal(found.data[2], plane())
    assert not found.data[:2].any()


def test_what_lies_outside_is_told(tmp_path):
    found = import_labels(export(plane(), tmp_path / "a.geojson"), shape=(35, 55))
    np.testing.assert_array_equal(
        found.data, np.where(plane()[:35, :55] <= 3, plane()[:35, :55], 0)
    )
    assert found.notes == ("3 of 5 objects lie outside of the image",)


def test_pixels_that_do_not_fit_the_image_are_refused(tmp_path):
    with pytest.raises(LabelsError, match="shape"):
        import_labels(export(plane(), tmp_path / "a.tif"), np.zeros((9, 9), np.uint8))
    tifffile.imwrite(tmp_path / "b.tif", np.ones((9, 9), np.float32))
    with pytest.raises(DittoError, match="whole numbers"):
        import_labels(tmp_path / "b.tif")
