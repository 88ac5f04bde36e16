"""Models of the user's own: recognised, refused with a reason, added, checked, forgotten."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.errors import DittoError, ModelNotFoundError, WeightsError
from napari_ditto.models.added import add_steps, added_models, find_added, forget
from napari_ditto.models.ditto.weights import WEIGHTS
from napari_ditto.models.protocols import Memory
from napari_ditto.models.recognition import recognise
from napari_ditto.models.registry import FAMILIES, available_models, load_model
from napari_ditto.models.tuned import Tuned, list_tuned, save_tuned
from napari_ditto.models.verification import known_hash, verify_steps

NAMES = {f.name for f in FAMILIES if f.takes == "weights"}


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("NAPARI_DITTO_TUNED", str(tmp_path / "tuned"))
    return tmp_path / "config"


def add(path):
    return drain(add_steps(path))


@pytest.mark.parametrize("family", ["sam", "sam_hq", "sam2"])
def test_a_folder_is_recognised_offered_and_loads(checkpoints, models_folder, family):
    folder = getattr(checkpoints, family)
    added = add(folder)
    assert (added.id, added.family) == (f"{family}:{folder}", family)
    assert added_models() == (added,) == (find_added(added.id),)
    entry = next(e for e in available_models() if e.added)
    assert entry.id == added.id
    assert entry.installed
    assert load_model(added.id, "cpu").spec.weights_sha256 == added.sha256
    assert add(folder) == added
    assert len(added_models()) == 1


def test_a_file_alone_or_beside_its_configuration(checkpoints, tmp_path):
    weights = shutil.copytree(checkpoints.sam, tmp_path / "one") / "model.safetensors"
    assert recognise(weights, NAMES).family == "sam"
    weights.with_name("config.json").unlink()
    with pytest.raises(ModelNotFoundError, match="unknown network"):
        recognise(weights, NAMES)


def test_forgetting_leaves_the_files(checkpoints, models_folder):
    added = add(checkpoints.sam2)
    forget(added.id)
    assert added_models() == ()
    assert (checkpoints.sam2 / "model.safetensors").is_file()
    with pytest.raises(ModelNotFoundError, match="was not added"):
        forget(added.id)


def test_weights_that_were_changed_since_are_noticed(checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints.sam2, tmp_path / "mine")
    name = add(folder).id
    assert drain(verify_steps(name)).by == known_hash(name).by == "when added"
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="not those that were added"):
        drain(verify_steps(name))


def test_a_tuned_prompt_goes_to_the_others(tmp_path):
    memory = Memory({"x": np.ones(3, np.float32)}, (1,), "ditto@1#0")
    path = save_tuned(Tuned(memory, "mine", 0.5, 0.6), tmp_path / "elsewhere")
    assert add(path).kind == "tuned"
    assert [t.name for t in list_tuned()] == ["mine"]
    assert added_models() == ()
    with pytest.raises(ModelNotFoundError, match="a tuned prompt, not a model"):
        load_model(str(path))


def save(tmp_path, name, names):
    from safetensors.numpy import save_file

    save_file({n: np.ones(2, np.float32) for n in names}, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["image_encoder.layers.0.blocks.0.attn.qkv.weight"], "MobileSAM"),
        (["image_encoder.trunk.x", "sam_mask_decoder.x"], "an original SAM 2"),
        (["detector.backbone.x", "tracker.y"], r"an original SAM 3.*config\.json"),
        (["encoder.patch_embed.proj.weight", "W2"], "a Cellpose"),
        (["layer.weight"], r"unknown network \(layer\.weight"),
    ],
)
def test_networks_that_are_not_built_in_are_named(tmp_path, names, reason):
    with pytest.raises(ModelNotFoundError, match=reason) as caught:
        add(save(tmp_path, "a.safetensors", names))
    assert "\n" not in str(caught.value)
    assert added_models() == ()


def test_the_weights_of_the_package_are_no_model_to_add():
    with pytest.raises(ModelNotFoundError, match="come with the package"):
        add(WEIGHTS)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.onnx", "ONNX"), ("a.h5", "StarDist"), ("a.zip", "unpack it"), ("a", "kind 'unknown'")],
)
def test_other_files_are_named(tmp_path, name, reason):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelNotFoundError, match=reason):
        add(tmp_path / name)


def test_folders_that_lack_something(tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        add(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit_mae"}')
    with pytest.raises(ModelNotFoundError, match="'vit_mae', which is no kind"):
        add(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(ModelNotFoundError, match=r"no model\.safetensors"):
        add(tmp_path)
    with pytest.raises(ModelNotFoundError, match="there is nothing"):
        add(tmp_path / "no")


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def evil_pth(path):
    path.write_bytes(pickle.dumps({"model": Evil()}))


def evil_zip(path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model": Evil()}))
        archive.writestr("archive/version", "3")
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize("make", [evil_pth, evil_zip])
def test_a_hostile_checkpoint_is_refused_and_not_added(tmp_path, make):
    make(tmp_path / "model.pth")
    with pytest.raises(DittoError, match=r"could run code|damaged"):
        add(tmp_path / "model.pth")
    assert added_models() == ()


def test_a_link_out_of_the_folder_is_refused(checkpoints, tmp_path):
    folder = tmp_path / "linked"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(checkpoints.sam / name)
    with pytest.raises(WeightsError, match="leads out of its folder"):
        add(folder)


@pytest.mark.parametrize("text", ["", "{}", '{"models": 3}', '{"models": [{"id": 1}]}', "[" * 9999])
def test_a_damaged_list_counts_as_empty(config, text):
    config.mkdir()
    (config / "added-models.json").write_text(text)
    assert added_models() == ()


def test_a_model_that_has_gone_is_not_installed(checkpoints, tmp_path, models_folder):
    folder = shutil.copytree(checkpoints.sam2, tmp_path / "mine")
    add(folder)
    shutil.rmtree(folder)
    assert not next(e for e in available_models() if e.added).installed


def test_the_list_is_plain_json(checkpoints, config):
    add(checkpoints.sam2)
    assert list(json.loads((config / "added-models.json").read_text())) == ["models"]
    assert [p.name for p in config.iterdir()] == ["added-models.json"]
