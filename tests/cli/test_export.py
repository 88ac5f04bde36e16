"""Export and import by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import tifffile

from napari_ditto.cli.program import main
from napari_ditto.data.grid import read_grid
from tests.data.exporting.test_georeferenced import NORTH_UP, write_image


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((70, 90), np.uint16)
    labels[5:20, 10:30], labels[40:60, 50:55] = 3, 4
    tifffile.imwrite("labels.tif", labels)
    return tmp_path


def one_line(capsys: pytest.CaptureFixture) -> str:
    said = [line for line in capsys.readouterr().err.splitlines() if "napari-ditto:" in line]
    assert len(said) == 1, said
    return said[0]


def status(command: list[str]) -> int:
    try:
        return main(command)
    except SystemExit as refusal:
        return int(refusal.code or 0)


def test_several_formats_at_once(capsys: pytest.CaptureFixture) -> None:
    outputs = ["a.geojson", "a.csv", "a.ome.zarr"]
    command = ["export", "labels.tif", "--scale", "0.5,0.5", "--unit", "um", "--json"]
    assert main([*command, *(x for o in outputs for x in ("-o", o))]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["formats"] == ["geojson", "csv", "ome-zarr"]
    assert read_grid(Path("a.ome.zarr")).units == {"y": "micrometer", "x": "micrometer"}
    feature = json.loads(Path("a.geojson").read_text())["features"][0]
    assert feature["properties"]["area"] == 15 * 20 / 4


def test_there_and_back_over_the_earth(capsys: pytest.CaptureFixture, here: Path) -> None:
    write_image(here / "image.tif", NORTH_UP)
    given = ["--image", "image.tif"]
    assert main(["export", "labels.tif", *given, "-o", "a.gpkg", "--crs", "EPSG:4326"]) == 0
    assert geopandas.read_file("a.gpkg").crs.to_epsg() == 4326
    assert main(["import", "a.gpkg", *given, "-o", "back.tif", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert told["objects"] == 2
    np.testing.assert_array_equal(tifffile.imread("back.tif"), tifffile.imread("labels.tif"))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["export", "labels.tif", "-o", "labels.tif"], "exists already"),
        (["export", "labels.tif", "-o", "a.xyz"], "does not tell the format"),
        (["export", "labels.tif", "-o", "a.png", "-o", "b.png", "--format", "png"], "one format"),
        (["export", "gone.tif", "-o", "a.png"], "gone.tif"),
        (["export", "labels.tif", "-o", "a.png", "--plane", "z=3"], "no plane z=3"),
        (["export", "labels.tif", "-o", "no/such/a.png"], "cannot be written"),
        (["export", "labels.tif", "-o", "a.geojson", "--crs", "EPSG:4326"], "where it lies"),
        (["export", "labels.tif", "-o", "a.geojson", "--simplify", "-1"], "--simplify"),
        (["import", "gone.geojson", "-o", "a.tif"], "gone.geojson"),
        (["import", "labels.tif", "-o", "a.tif", "--shape", "9,9"], "shape"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    capsys: pytest.CaptureFixture, command: list[str], says: str
) -> None:
    before = sorted(p.name for p in Path().iterdir())
    assert status(command) == 2
    assert says in one_line(capsys)
    assert sorted(p.name for p in Path().iterdir()) == before


def test_overwriting_has_to_be_allowed() -> None:
    assert main(["export", "labels.tif", "-o", "a.png"]) == 0
    assert main(["export", "labels.tif", "-o", "a.png"]) == 2
    assert main(["export", "labels.tif", "-o", "a.png", "--overwrite"]) == 0


def test_prompts_of_a_file(capsys: pytest.CaptureFixture) -> None:
    image = np.full((70, 90), 30, np.uint8)
    image[5:20, 10:30] = 200
    tifffile.imwrite("image.tif", image)
    point = {"type": "Point", "coordinates": [20.5, 12.5]}
    Path("p.geojson").write_text(json.dumps(point))
    command = ["prompt", "image.tif", "--model", "classic", "--prompts", "p.geojson"]
    assert main([*command, "-o", "out.tif", "--json"]) == 0
    found = tifffile.imread("out.tif") > 0
    truth = image > 100
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    box = [[[0, 0], [9, 0], [9, 9], [0, 0]]]
    Path("p.geojson").write_text(json.dumps({"type": "MultiPolygon", "coordinates": [box, box]}))
    capsys.readouterr()
    assert main([*command, "--box", "0,0,9,9"]) == 2
    assert "Give one" in one_line(capsys)
