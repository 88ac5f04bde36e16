"""Label pyramids as OME-Zarr 0.4 and 0.5: valid, listed in their image, read by other programs."""

from __future__ import annotations

import json

import ngff_zarr
import numpy as np
import pytest
import yaozarrs
import zarr

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.export import write_ome_zarr_labels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.errors import LabelsError, SourceError, StoreError

SHAPE = (2, 700, 900)
PLANE = PlaneAddress("y", "x", (("z", 1),))
VERSIONS = pytest.mark.parametrize("ngff", ["0.4", "0.5"])


def image_at(path, ngff):
    """Write the metadata of an image of one level."""
    group = zarr.create_group(path, zarr_format=2 if ngff == "0.4" else 3)
    keys = {"name": "v2", "separator": "/"} if ngff == "0.4" else None
    names = "zyx" if ngff == "0.5" else None
    group.create_array("0", shape=SHAPE, dtype="u1", chunk_key_encoding=keys, dimension_names=names)
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    image = {
        "axes": [{"name": n, "type": "space"} for n in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": scale}],
    }
    version = {"version": ngff}
    inner = {"multiscales": [image | (version if ngff == "0.4" else {})]}
    group.attrs.put(inner if ngff == "0.4" else {"ome": inner | version})
    return path


def create(path, ngff):
    labels = PyramidLabels.create(path, SHAPE, "zyx", ngff=ngff, scale=(2.0, 0.5, 0.5))
    labels.write(PLANE, Box(600, 700, 650, 790), np.ones((50, 90), bool), 7)
    labels.flush()
    return labels


@VERSIONS
def test_valid_by_an_independent_checker(tmp_path, ngff):
    labels = create(image_at(tmp_path / "image.zarr", ngff) / "labels" / "cells", ngff)
    group = yaozarrs.validate_zarr_store(str(labels.path))
    version = yaozarrs.v04 if ngff == "0.4" else yaozarrs.v05
    assert isinstance(group.ome_metadata(), version.LabelImage)
    yaozarrs.validate_zarr_store(str(tmp_path / "image.zarr"))


@VERSIONS
def test_read_by_another_program(tmp_path, ngff):
    labels = create(tmp_path / "labels.zarr", ngff)
    read = ngff_zarr.from_ngff_zarr(str(labels.path), version=ngff)
    assert len(read.images) == len(labels.levels) == 2
    for level, image in enumerate(read.images):
        assert image.dims == tuple("zyx")
        assert image.scale == {"z": 2.0, "y": 0.5 * 2**level, "x": 0.5 * 2**level}
        np.testing.assert_array_equal(np.asarray(image.data), labels.levels[level][...])
    assert np.asarray(read.images[1].data)[1, 310, 360] == 7


@VERSIONS
def test_named_in_the_image_that_they_lie_in(tmp_path, ngff):
    folder = image_at(tmp_path / "image.zarr", ngff) / "labels"
    cells = create(folder / "cells", ngff)
    create(folder / "nuclei", ngff)
    attributes = zarr.open_group(folder, mode="r").attrs.asdict()
    assert attributes.get("ome", attributes)["labels"] == ["cells", "nuclei"]
    attributes = zarr.open_group(cells.path, mode="r").attrs.asdict()
    assert attributes.get("ome", attributes)["image-label"]["source"] == {"image": "../../"}
    assert (cells.path / "../..").resolve() == (tmp_path / "image.zarr").resolve()


def test_labels_beside_an_image_are_not_listed(tmp_path):
    labels = create(tmp_path / "labels" / "cells", "0.5")
    assert not (labels.path.parent / "zarr.json").exists()


def test_one_version_in_one_image(tmp_path):
    image_at(tmp_path / "image.zarr", "0.4")
    with pytest.raises(LabelsError, match=r"OME-Zarr 0.5 for an image in 0.4.*Write them in 0.4"):
        create(tmp_path / "image.zarr" / "labels" / "cells", "0.5")


@VERSIONS
def test_opens_again_and_goes_on(tmp_path, ngff):
    store = PyramidLabels.open(create(tmp_path / "a.zarr", ngff).path)
    assert (store.axes, store.shape, store.next_label()) == (("z", "y", "x"), SHAPE, 8)
    delta = store.write(PLANE, Box(0, 0, 5, 5), np.ones((5, 5), bool), 8)
    assert store.levels[1][1, 0, 0] == 8
    store.revert(delta)
    assert not store.levels[1][1, :3, :3].any()


# --- the state of a run -------------------------------------------------------------------------


@VERSIONS
def test_a_finished_run_knows_that_it_was_edited(tmp_path, ngff):
    run = create(tmp_path / "a.zarr", ngff)
    # Opened before the run ends, as a viewer does that shows it growing.
    viewer = PyramidLabels.open(run.path)
    assert run.run_state is None
    run.set_run_state("running")
    run.write(PLANE, Box(0, 0, 5, 5), np.ones((5, 5), bool), 9)
    assert not run.is_edited
    run.set_run_state("finished")
    viewer.write(PLANE, Box(9, 9, 12, 12), np.ones((3, 3), bool), viewer.next_label())
    assert run.is_edited
    assert run.run_state == viewer.run_state == "finished"
    assert run.next_label() == viewer.next_label() == 11


# --- damage -------------------------------------------------------------------------------------


def chunks_of(labels, level=0):
    folder = labels.path / str(level)
    return sorted(
        f for f in folder.rglob("*") if f.is_file() and not f.name.startswith(("zarr", ".z"))
    )


@VERSIONS
def test_every_flip_and_cut_of_a_chunk_is_noticed(tmp_path, ngff):
    labels, box = create(tmp_path / "a.zarr", ngff), Box(600, 700, 650, 790)
    truth = labels.read(PLANE, box)
    rng = np.random.default_rng(0)
    missed, noticed = 0, []
    for file in chunks_of(labels):
        good = file.read_bytes()
        for _ in range(40):
            bad = bytearray(good)
            if rng.random() < 0.3:
                bad = bad[: rng.integers(len(bad))]
            else:
                bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
            file.write_bytes(bad)
            try:
                missed += not np.array_equal(labels.read(PLANE, box), truth)
            except StoreError as error:
                noticed.append(str(error))
        file.write_bytes(good)
    assert missed == 0
    assert len(noticed) > 30
    assert all("damaged" in error for error in noticed)
    np.testing.assert_array_equal(labels.read(PLANE, box), truth)


def test_damage_in_a_coarser_level_is_healed_by_the_next_write(tmp_path):
    labels = create(tmp_path / "a.zarr", "0.5")
    expected = [level[...] for level in labels.levels]
    (file,) = chunks_of(labels, 1)
    file.write_bytes(file.read_bytes()[:-1])
    labels.revert(labels.write(PLANE, Box(690, 780, 700, 790), np.ones((10, 10), bool), 8))
    for level, values in zip(labels.levels, expected, strict=True):
        np.testing.assert_array_equal(level[...], values)


# --- hostile stores -----------------------------------------------------------------------------


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@VERSIONS
@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "link"])
def test_levels_stay_in_their_folder(tmp_path, ngff, path):
    labels = create(tmp_path / "a.zarr", ngff)
    create(tmp_path / "elsewhere", ngff)
    (labels.path / "link").symlink_to(tmp_path / "elsewhere" / "0")
    file = labels.path / ("zarr.json" if ngff == "0.5" else ".zattrs")

    def lead_out(content):
        holder = content["attributes"]["ome"] if ngff == "0.5" else content
        holder["multiscales"][0]["datasets"][0]["path"] = path

    edit(file, lead_out)
    with pytest.raises(LabelsError, match="leaves the image's folder"):
        PyramidLabels.open(labels.path)


def test_codecs_and_chunks_are_checked(tmp_path):
    labels = create(tmp_path / "a.zarr", "0.4")
    array = labels.path / "0" / ".zarray"
    good = array.read_text()
    edit(array, lambda content: content.update(compressor={"id": "pickle"}))
    with pytest.raises(LabelsError, match="pickle"):
        PyramidLabels.open(labels.path)
    array.write_text(good)
    edit(array, lambda content: content.update(shape=[2, 90000, 90000], chunks=[1, 90000, 90000]))
    with pytest.raises(LabelsError, match=r"GiB"):
        PyramidLabels.open(labels.path)


def test_chunks_that_are_links_out_of_the_folder_are_not_followed(tmp_path):
    labels = create(tmp_path / "a.zarr", "0.5")
    outside = tmp_path / "outside"
    outside.mkdir()
    (labels.path / "0" / "c" / "0").symlink_to(outside)
    plane = PlaneAddress("y", "x", (("z", 0),))
    with pytest.raises((StoreError, SourceError)):
        labels.write(plane, Box(0, 0, 9, 9), np.ones((9, 9), bool), 8)
    assert not list(outside.iterdir())


# --- whole label images -------------------------------------------------------------------------


@pytest.mark.parametrize("axes", ["yx", "zyx"])
def test_exported_labels_are_read_by_another_program(tmp_path, axes):
    labels = np.random.default_rng(0).integers(0, 99, (2, 300, 310)[-len(axes) :], dtype=np.uint16)
    path = write_ome_zarr_labels(tmp_path / "out.zarr", labels, axes, scale=(0.5,) * len(axes))
    read = ngff_zarr.from_ngff_zarr(str(path), version="0.5")
    np.testing.assert_array_equal(np.asarray(read.images[0].data), labels)
    assert read.images[0].scale == dict.fromkeys(axes, 0.5)
