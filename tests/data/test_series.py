"""An image series: order, done marks, where labels go, and what a session keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.data.checked import Misfit
from napari_ditto.data.series import Item, Series, list_images, series_of
from napari_ditto.errors import SourceError


@pytest.fixture
def folder(tmp_path):
    for name in ("b10.tif", "b2.tif", "a.PNG", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    for name in ("c.zarr", "b2.labels.ome.zarr", "d.ditto-session"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_images_of_a_folder_in_natural_order(folder):
    assert [path.name for path in list_images(folder)] == ["a.PNG", "b2.tif", "b10.tif", "c.zarr"]


def test_folders_without_images_are_told(tmp_path):
    with pytest.raises(SourceError, match="no images in this folder"):
        list_images(tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        list_images(tmp_path / "none")


def test_going_on_and_back(folder):
    series = series_of(list_images(folder))
    assert (series.previous, series.next) == (None, 1)
    series = series.change(0, done=True).change(1, done=True)
    assert series.next_undone == 2
    assert series.progress == "2 of 4 done"
    last = series.go(3)
    assert (last.next, last.previous, last.next_undone) == (None, 2, 2)
    assert last.change(2, done=True).next_undone is None


def test_labels_go_beside_the_image_or_to_a_folder(tmp_path):
    paths = [tmp_path / "x" / "1.ome.tif", tmp_path / "y" / "1.ome.tif", tmp_path / "2.png"]
    beside = series_of(paths)
    assert beside.labels_path(0) == tmp_path / "x" / "1.labels.ome.zarr"
    apart = series_of(paths, tmp_path / "out")
    names = [apart.labels_path(i).name for i in range(3)]
    assert names == ["1-1.labels.ome.zarr", "1-2.labels.ome.zarr", "2.labels.ome.zarr"]


@given(
    names=st.lists(st.text("ab1 é.", min_size=1, max_size=6), min_size=1, max_size=8),
    data=st.data(),
)
def test_a_series_comes_back(names, data):
    items = tuple(Item(f"/x/{name}", done=data.draw(st.booleans())) for name in names)
    series = Series(items, data.draw(st.integers(0, len(items) - 1)), "/out")
    assert Series.from_json(json.loads(json.dumps(series.to_json()))) == series


def test_layers_on_no_disk_are_not_kept():
    series = Series((Item(layer="1"), Item("/a.tif", "2"), Item("/b.tif", "3")), 2)
    again = Series.from_json(series.to_json())
    assert [item.path for item in again.items] == ["/a.tif", "/b.tif"]
    assert again.item.path == "/b.tif"
    assert Series((Item(layer="1"),)).to_json() == {}
    assert Series.from_json({}) is None


@pytest.mark.parametrize(
    "told",
    [
        {"items": [{"path": "relative.tif", "done": False}], "current": 0},
        {"items": [{"path": "/a", "done": False}], "current": 1},
        {"items": [{"path": "/a", "done": "yes"}], "current": 0},
        {"items": [{"path": "http://x/a", "done": False}], "current": 0},
        {"items": 3, "current": 0},
    ],
)
def test_other_series_are_refused(told):
    with pytest.raises(Misfit):
        Series.from_json(told)


def test_no_files():
    with pytest.raises(SourceError, match="no images"):
        series_of([])
    assert series_of([Path("a.tif")]).item.title == "a.tif"
