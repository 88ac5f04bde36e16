"""Journals from the command line, and from a script."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_ditto as nd
from napari_ditto.cli import main
from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.journal_records import ImageNote
from napari_ditto.data.journal_shelf import Shelf, finish
from napari_ditto.data.labels import ArrayLabels
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.testing.fakes import TRUTH_WINDOW, PerfectModel, paint_truth


def put(store: ArrayLabels, label: int) -> None:
    box = Box(label, 0, label + 2, 9)
    store.write(PlaneAddress(), box, np.ones(box.shape, bool), label, "replace")


@pytest.fixture
def kept(tmp_path, monkeypatch) -> ArrayLabels:
    """Leave a journal of labels in memory, and return these."""
    monkeypatch.setenv("NAPARI_DITTO_JOURNAL", str(tmp_path / "journals"))
    monkeypatch.chdir(tmp_path)
    labels = ArrayLabels(np.zeros((20, 30), np.uint32), ("y", "x"))
    recorder = Shelf().record(labels, ImageNote("cells"), "Ditto labels")
    for label in (1, 2, 3):
        put(labels, label)
    finish(recorder.journal)
    return labels


def ask(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    assert main(["journal", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def name() -> str:
    return Shelf().entries()[0].name


def test_journals_are_listed_and_shown(kept, capsys):
    (entry,) = ask(capsys)["journals"]
    assert (entry["state"], entry["edits"], entry["image"]) == ("closed", 3, "cells")
    facts = ask(capsys, "show", entry["name"])
    assert facts["shape"] == [20, 30]
    assert [w["label"] for w in facts["writes"]] == [1, 2, 3]
    assert facts["writes"][0]["region"] == [[1, 3], [0, 9]]
    assert main(["journal"]) == 0
    assert "cells" in capsys.readouterr().out
    assert main(["journal", "show", entry["path"]]) == 0
    assert "uint32" in capsys.readouterr().out


def test_replay_makes_identical_labels(kept, capsys):
    assert ask(capsys, "replay", name(), "-o", "out.tif")["edits"] == 3
    assert np.array_equal(tifffile.imread("out.tif"), kept.data)
    assert tifffile.imread("out.tif").dtype == np.uint32
    ask(capsys, "replay", name(), "-o", "out.zarr")
    assert np.array_equal(PyramidLabels.open(Path("out.zarr")).data[:], kept.data)


def test_labels_on_disk_are_brought_up_to_date(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NAPARI_DITTO_JOURNAL", str(tmp_path / "journals"))
    labels = PyramidLabels.create(tmp_path / "l.zarr", (20, 30), ("y", "x"))
    put(labels, 9)
    Shelf().record(labels, ImageNote("cells"))
    put(labels, 1)
    wanted = np.array(labels.data[:])
    labels.levels[0][1:3] = 0
    (path,) = (tmp_path / "journals").iterdir()
    ask(capsys, "replay", str(path), "-o", str(tmp_path / "copy.tif"))
    assert np.array_equal(tifffile.imread(tmp_path / "copy.tif"), wanted)
    assert not np.array_equal(labels.data[:], wanted)
    assert ask(capsys, "replay", str(path))["output"] == str(tmp_path / "l.zarr")
    assert np.array_equal(labels.data[:], wanted)


def test_damage_is_told_in_one_line(kept, capsys):
    path = Shelf().entries()[0].path
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    assert main(["journal", "replay", name(), "-o", "out.tif"]) == 0
    assert capsys.readouterr().err == "1 edit is lost: the journal is damaged\n"
    assert ask(capsys, "show", name())["lost"] == 1


def test_remove_deletes_one_that_nobody_uses(kept, capsys):
    assert ask(capsys, "remove", name())
    assert ask(capsys)["journals"] == []
    recorder = Shelf().record(kept, ImageNote())
    kept.recorder = None
    recorder = Shelf().record(kept, ImageNote())
    put(kept, 5)
    assert main(["journal", "remove", name()]) == 2
    assert "in use" in capsys.readouterr().err
    finish(recorder.journal)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show"], "no journal is named"),
        (["show", "nothing"], "no such journal"),
        (["replay", "NAME"], "on no disk"),
        (["replay", "NAME", "-o", "out.png"], "must end with .zarr or .tif"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(kept, capsys, arguments, told):
    arguments = [name() if a == "NAME" else a for a in arguments]
    try:
        status = main(["journal", *arguments])
    except SystemExit as leave:
        status = leave.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_a_script_keeps_a_journal_too(tmp_path, capsys):
    truth = np.zeros((40, 50), np.uint32)
    truth[5:15, 5:20], truth[20:35, 10:30] = 1, 2
    image = paint_truth(truth)
    source = nd.open_source(image, axes="yxc", window=TRUTH_WINDOW, name="cells")
    annotator = nd.Annotator(source, PerfectModel(64), journal=tmp_path / "a.journal")
    annotator.accept(annotator.predict(points=[(10, 10)]))
    annotator.accept(annotator.predict(points=[(25, 20)]))
    annotator.undo()
    annotator.undo()
    annotator.redo()
    ask(capsys, "replay", str(tmp_path / "a.journal"), "-o", str(tmp_path / "o.tif"))
    assert np.array_equal(tifffile.imread(tmp_path / "o.tif"), annotator.labels)
    assert annotator.labels.any()
    assert ask(capsys, "show", str(tmp_path / "a.journal"))["image"] == "cells"
