"""A session folder: what is written comes back bit for bit, and the old one lives till the end."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.core.prompts import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    ScribblePrompt,
)
from napari_ditto.core.window import Window
from napari_ditto.data.checked import Facts
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.packed_mask import PackedMask
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.data.session_folder import (
    INDEX,
    SessionContent,
    read_examples,
    read_session,
    write_session_steps,
)
from napari_ditto.data.session_layers import (
    SessionImage,
    SessionLabels,
    SessionPrompts,
    SessionView,
)
from napari_ditto.data.session_pixels import fingerprint, read_labels, read_levels
from napari_ditto.data.session_records import SessionRecord
from napari_ditto.data.session_steps import PromptStep, prompts_from_json, prompts_to_json
from napari_ditto.data.source import open_source
from napari_ditto.errors import LabelsError, SourceError, StoreError

RNG = np.random.default_rng(7)


def a_step(label=1):
    mask = RNG.random((9, 7)) > 0.5
    prompts = PromptSet((PointPrompt(0.1 + 0.2, 1 / 3), PointPrompt(5.0, 1e-300, False)))
    return PromptStep(
        label, PlaneAddress("y", "x", (("z", 2),)), prompts, 1, ("i",), Window((0.1,), (255.7,)),
        "classic", "cpu", "classic@1#0", "keep",
        PackedMask.of(mask, Box(3, 4, 12, 11)), PackedMask.of(~mask, Box(3, 4, 12, 11)),
        {"threshold": -0.25},
    )  # fmt: skip


def a_session(value=1, shape=(40, 50)):
    pixels = RNG.integers(0, 255, shape, dtype=np.uint8)
    labels = np.zeros(shape, np.uint32)
    labels[3:9, 4:9] = value
    image = SessionImage(
        "i", "cells", axes=("y", "x"), shapes=(shape,), dtype="uint8",
        fingerprint=fingerprint([pixels], "cells"), place={"scale": [0.1, 0.3]},
    )  # fmt: skip
    entry = SessionLabels(
        "l", "objects", images=("i",), axes=("y", "x"), shape=shape, steps=(a_step(),),
        provenance={"1": {"model": "classic"}},
    )  # fmt: skip
    clicks = SessionPrompts(
        "p", "clicks", "points", "i", 2, (((0.1, 2 / 3),), ((4.0, 1e-9),)),
        {"features.ditto": ("positive", "negative")}, positive=False,
    )  # fmt: skip
    record = SessionRecord(
        (image,), (entry,), (clicks,), ("i",), "l", ("p",), {"model": "classic"},
        view=SessionView(2, (0, 1), (1.5, 2.5), (3.0, 4.0), 1.25), program="test",
    )  # fmt: skip
    source = open_source(pixels, "yx")
    example = PlaneExample(source, source.plane(), labels.astype(np.int32), name="one")
    return SessionContent(record, {"l": ArrayLabels(labels, "yx")}, {"i": [pixels]}, [example])


def saved(path, content):
    return drain(write_session_steps(path, content))


def without_files(record):
    told = record.to_json()
    told["examples"] = ""
    for layer in (*told["images"], *told["labels"]):
        layer.update({name: "" for name in ("kept", "file", "digest") if name in layer})
    return told


def test_what_is_saved_comes_back(tmp_path):
    path, content = tmp_path / "a.ditto-session", a_session()
    saved(path, content)
    record = read_session(path)
    assert without_files(record) == without_files(content.record)
    labels = read_labels(path, record.labels[0])
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels.data, content.labels["l"].data)
    (level,) = read_levels(path, record.images[0])
    np.testing.assert_array_equal(level[...], content.pixels["i"][0])
    assert fingerprint([level], "") == record.images[0].fingerprint
    (example,) = read_examples(path, record)
    assert example.name == "one"
    assert {p.name for p in path.iterdir()} == {INDEX, *record.files}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_steps_come_back_bit_for_bit(tmp_path):
    step = a_step()
    told = json.loads(json.dumps(step.to_json()))
    again = PromptStep.from_json(Facts(told))
    assert again.to_json() == step.to_json()
    assert again.prompts == step.prompts
    assert again.window == step.window
    np.testing.assert_array_equal(again.written.unpack(), step.written.unpack())


def test_every_kind_of_prompt_comes_back():
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2] = True
    prompts = PromptSet(
        (PointPrompt(1.1, -2.2),),
        (ScribblePrompt(((0.1, 0.2), (3.3, 4.4)), False, 2.5),),
        BoxPrompt(-0.5, -0.5, 9.1, 8.2),
        MaskPrompt(Box(-2, 5, 2, 11), mask),
        12.5,
    )
    again = prompts_from_json(Facts(json.loads(json.dumps(prompts_to_json(prompts)))))
    assert again == prompts
    assert again.digest() == prompts.digest()


def test_saving_again_replaces_and_keeps_what_is_the_same(tmp_path):
    path, content = tmp_path / "a.ditto-session", a_session()
    first = saved(path, content)
    chunk = next((path / first.labels[0].file).rglob("0"))
    before = chunk.stat().st_mtime_ns
    second = saved(path, content)
    assert second.labels[0].file == first.labels[0].file
    assert chunk.stat().st_mtime_ns == before
    third = saved(path, a_session(value=2))
    assert third.labels[0].file != first.labels[0].file
    assert {p.name for p in path.iterdir()} == {INDEX, *third.files}
    assert read_labels(path, read_session(path).labels[0]).data[3, 4] == 2


def test_damaged_labels_are_told_and_saving_again_mends_them(tmp_path):
    path, content = tmp_path / "a.ditto-session", a_session()
    record = saved(path, content)
    chunk = path / record.labels[0].file / "0" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(LabelsError, match="cannot be read"):
        read_labels(path, record.labels[0])
    saved(path, content)
    np.testing.assert_array_equal(
        read_labels(path, record.labels[0]).data, content.labels["l"].data
    )


def test_labels_on_disk_go_by_reference(tmp_path):
    labels = PyramidLabels.create(tmp_path / "big.zarr", (40, 50), "yx")
    labels.write(PlaneAddress(), Box(0, 0, 2, 2), np.ones((2, 2), bool), 4)
    content = a_session()
    entry = SessionLabels("l", "big", path=str(labels.path), axes=("y", "x"), shape=(40, 50))
    record = SessionRecord((), (entry,))
    path = tmp_path / "a.ditto-session"
    saved(path, SessionContent(record, {"l": labels}))
    assert [p.name for p in path.iterdir()] == [INDEX]
    again = read_labels(path, read_session(path).labels[0])
    assert again.data[1, 1] == 4
    assert again.path == labels.path
    assert content


def test_temporary_pyramids_are_copied(tmp_path):
    labels = PyramidLabels.create(None, (40, 50), "yx")
    labels.write(PlaneAddress(), Box(0, 0, 2, 2), np.ones((2, 2), bool), 4)
    content = SessionContent(a_session().record, {"l": labels})
    path = tmp_path / "a.ditto-session"
    record = saved(path, content)
    assert (path / record.labels[0].file / "zarr.json").is_file()


@pytest.mark.parametrize("name", ["a.zarr", ".ditto-session"])
def test_only_folders_of_the_right_name(tmp_path, name):
    with pytest.raises(StoreError, match="Call it"):
        saved(tmp_path / name, a_session())
    assert not list(tmp_path.iterdir())


def test_nothing_else_is_replaced(tmp_path):
    path = tmp_path / "a.ditto-session"
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match="no session to replace"):
        saved(path, a_session())
    assert (path / "thesis.txt").read_text() == "years of work"


def test_files_of_others_stay(tmp_path):
    path = tmp_path / "a.ditto-session"
    saved(path, a_session())
    (path / "notes.txt").write_text("mine")
    saved(path, a_session(value=3))
    assert (path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("fresh", [True, False])
def test_a_disk_that_refuses_leaves_the_old_session(tmp_path, monkeypatch, fresh):
    path = tmp_path / "a.ditto-session"
    if not fresh:
        saved(path, a_session(value=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        saved(path, a_session(value=2))
    if fresh:
        assert not list(tmp_path.iterdir())
    else:
        assert read_labels(path, read_session(path).labels[0]).data[3, 4] == 1


def test_a_session_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_session(tmp_path / "none.ditto-session")


def test_an_image_moves_with_its_session(tmp_path):
    from PIL import Image

    home = tmp_path / "home"
    home.mkdir()
    pixels = RNG.integers(0, 255, (20, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(home / "cells.png")
    entry = SessionImage(
        "i", "cells", str(home / "cells.png"), "cells.png", axes=("y", "x"), shapes=((20, 30),)
    )
    saved(home / "a.ditto-session", SessionContent(SessionRecord((entry,))))
    home.rename(tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / "a.ditto-session"
    (level,) = read_levels(path, read_session(path).images[0])
    np.testing.assert_array_equal(level, pixels)
    (path.parent / "cells.png").unlink()
    with pytest.raises(SourceError, match="is not there"):
        read_levels(path, read_session(path).images[0])
