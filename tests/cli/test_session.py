"""The command `session`: what a session holds, and whether its labels come out again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_ditto.cli import main
from tests.engine.test_replay import annotate, model, save, scene  # noqa: F401 - a fixture


@pytest.fixture
def session(tmp_path, model):  # noqa: F811
    image = scene()
    labels, steps = annotate(model, image)
    labels.data[80:90, 80:90] = 9
    return save(tmp_path / "a.ditto-session", image, labels, steps), labels


def test_show(session, capsys):
    assert main(["session", "show", str(session[0])]) == 0
    text = capsys.readouterr().out
    assert "kept in the session" in text
    assert "objects" in text
    assert "classic" in text


def test_replay_is_identical_and_written(session, tmp_path, capsys):
    path, labels = session
    out = tmp_path / "again.tif"
    assert main(["session", "replay", str(path), "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["identical"]
    assert told["labels"][0]["objects"] == 3
    import tifffile

    np.testing.assert_array_equal(tifffile.imread(out), labels.data)


def test_a_difference_has_a_status_of_its_own(session, tmp_path, capsys):
    path, labels = session
    index = path / "session.json"
    told = json.loads(index.read_text())
    told["labels"][0]["steps"][0]["prompts"]["points"] = [[64, 70, True]]
    index.write_text(json.dumps(told))
    out = tmp_path / "again.zarr"
    assert main(["session", "replay", str(path), "-o", str(out)]) == 3
    assert "1 of 3 objects came out differently (labels 1)" in capsys.readouterr().out
    import zarr

    assert (zarr.open(out)["0"][...] != labels.data).sum() > 100


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--image", "none=x.png"], "there is no image 'none'"),
        (["--labels", "none"], "there are no labels 'none'"),
        (["--image", "none.png"], "no such file|cannot open|is not there"),
    ],
)
def test_refusals_are_one_line(session, capsys, arguments, why):
    assert main(["session", "replay", str(session[0]), *arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("napari-ditto")
    import re

    assert re.search(why, error, re.IGNORECASE)
