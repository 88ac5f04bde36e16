"""Outlines and run lengths in files: other programs read back the very pixels."""

import json
import uuid

import geopandas
import numpy as np
import pytest
import roifile
import shapely
from pycocotools.coco import COCO
from rasterio.features import rasterize

from napari_ditto.core.geometry import Box
from napari_ditto.core.outlines import fill
from napari_ditto.data.export import export
from napari_ditto.errors import StoreError

# pycocotools 2.0.11 decodes the way of numpy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def features(path):
    return json.loads(path.read_text())["features"]


def drawn(pairs, shape):
    return rasterize(pairs, out_shape=shape, dtype=np.uint32) if pairs else np.zeros(shape, "u4")


# --- GeoJSON -------------------------------------------------------------------------------------


def test_geojson_is_the_labels_for_geopandas(tmp_path, labels, table):
    path = export(labels, tmp_path / "a.geojson", objects=table)
    read = geopandas.read_file(path)
    assert read.geometry.is_valid.all()
    assert sorted(read.label) == [1, 2, 3, 4, 60_000]
    back = drawn(list(zip(read.geometry, read.label, strict=True)), labels.shape)
    np.testing.assert_array_equal(back, labels)
    assert (shapely.area(read.geometry) == read.area_px).all()
    assert read.set_index("label")["class"][[1, 2]].tolist() == ["cell", 'a "b", é']
    assert [p.name for p in tmp_path.iterdir()] == ["a.geojson"]


def test_geojson_is_as_rfc_7946_and_qupath_want_it(tmp_path, labels, table):
    path = export(labels, tmp_path / "a.geojson", objects=table)
    by_label = {f["properties"]["label"]: f for f in features(path)}
    assert by_label[2]["geometry"]["type"] == "MultiPolygon"
    shell, hole = (shapely.LinearRing(r) for r in by_label[1]["geometry"]["coordinates"])
    assert shell.is_ccw
    assert not hole.is_ccw
    told = by_label[1]["properties"]
    assert told["objectType"] == "annotation"
    assert told["classification"] == {"name": "cell", "color": [230, 159, 0]}
    assert told["score"] == 0.75
    assert "classification" not in by_label[4]["properties"]
    assert len({uuid.UUID(f["id"]) for f in by_label.values()}) == 5


def test_planes_are_told_as_qupath_does(tmp_path):
    stack = np.zeros((2, 3, 9, 9), np.uint8)
    stack[1, 2, 2:5, 2:5] = 7
    (feature,) = features(export(stack, tmp_path / "a.geojson", axes="tzyx"))
    assert feature["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}
    assert (feature["properties"]["t"], feature["properties"]["z"]) == (1, 2)
    one = export(stack, tmp_path / "b.geojson", axes="tzyx", plane={"t": 1, "z": 2})
    assert "plane" not in features(one)[0]["geometry"]


def test_areas_are_in_units_and_the_grid_is_told(tmp_path, labels):
    units = ("micrometer", "micrometer")
    path = export(labels, tmp_path / "a.geojson", scale=(0.5, 0.25), units=units)
    told = json.loads(path.read_text())["napari-ditto"]
    assert (told["shape"], told["scale"], told["units"]) == ([70, 90], [0.5, 0.25], list(units))
    area = {f["properties"]["label"]: f["properties"]["area"] for f in features(path)}
    assert area[4] == 100 * 0.125
    assert features(path)[0]["properties"]["area_unit"] == "µm²"


def test_no_objects_make_an_empty_collection(tmp_path):
    path = export(np.zeros((9, 9), np.uint8), tmp_path / "a.geojson")
    assert features(path) == []


def test_simplified_polygons_are_smaller_and_near(tmp_path, labels):
    exact = export(labels, tmp_path / "a.geojson")
    simple = export(labels, tmp_path / "b.geojson", simplify=1)
    assert simple.stat().st_size < 0.7 * exact.stat().st_size
    a, b = (geopandas.read_file(p).geometry.to_numpy() for p in (exact, simple))
    overlap = shapely.area(shapely.intersection(a, b)) / shapely.area(shapely.union(a, b))
    assert overlap.min() > 0.8


# --- GeoPackage ----------------------------------------------------------------------------------


def test_a_geopackage_is_the_labels_for_geopandas(tmp_path, labels, table, recwarn):
    path = export(labels, tmp_path / "a.gpkg", objects=table)
    read = geopandas.read_file(path)
    back = drawn(list(zip(read.geometry, read.label, strict=True)), labels.shape)
    np.testing.assert_array_equal(back, labels)
    assert read.geometry.is_valid.all()
    assert "pixels" in read.crs.name
    assert read.score.isna().sum() == 3
    assert [p.name for p in tmp_path.iterdir()] == ["a.gpkg"]


def test_a_geopackage_without_objects_has_its_layer(tmp_path):
    path = export(np.zeros((9, 9), np.uint8), tmp_path / "a.gpkg")
    assert len(geopandas.read_file(path, layer="labels")) == 0


# --- COCO ----------------------------------------------------------------------------------------


def read_coco(path, capsys):
    coco = COCO(path)
    capsys.readouterr()
    return coco


def test_coco_decodes_to_the_same_masks(tmp_path, labels, table, capsys):
    coco = read_coco(export(labels, tmp_path / "a.json", objects=table), capsys)
    assert len(coco.anns) == 5
    for entry in coco.anns.values():
        mask = labels == entry["label"]
        np.testing.assert_array_equal(coco.annToMask(entry), mask)
        assert entry["area"] == mask.sum()
        assert entry["iscrowd"] == 0
        low, high = np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1
        assert entry["bbox"] == [*low[::-1], *(high - low)[::-1]]
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    kinds = {e["label"]: names[e["category_id"]] for e in coco.anns.values()}
    assert kinds == {1: "cell", 2: 'a "b", é', 3: "object", 4: "object", 60_000: "object"}


def test_polygons_of_coco_fill_close_to_the_masks(tmp_path, labels, capsys):
    coco = read_coco(export(labels, tmp_path / "a.json", coco="polygons"), capsys)
    kinds = {e["label"]: type(e["segmentation"]) for e in coco.anns.values()}
    assert kinds[1] is dict  # a hole
    assert kinds[2] is list
    for entry in coco.anns.values():
        mask = labels == entry["label"]
        found = coco.annToMask(entry).astype(bool)
        assert (found & mask).sum() / (found | mask).sum() > 0.9


def test_each_plane_is_an_image_of_its_own(tmp_path, capsys):
    stack = np.zeros((3, 9, 8), np.uint8)
    stack[:, 2:5, 2:5] = 7
    coco = read_coco(export(stack, tmp_path / "a.json"), capsys)
    assert len(coco.imgs) == 3
    assert [e["image_id"] for e in coco.anns.values()] == [1, 2, 3]
    assert coco.imgs[2]["plane"] == {"z": 1}
    assert (coco.imgs[1]["height"], coco.imgs[1]["width"]) == (9, 8)


# --- ImageJ --------------------------------------------------------------------------------------


def test_rois_enclose_the_same_pixels(tmp_path, labels, table):
    path = export(labels, tmp_path / "a.zip", objects=table)
    rois = {int(roi.name.split()[0]): roi for roi in roifile.roiread(path)}
    assert sorted(rois) == [1, 2, 3, 4, 60_000]
    for label, roi in rois.items():
        rings = [ring[:, ::-1] for ring in roi.coordinates(multi=True)]
        np.testing.assert_array_equal(fill(rings, Box.of_shape(labels.shape)), labels == label)
        ends = np.argwhere(labels == label).min(0), np.argwhere(labels == label).max(0) + 1
        assert (roi.top, roi.left) == tuple(ends[0])
    assert rois[1].composite
    assert rois[4].roitype == roifile.ROI_TYPE.TRACED
    assert rois[1].stroke_color == bytes([255, 0xE6, 0x9F, 0x00])
    assert rois[1].properties == {"score": 0.75}
    assert rois[2].name.endswith('a "b", é')


def test_rois_know_their_slices(tmp_path):
    stack = np.zeros((2, 3, 9, 9), np.uint8)
    stack[1, 2, 2:5, 2:5] = 7
    (roi,) = roifile.roiread(export(stack, tmp_path / "a.zip", axes="tzyx"))
    assert (roi.t_position, roi.z_position, roi.position) == (2, 3, 0)
    (roi,) = roifile.roiread(export(stack[1], tmp_path / "b.zip", axes="zyx"))
    assert (roi.position, roi.z_position) == (3, 3)


def test_images_too_large_for_imagej_are_refused(tmp_path):
    import zarr

    wide = zarr.create_array({}, shape=(4, 40_000), chunks=(4, 1000), dtype="u1")
    with pytest.raises(StoreError, match="32,767"):
        export(wide, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())
