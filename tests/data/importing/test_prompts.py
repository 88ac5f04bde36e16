"""Prompts from GeoJSON."""

import json

import pytest

from napari_ditto.core.prompts import BoxPrompt, PointPrompt
from napari_ditto.data.georeference import read_georeference
from napari_ditto.data.importing.prompts import is_positive, read_prompts
from napari_ditto.errors import SourceError
from tests.data.exporting.test_georeferenced import NORTH_UP, write_image


def collection(path, *geometries, crs=None):
    features = [
        {"type": "Feature", "geometry": {"type": kind, "coordinates": at}, "properties": told}
        for kind, at, told in geometries
    ]
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **member}))
    return path


def test_points_and_boxes_in_pixels(tmp_path):
    box = [[[2, 3], [8, 3], [8, 5], [2, 5], [2, 3]]]
    path = collection(
        tmp_path / "a.geojson",
        ("Point", [10.5, 20.5], {}),
        ("MultiPoint", [[1, 2], [3, 4]], {"label": 0}),
        ("Polygon", box, {}),
    )
    assert read_prompts(path) == [
        PointPrompt(20, 10),
        PointPrompt(1.5, 0.5, False),
        PointPrompt(3.5, 2.5, False),
        BoxPrompt(2.5, 1.5, 4.5, 7.5),
    ]


def test_prompts_on_the_earth(tmp_path):
    image = write_image(tmp_path / "image.tif", NORTH_UP)
    at = NORTH_UP @ (10.5, 20.5)
    path = collection(tmp_path / "a.geojson", ("Point", list(at), {}), crs="EPSG:32636")
    assert read_prompts(path, read_georeference(image)) == [PointPrompt(20, 10)]
    with pytest.raises(SourceError, match="GeoTIFF"):
        read_prompts(path)


@pytest.mark.parametrize(
    ("told", "positive"),
    [
        ({}, True),
        ({"label": 1}, True),
        ({"label": 0}, False),
        ({"positive": False}, False),
        ({"foreground": "true"}, True),
        ({"type": "Background"}, False),
        ({"type": "foreground"}, True),
    ],
)
def test_the_sign_of_a_point(told, positive):
    assert is_positive(told) is positive


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"type": "Point"}', '{"type": "Point", "coordinates": ["a", 2]}', "{" * 9999],
)
def test_what_is_no_prompt_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(SourceError) as caught:
        read_prompts(tmp_path / "a.geojson")
    assert "\n" not in str(caught.value)
