"""Hostile zarr folders: every one refused in one line, no code run, nothing written."""

from __future__ import annotations

import os

import numpy as np
import pytest
import zarr

from napari_ditto.core.geometry import Box
from napari_ditto.data.source import open_source
from napari_ditto.data.zarrs import check_folder, safe_store
from napari_ditto.errors import SourceError
from tests.hostile import stores


def tree(folder):
    """Return all names below a folder."""
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)


def read_all(path):
    with open_source(path, window=(0, 1)) as source:
        return source.read(source.plane(), Box.of_shape(source.plane_shape(source.plane())))


def refusal(make, says, folder):
    """Return what went wrong with the refusal of one store, empty if nothing did."""
    canary = folder / "canary"
    folder.mkdir()
    path = make(folder, canary)
    before = tree(folder)
    try:
        read_all(path)
    except SourceError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001 - what is told, whatever it is
        return f"a traceback: {error!r}"
    else:
        return "it was read"
    if "\n" in text or says not in text or not 20 < len(text) < 500:
        return f"it says {text!r}, not {says!r}"
    if canary.exists() or tree(folder) != before:
        return "it left something"
    return ""


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
def test_every_hostile_store_is_refused(tmp_path):
    wrong = {}
    for number, (name, (make, says)) in enumerate(stores.STORES.items()):
        problem = refusal(make, says, tmp_path / str(number))
        if problem:
            wrong[name] = problem
    count = len(stores.STORES)
    print(f"{count - len(wrong)} of {count} hostile stores refused")
    assert not wrong
    assert count >= 50
    assert stores.pickle_is_real(tmp_path / "canary")


def test_a_folder_can_be_checked_without_zarr(tmp_path):
    check_folder(tmp_path / "nowhere")
    check_folder(stores.array(tmp_path))
    (tmp_path / "bad").mkdir()
    stores.v3(tmp_path / "bad", codecs=[{"name": "bytes"}, {"name": "pickle"}])
    with pytest.raises(SourceError, match="safe codecs"):
        check_folder(tmp_path / "bad")
    with pytest.raises(SourceError, match="safe codecs"):
        check_folder(tmp_path / "bad" / "image.zarr")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / ".zgroup").symlink_to("/etc/hostname")
    with pytest.raises(SourceError, match="leads out"):
        check_folder(tmp_path / "link")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nothing_is_written_through_a_link(tmp_path, zarr_format):
    group = zarr.create_group(tmp_path / "labels.zarr", zarr_format=zarr_format)
    group.create_array("0", shape=(8, 8), chunks=(4, 4), dtype="u4")
    (tmp_path / "elsewhere").mkdir()
    inner = tmp_path / "labels.zarr" / "0"
    if zarr_format == 3:
        (inner / "c").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "labels.zarr" / "0").rename(tmp_path / "elsewhere" / "0")
        inner.symlink_to(tmp_path / "elsewhere" / "0")
    before = tree(tmp_path)
    opened = zarr.open_group(safe_store(tmp_path / "labels.zarr", read_only=False), mode="r+")
    with pytest.raises(SourceError, match="leads out"):
        opened["0"][...] = 5
    assert tree(tmp_path) == before


def test_a_safe_store_writes_what_zarr_reads(tmp_path):
    group = zarr.open_group(safe_store(tmp_path / "a.zarr", read_only=False), mode="w")
    values = np.arange(64, dtype="u4").reshape(8, 8)
    group.create_array("0", data=values, chunks=(4, 4), shards=(8, 8))
    assert np.array_equal(zarr.open_array(tmp_path / "a.zarr" / "0", mode="r")[...], values)
    again = zarr.open_group(safe_store(tmp_path / "a.zarr", read_only=False), mode="r+")
    again["0"][:2] = 0
    del again["0"]
    assert not (tmp_path / "a.zarr" / "0").exists()
