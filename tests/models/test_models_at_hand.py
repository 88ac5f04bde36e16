"""What is told of models: in words, by hash, by the clock; what is fetched, and what never is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.errors import ModelError, ModelNotFoundError, WeightsError
from napari_ditto.models import online, speed_check, verification
from napari_ditto.models.catalogue import about
from napari_ditto.models.download import fetch
from napari_ditto.models.manifest import manifest
from napari_ditto.models.registry import available_models, reads_text
from napari_ditto.models.speed_check import Speed, remember, remembered, speed_steps
from napari_ditto.models.verification import known_hash, verify_steps
from napari_ditto.models.weights import begun, download, folder_of, is_installed, remove, require


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch, models_folder):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


# --- in words -----------------------------------------------------------------------------------


def test_every_model_is_described_and_can_be_cited():
    for entry in available_models():
        told = about(entry)
        assert all((told.good_at, told.less_good_at, told.evidence, told.reads, told.citation))
        assert told.bibtex.startswith("@")
        assert told.bibtex.count("{") == told.bibtex.count("}")
        assert "{version}" not in told.bibtex


def test_what_was_not_measured_is_said():
    for entry in available_models():
        ours = entry.id in ("ditto", "classic")
        assert about(entry).evidence.startswith("Measured by us") == ours


def test_our_own_figures_are_those_of_the_evaluation():
    page = (Path(__file__).parents[2] / "docs" / "explain" / "evaluation.md").read_text()
    sets = {
        "fluorescent nuclei": "dsb_fluo", "heart MRI": "sunnybrook_cmr",
        "mitochondria in EM": "sstem_mito", "white blood cell nuclei": "wbc_nucleus",
        "buildings from the air": "oam_buildings_fair", "cells in phase contrast": "usiigaci_phase",
    }  # fmt: skip
    table = page.split("With intervals")[0]
    for entry in available_models()[:2]:
        assert [name for name, *_ in about(entry).figures] == list(sets)
        for name, click, box in about(entry).figures:
            start = f"| {sets[name]} | {entry.id} |"
            (line,) = [r for r in table.splitlines() if r.startswith(start)]
            cells = [c.strip() for c in line.split("|")]
            assert (f"{click:.2f}", f"{box:.2f}") == (cells[4], cells[6])


def test_sam_3_is_gated_and_reads_words():
    entry = manifest()["sam3:facebook/sam3"]
    assert entry.gated
    assert reads_text(entry.id)
    for refuse in (lambda: require(entry), lambda: drain(download(entry, agree=True))):
        with pytest.raises(ModelNotFoundError, match="by hand, its licence") as caught:
            refuse()
        assert "napari-ditto models add" in str(caught.value)


# --- by hash ------------------------------------------------------------------------------------


def test_the_bundled_weights_are_checked(tmp_path, monkeypatch):
    found = drain(verify_steps("ditto"))
    assert (found.sha256, found.by) == (known_hash("ditto").sha256, "package")
    assert drain(verify_steps("classic")).by == "no weights"
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(verification.WEIGHTS.read_bytes()[:-1] + b"x")
    copy.with_suffix(".json").write_bytes(verification.WEIGHTS.with_suffix(".json").read_bytes())
    monkeypatch.setattr(verification, "WEIGHTS", copy)
    with pytest.raises(WeightsError, match="not those that were packed"):
        drain(verify_steps("ditto"))


def test_what_is_known_of_weights_that_are_not_here():
    assert known_hash("sam:vit_b").by == "published"
    assert known_hash("sam:vit_b_lm").by == "nobody"
    with pytest.raises(ModelNotFoundError, match="not on this computer"):
        drain(verify_steps("sam:vit_b"))


# --- by the clock -------------------------------------------------------------------------------

FAST = Speed("ditto", "a" * 64, "cpu", speed_check.this_machine(), 512, 100.0, 50.0, 0.1)


def test_classic_is_measured_in_a_process_of_its_own():
    speed = drain(speed_steps("classic"))
    assert speed.encode_ms > speed.decode_ms > 0
    assert speed.memory_bytes >= 0
    assert (speed.tile, speed.device) == (512, "cpu")
    assert remembered("classic") == remembered("classic", speed.weights_sha256) == speed


def test_speed_is_of_these_weights_on_this_machine(monkeypatch):
    assert remembered("ditto") is None
    remember(FAST)
    assert remembered("ditto", "a" * 64) == FAST
    assert remembered("ditto", "b" * 64) is None
    monkeypatch.setattr(speed_check, "this_machine", lambda: "another")
    assert remembered("ditto") is None


def test_a_damaged_memory_of_speeds_counts_as_empty(config):
    remember(FAST)
    (config / "speeds.json").write_text('{"speeds": [{"model": 1}]}')
    assert remembered("ditto") is None
    remember(FAST)
    assert len(json.loads((config / "speeds.json").read_text())["speeds"]) == 1


def test_cancelling_ends_the_process(monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    steps = speed_steps("classic")
    next(steps)
    steps.close()
    assert started[0].wait(5) != 0
    assert remembered("classic") is None


def test_a_model_that_is_not_here_says_so():
    with pytest.raises(ModelError, match="not on this computer"):
        drain(speed_steps("sam:vit_b"))


@pytest.mark.parametrize(("said", "match"), [(b"", "without an answer"), (b"[]", "without an")])
def test_a_process_that_dies_is_one_line(said, match):
    with pytest.raises(ModelError, match=match):
        speed_check._answer(said, "sam:x", -9)


# --- fetched, or not ----------------------------------------------------------------------------


def test_never_go_online_is_remembered_and_heeded(tmp_path):
    assert not online.is_offline()
    online.never_go_online(True)
    assert online.is_offline()
    with pytest.raises(ModelNotFoundError, match="Untick 'Never go online'"):
        drain(fetch("https://example.org/x", tmp_path / "x"))
    online.never_go_online(False)
    online.never_go_online(False)
    assert not online.is_offline()


def test_a_begun_download_is_told_and_thrown_away():
    entry = manifest()["sam:vit_b"]
    folder = folder_of(entry)
    folder.mkdir(parents=True)
    assert begun(entry) == 0
    (folder / "sam_vit_b_01ec64.pth.part").write_bytes(b"x" * 100)
    (folder / "notes.txt").write_text("of the user")
    assert begun(entry) == 100
    assert remove(entry) == 100
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
    (folder / "sam_vit_b_01ec64.pth").write_bytes(b"x" * 9)
    assert is_installed(entry)
    assert begun(entry) == 0
    assert remove(entry) == 9
    (folder / "notes.txt").unlink()
    remove(entry)
    assert not folder.exists()
