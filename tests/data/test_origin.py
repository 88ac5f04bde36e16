"""An image is opened again from a few lines of JSON, and reads the same."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from zarr.storage import MemoryStore

from napari_ditto.core.geometry import Box
from napari_ditto.data.origin import Origin, reopen
from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.errors import SourceError

RNG = np.random.default_rng(11)
STACK = RNG.integers(0, 4000, (2, 3, 40, 50), dtype=np.uint16)
COLOUR = RNG.integers(0, 255, (60, 70, 4), dtype=np.uint8)


def save_zarr(folder: Path, data: np.ndarray, **options: object) -> zarr.Array:
    return zarr.create_array(folder, data=data, chunks=(1,) * (data.ndim - 2) + (16, 16), **options)


def save_pyramid(folder: Path) -> zarr.Group:
    group = zarr.create_group(folder)
    axes = [{"name": n} for n in "czyx"]
    sets = []
    for level in range(2):
        step = 2**level
        group.create_array(str(level), data=STACK[:, :, ::step, ::step], chunks=(1, 1, 16, 16))
        scale = {"type": "scale", "scale": [1, 3, 0.5 * step, 0.5 * step]}
        sets.append({"path": str(level), "coordinateTransformations": [scale]})
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": sets}]}
    return group


def tiff(folder: Path) -> object:
    tifffile.imwrite(
        folder / "a.tif", STACK, metadata={"axes": "TZYX"}, tile=(16, 16), photometric="minisblack"
    )
    return open_source(folder / "a.tif", window=(0, 4000))


def ome_zarr(folder: Path) -> object:
    save_pyramid(folder / "a.zarr")
    return open_source(str(folder / "a.zarr"), channels=[1])


def picture(folder: Path) -> object:
    Image.fromarray(COLOUR).save(folder / "a.png")
    return open_source(folder / "a.png")


def zarr_array(folder: Path) -> object:
    array = save_zarr(folder / "a.zarr", STACK, dimension_names=("c", "t", "y", "x"))
    return open_source(array)


def zarr_array_in_a_group(folder: Path) -> object:
    return open_source(save_pyramid(folder / "a.zarr")["1"], axes="zcyx", channels=[2, 0])


def zarr_group(folder: Path) -> object:
    return open_source(save_pyramid(folder / "a.zarr"))


def zarr_format_2(folder: Path) -> object:
    return open_source(save_zarr(folder / "a.zarr", COLOUR, zarr_format=2), scale=(0.3, 0.3))


def zarr_levels(folder: Path) -> object:
    group = save_pyramid(folder / "a.zarr")
    return open_source([group["0"], group["1"]], channel_axis=0, name="levels")


def one_zarr_level(folder: Path) -> object:
    return open_source([save_zarr(folder / "a", STACK, dimension_names=("c", "t", "y", "x"))])


def composed(folder: Path) -> object:
    parts = [open_source(tiff(folder)), open_source(save_zarr(folder / "b.zarr", STACK))]
    return compose_sources(parts, name="two")


KINDS = [
    tiff, ome_zarr, picture, zarr_array, zarr_array_in_a_group, zarr_group, zarr_format_2,
    zarr_levels, one_zarr_level, composed,
]  # fmt: skip


@pytest.mark.parametrize("make", KINDS, ids=lambda f: f.__name__)
def test_the_same_image_is_opened_again(tmp_path, make):
    source = make(tmp_path)
    told = json.loads(json.dumps(source.origin.to_json()))
    assert Origin.from_json(told) == source.origin
    again = reopen(told, source.window)
    for name in ("name", "axes", "shape", "scale", "channels", "levels", "window", "origin"):
        assert getattr(again, name) == getattr(source, name), name
    for level in range(source.levels):
        for index in np.ndindex(source.shape[:-2]):
            address = source.plane(dict(zip(source.axes, index, strict=False)))
            box = Box.of_shape(source.plane_shape(address, level))
            wanted = source.read(address, box, level)
            np.testing.assert_array_equal(again.read(address, box, level), wanted)


def test_a_relative_path_is_made_absolute(tmp_path, monkeypatch):
    tiff(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = open_source("a.tif")
    assert source.origin.paths == (str(tmp_path.resolve() / "a.tif"),)
    assert source.with_window((0, 7)).origin == source.origin


@pytest.mark.parametrize("kind", ["numpy", "dask", "memory", "list"])
def test_what_lives_in_this_process_only_has_none(tmp_path, kind):
    there = save_zarr(tmp_path / "a.zarr", STACK)
    data = {
        "numpy": STACK,
        "dask": dask.array.from_zarr(there),
        "memory": save_zarr(MemoryStore(), STACK),
        "list": [there, STACK[..., ::2, ::2]],
    }[kind]
    source = open_source(data)
    assert source.origin is None
    assert compose_sources([source, there]).origin is None


@pytest.mark.parametrize(
    "change",
    [
        {"paths": ["a.tif"]}, {"paths": []}, {"paths": 5}, {"parts": [5]}, {"axes": None},
        {"channel_axis": "c"}, {"channels": ["x"]}, {"scale": None}, {"scale": [None]},
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_in_one_line(tmp_path, change):
    told = {**tiff(tmp_path).origin.to_json(), **change}
    with pytest.raises(SourceError) as caught:
        reopen(told)
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError):
        Origin.from_json({})


def test_an_image_that_has_gone_is_told(tmp_path):
    told = tiff(tmp_path).origin
    (tmp_path / "a.tif").unlink()
    with pytest.raises(SourceError, match="cannot open"):
        reopen(told)
