"""On the earth to the pixel: georeferences that are read, kept, and turned into polygons."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine

from napari_ditto.data.export import export
from napari_ditto.data.georeference import read_georeference
from napari_ditto.errors import LabelsError, SourceError, StoreError

UTM = "EPSG:32636"
NORTH_UP = Affine(0.5, 0, 453_000.25, 0, -0.5, 36_200.75)
ROTATED = Affine(0.4, 0.3, 453_000, 0.3, -0.4, 36_200)
SOUTH_UP = Affine(0.5, 0, 453_000, 0, 0.5, 36_200)
OWN = CRS.from_proj4("+proj=laea +lat_0=12 +lon_0=34 +units=m +datum=WGS84")


def write_image(path, transform, crs=UTM, shape=(70, 90), **tags):
    image = np.zeros((1, *shape), np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=shape[1], height=shape[0], count=1, dtype="uint8",
        crs=crs, transform=transform,
    ) as file:  # fmt: skip
        file.update_tags(**tags)
        file.write(image)
    return path


@pytest.fixture(params=[NORTH_UP, ROTATED, SOUTH_UP], ids=["north up", "rotated", "south up"])
def image(request, tmp_path):
    return write_image(tmp_path / "image.tif", request.param), request.param


def test_a_geotiff_is_read_as_rasterio_reads_it(image):
    path, transform = image
    place = read_georeference(path)
    assert place.affine == pytest.approx(tuple(transform)[:6], abs=1e-9)
    assert place.crs == UTM
    assert place.unit == "meter"


def test_pixels_that_are_points_are_shifted_by_half(tmp_path):
    path = write_image(tmp_path / "a.tif", NORTH_UP, AREA_OR_POINT="Point")
    with rasterio.open(path) as file:
        assert file.tags()["AREA_OR_POINT"] == "Point"
        theirs = tuple(file.transform)[:6]
    assert read_georeference(path).affine == pytest.approx(theirs, abs=1e-9)


def test_a_system_without_a_code_is_read(tmp_path, labels):
    path = write_image(tmp_path / "image.tif", NORTH_UP, OWN)
    assert CRS.from_user_input(read_georeference(path).crs) == OWN
    read = geopandas.read_file(export(labels, tmp_path / "a.gpkg", image=path))
    assert "lambert" in read.crs.to_wkt().lower()
    with pytest.raises(StoreError, match="EPSG"):
        export(labels, tmp_path / "a.geojson", image=path)
    read = geopandas.read_file(export(labels, tmp_path / "b.geojson", image=path, crs="EPSG:4326"))
    assert read.geometry.iloc[0].distance(read.geometry.iloc[1]) < 1


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_polygons_lie_where_the_pixels_do(tmp_path, labels, image, name):
    path, transform = image
    read = geopandas.read_file(export(labels, tmp_path / name, image=path))
    assert read.crs.to_epsg() == 32636
    assert read.geometry.is_valid.all()
    assert all(p.exterior.is_ccw for g in read.geometry for p in getattr(g, "geoms", [g]))
    pairs = list(zip(read.geometry, read.label, strict=True))
    back = rasterize(pairs, out_shape=labels.shape, transform=transform, dtype=np.uint32)
    np.testing.assert_array_equal(back, labels)
    assert read.area.to_numpy() == pytest.approx(read["area"].to_numpy(), rel=1e-3)
    assert set(read.area_unit) == {"m²"}


def test_another_system_can_be_asked_for(tmp_path, labels):
    path = write_image(tmp_path / "image.tif", NORTH_UP)
    here = geopandas.read_file(export(labels, tmp_path / "a.gpkg", image=path))
    there = geopandas.read_file(export(labels, tmp_path / "b.gpkg", image=path, crs="EPSG:4326"))
    assert there.crs.to_epsg() == 4326
    gap = shapely.hausdorff_distance(here.to_crs(4326).geometry, there.geometry)
    assert gap.max() < 1e-9
    pixels = geopandas.read_file(export(labels, tmp_path / "c.gpkg", image=path, crs="pixel"))
    assert pixels.total_bounds.tolist() == [11, 5, 90, 70]


def test_labels_are_written_as_a_geotiff(tmp_path, labels, image):
    path, transform = image
    with rasterio.open(export(labels, tmp_path / "a.tif", image=path)) as file:
        assert file.crs.to_epsg() == 32636
        assert tuple(file.transform) == pytest.approx(tuple(transform), abs=1e-9)
        assert file.nodata == 0
        np.testing.assert_array_equal(file.read(1), labels)


def test_a_world_file_is_enough(tmp_path, labels):
    from PIL import Image

    Image.new("L", (90, 70)).save(tmp_path / "image.png")
    (tmp_path / "image.pgw").write_text("0.5\n0\n0\n-0.5\n453000.5\n36200.5\n")
    (tmp_path / "image.prj").write_text(CRS.from_epsg(32636).to_wkt())
    with rasterio.open(tmp_path / "image.png") as file:
        theirs = tuple(file.transform)[:6]
    assert read_georeference(tmp_path / "image.png").affine == pytest.approx(theirs)
    read = geopandas.read_file(export(labels, tmp_path / "a.gpkg", image=tmp_path / "image.png"))
    assert read.crs.to_epsg() == 32636
    assert read.total_bounds.tolist() == [453005.75, 36165.75, 453045.25, 36198.25]


def test_an_image_of_another_size_is_refused(tmp_path, labels):
    image = write_image(tmp_path / "image.tif", NORTH_UP, shape=(71, 90))
    with pytest.raises(LabelsError, match="made for"):
        export(labels, tmp_path / "a.gpkg", image=image)


def test_a_projection_that_is_none_is_said(tmp_path, labels):
    from PIL import Image

    Image.new("L", (90, 70)).save(tmp_path / "image.png")
    (tmp_path / "image.pgw").write_text("0.5\n0\n0\n-0.5\n453000.5\n36200.5\n")
    (tmp_path / "image.prj").write_text("Mars, somewhere")
    with pytest.raises(StoreError, match="--crs"):
        export(labels, tmp_path / "a.gpkg", image=tmp_path / "image.png")
    export(labels, tmp_path / "a.csv", image=tmp_path / "image.png")


@pytest.mark.parametrize("text", ["", "1 2 3", "a b c d e f", "0 0 0 0 1 1", "nan 0 0 1 1 1"])
def test_a_world_file_that_is_none_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "image.png").write_bytes(b"")
    (tmp_path / "image.pgw").write_text(text)
    with pytest.raises(SourceError) as caught:
        read_georeference(tmp_path / "image.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("crs", "with_image", "says"),
    [("EPSG:4326", False, "where it lies"), ("nonsense", True, "EPSG:4326")],
)
def test_what_cannot_be_reached_is_said_in_one_line(tmp_path, labels, crs, with_image, says):
    image = write_image(tmp_path / "image.tif", NORTH_UP) if with_image else None
    with pytest.raises(StoreError, match=says) as caught:
        export(labels, tmp_path / "a.geojson", image=image, crs=crs)
    assert "\n" not in str(caught.value)
