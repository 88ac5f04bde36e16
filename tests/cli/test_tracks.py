"""`napari-ditto tracks`: masks linked, or found and linked, and written in each format."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ditto.cli import main
from napari_ditto.core import synthetic


@pytest.fixture(autouse=True)
def movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> synthetic.Movie:
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    made = synthetic.movie(12, (128, 128), 4, seed=1)
    for name, data in (("movie.tif", made.image), ("masks.tif", made.labels.astype(np.uint16))):
        tifffile.imwrite(tmp_path / name, data, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "first.tif", made.labels[0].astype(np.uint16))
    return made


def test_given_masks_are_linked_and_written(movie, capsys):
    import geff
    import zarr
    from traccuracy.loaders import load_ctc_data

    command = "tracks movie.tif --labels masks.tif -o out.zarr -o out.geff -o ctc --json"
    assert main(command.split()) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tracks"] == movie.labels.max()
    assert facts["divisions"] == len(movie.parents) // 2
    assert facts["frames"] == 12
    assert facts["made_by"]["linking"]["gap"] == 2
    labels = zarr.open_group("out.zarr")["0"][:]
    assert ((labels > 0) == (movie.labels > 0)).all()
    graph, _ = geff.read("out.geff", backend="networkx")
    assert len(graph) == facts["objects"]
    assert len(load_ctc_data("ctc").get_divisions()) == facts["divisions"]


def test_cells_are_found_after_a_labelled_frame(movie, capsys):
    command = "tracks movie.tif --frame 0=first.tif --within 0,3 --model classic"
    assert main(command.split()) == 0
    said = capsys.readouterr().out
    assert "frames     3" in said
    assert "tracks" in said


def test_a_refused_job_leaves_no_output(movie, capsys):
    command = "tracks movie.tif --frame 99=first.tif -o new.zarr --model classic"
    assert main(command.split()) == 2
    assert "frame 99" in capsys.readouterr().err
    assert not Path("new.zarr").exists()


def test_examples_may_be_of_other_images(movie, capsys):
    tifffile.imwrite("other.tif", movie.image[0])
    command = "tracks movie.tif --example other.tif first.tif --within 0,2 --model classic --json"
    assert main(command.split()) == 0
    assert json.loads(capsys.readouterr().out)["tracks"] >= 3


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tracks movie.tif", "Give --labels, or --frame, or --example"),
        ("tracks movie.tif --labels first.tif", "labels of shape (128, 128) for a movie"),
        ("tracks movie.tif --labels none.tif", "none.tif"),
        ("tracks first.tif --labels first.tif", "no axis t"),
        ("tracks movie.tif --labels masks.tif --within 3,99", "no frames 3 to 99"),
        ("tracks movie.tif --labels masks.tif --linker trackastra", "Trackastra is not installed"),
    ],
)
def test_what_does_not_fit_is_one_line(command, said, capsys):
    assert main(command.split()) == 2
    err = capsys.readouterr().err
    assert said in err.strip().splitlines()[-1]
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--frame first.tif", "'first.tif' is not like 0=labels.tif"),
        ("-o out.png", "neither .zarr, .geff nor a new folder"),
        ("-o first.tif", "neither"),
        ("-o cache/none/ctc", "there is no folder"),
    ],
)
def test_wrong_usage_is_one_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["tracks", "movie.tif", *arguments.split()])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
