"""`napari-ditto models`: what the dock of models does, on the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from napari_ditto.cli import main
from napari_ditto.models import verification
from napari_ditto.models.manifest import manifest
from napari_ditto.models.weights import folder_of


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    for name in ("MODELS", "CONFIG", "TUNED", "CACHE"):
        monkeypatch.setenv(f"NAPARI_DITTO_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("NAPARI_DITTO_OFFLINE", raising=False)
    return tmp_path


def ask(capsys, *arguments):
    """Return what a command says as JSON."""
    assert main(["models", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from napari_ditto.testing.small_seggpt import save_small_seggpt

    return save_small_seggpt(tmp_path_factory.mktemp("own") / "mine")


def test_a_model_is_added_checked_and_removed(capsys, weights):
    added = ask(capsys, "add", str(weights))
    assert added["id"] == f"seggpt:{weights}"
    listed = {m["id"]: m for m in ask(capsys, "list")["models"]}
    assert listed[added["id"]]["added"]
    assert listed["ditto"]["good_at"]
    assert ask(capsys, "verify", added["id"])["by"] == "when added"
    assert ask(capsys, "remove", added["id"])["freed"] == 0
    assert (weights / "model.safetensors").is_file()
    assert added["id"] not in {m["id"] for m in ask(capsys, "list")["models"]}


def test_what_was_fetched_is_deleted_after_asking(capsys):
    entry = manifest()["sam:vit_b"]
    folder_of(entry).mkdir(parents=True)
    (folder_of(entry) / entry.weights_file).write_bytes(b"x" * 50)
    assert ask(capsys, "remove", entry.id)["freed"] == 0  # nobody is here to say yes
    assert ask(capsys, "remove", entry.id, "--yes")["freed"] == 50
    assert main(["models", "remove", entry.id]) == 2


@pytest.mark.parametrize("action", ["add", "verify", "speed", "remove"])
def test_without_a_name_one_is_asked_for(capsys, action):
    assert main(["models", action]) == 2
    assert "which model?" in capsys.readouterr().err


def test_ditto_is_checked(capsys, tmp_path, monkeypatch):
    assert ask(capsys, "verify", "ditto")["by"] == "package"
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"x")
    shutil.copy(verification.WEIGHTS.with_suffix(".json"), broken.with_suffix(".json"))
    monkeypatch.setattr(verification, "WEIGHTS", broken)
    assert main(["models", "verify", "ditto"]) == 2
    assert "not those that were packed" in capsys.readouterr().err


def test_doctor_checks_the_hash_of_ditto(tmp_path, monkeypatch):
    from napari_ditto.cli import doctor

    assert doctor.bundled().status == "ok"
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(b"x")
    monkeypatch.setattr(verification, "WEIGHTS", broken)
    check = doctor.bundled()
    assert check.status == "warning"
    assert "classic" in check.todo


def test_never_online(capsys):
    assert ask(capsys, "online") == {"online": True}
    assert ask(capsys, "online", "never") == {"online": False}
    assert main(["models", "get", "sam:vit_b", "--yes"]) == 2
    assert "offline mode is on" in capsys.readouterr().err
    assert ask(capsys, "online", "again") == {"online": True}
    assert main(["models", "online", "perhaps"]) == 2


def test_a_gated_model_is_not_fetched(capsys):
    assert main(["models", "get", "sam3:facebook/sam3", "--yes"]) == 2
    assert "models add FOLDER" in capsys.readouterr().err


def test_info_does_not_load_torch_for_the_size_of_a_tile(tmp_path):
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8))
    code = (
        "import sys; from napari_ditto.cli import main; "
        f"assert main(['info', {str(tmp_path / 'a.tif')!r}]) == 0; "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tiles of 512 px" in done.stdout


def test_all_of_a_name_on_the_command_line(capsys, tmp_path):
    import numpy as np
    import tifffile
    import zarr

    from napari_ditto.testing.small_sam3 import save_small_sam3

    model = save_small_sam3(tmp_path / "sam3")
    image = np.random.default_rng(0).integers(0, 255, (120, 130), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image)
    out = tmp_path / "a.zarr"
    asked = ["all", str(tmp_path / "a.tif"), "-o", str(out), "--model", f"sam3:{model}", "--json"]
    assert main([*asked, "--text", " coin "]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["made_by"]["text"] == "coin"
    assert zarr.open(out)["0"].shape == (120, 130)
    assert main(asked) == 2
    assert "finds things by name" in capsys.readouterr().err
    assert main([*asked[:-3], "--model", "classic", "--text", "coin"]) == 2
    assert "classic reads no words" in capsys.readouterr().err
