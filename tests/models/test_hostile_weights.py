"""Weights that are damaged, foreign or meant to harm: one clear line, and nothing is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch

from napari_ditto.errors import WeightsError
from napari_ditto.models import checkpoint, weights
from napari_ditto.models.registry import load_model
from napari_ditto.models.weights import LOCK, Weights, verify


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of a good checkpoint that a test may spoil."""
    return shutil.copytree(checkpoints.sam, tmp_path / "sam")


class Payload:
    """Unpickling this writes a file: proof that code ran."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return (os.mkdir, (str(self.proof),))


@pytest.mark.parametrize("legacy", [True, False], ids=["bare pickle", "zip"])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, legacy):
    proof, path = tmp_path / "proof", tmp_path / "model.pth"
    bad = {"image_encoder.pos_embed": torch.zeros(1), "x": Payload(proof)}
    if legacy:
        path.write_bytes(pickle.dumps(bad))
    else:
        torch.save(bad, path)
    with pytest.raises(WeightsError, match="could run code; it was not opened") as caught:
        load_model(f"sam:{path}")
    assert not proof.exists()
    assert "\n" not in str(caught.value)
    if legacy:  # the payload is real
        pickle.loads(path.read_bytes())
        assert proof.exists()


def test_a_model_object_instead_of_a_state_dict_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="not opened"):
        load_model(f"sam:{tmp_path / 'model.pth'}")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, "text"])
def test_a_pickle_without_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="holds no"):
        load_model(f"sam:{tmp_path / 'model.pth'}")


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_truncated_files(folder, tmp_path, kind, keep):
    path = folder / "model.safetensors"
    if kind == "pth":
        path = tmp_path / "model.pth"
        torch.save(checkpoint.read_tensors(folder / "model.safetensors"), path)
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(WeightsError, match=r"damaged|not opened"):
        load_model(f"sam:{folder if kind == 'safetensors' else path}")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 200 << 20),
        struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
        struct.pack("<Q", 4) + b"[1]\n",
        struct.pack("<Q", 60_000) + b"[" * 60_000,
        struct.pack("<Q", 2) + b"{}",
    ],
    ids=["endless", "over the limit", "not text", "a list", "deep nesting", "empty"],
)
def test_safetensors_headers_are_bounded_and_checked(folder, head):
    (folder / "model.safetensors").write_bytes(head + b"\0" * 64)
    with pytest.raises(WeightsError, match=r"damaged|another architecture"):
        load_model(f"sam:{folder}")


def test_a_tensor_that_points_outside_the_file(folder):
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    content = struct.pack("<Q", len(header)) + header + b"\0" * 8
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_model(f"sam:{folder}")


def test_a_zip_that_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("../../escape.txt", "x")
    with pytest.raises(WeightsError, match="damaged"):
        load_model(f"sam:{tmp_path / 'model.pth'}")
    assert not (tmp_path.parent.parent / "escape.txt").exists()


# --- another architecture ---------------------------------------------------------------------


def test_another_family_is_named(checkpoints):
    with pytest.raises(WeightsError, match="'sam2', not 'sam'"):
        load_model(f"sam:{checkpoints.sam2}")


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_the_first_differences_are_named(folder, change):
    from safetensors.torch import save_file

    path = folder / "model.safetensors"
    tensors = {n: t.clone() for n, t in checkpoint.read_tensors(path).items()}
    name = "mask_decoder.iou_token.weight"
    if change == "missing":
        for extra in sorted(tensors)[:5]:
            del tensors[extra]
        expected = "is missing.*and 2 more"
    elif change == "unknown":
        tensors["lora.weight"] = torch.zeros(3)
        expected = "lora.weight is not known"
    else:
        tensors[name] = torch.zeros(1, 31)
        expected = f"{name} is 1x31, not 1x32"
    path.unlink()
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=expected):
        load_model(f"sam:{folder}")


def test_a_configuration_with_other_sizes_does_not_fit(folder):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 1 << 20  # nothing is allocated for it
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="another architecture"):
        load_model(f"sam:{folder}")


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": 3}', "x" * (2 << 20)])
def test_a_broken_configuration(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(WeightsError):
        load_model(f"sam:{folder}")


@pytest.mark.parametrize("value", ["many", None, -3, 2.5])
def test_a_configuration_with_wrong_values(folder, value):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError):
        load_model(f"sam:{folder}")


@pytest.mark.parametrize("std", [0, [1, 1], [1, 1, "x"], [1, 1, 0], [1, 1, float("nan")]])
def test_a_normalisation_that_cannot_be(folder, std):
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_std": std}))
    with pytest.raises(WeightsError, match="image_std"):
        load_model(f"sam:{folder}", device="cpu")


def test_the_folders_own_normalisation_is_used(folder, tile):
    before = load_model(f"sam:{folder}", device="cpu")._prepare(tile(128, 128))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0, 0, 0]}')
    after = load_model(f"sam:{folder}", device="cpu")._prepare(tile(128, 128))
    shift = np.array([0.485, 0.456, 0.406]) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(after - before, shift[:, None, None] + 0 * before, atol=1e-5)


def test_a_missing_configuration_says_so(folder):
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"no config\.json beside"):
        load_model(f"sam:{folder / 'model.safetensors'}")


def test_sam2_with_another_backbone_is_refused(checkpoints, tmp_path):
    copy = shutil.copytree(checkpoints.sam2, tmp_path / "sam2")
    config = json.loads((copy / "config.json").read_text())
    config["prompt_encoder_config"]["image_size"] = 256
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="not of SAM 2 at 256"):
        load_model(f"sam2:{copy}")


# --- links and hashes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(WeightsError, match="leads out of its folder"):
        load_model(f"sam:{folder}")


def test_a_link_inside_the_folder_and_to_the_folder_is_fine(folder, tmp_path):
    (folder / "model.safetensors").rename(folder / "blob.safetensors")
    (folder / "model.safetensors").symlink_to("blob.safetensors")
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert load_model(f"sam:{tmp_path / 'link'}", device="cpu").spec.family == "sam"


def test_a_dangling_link(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("nowhere")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_model(f"sam:{folder}")


def test_files_that_changed_since_the_first_download_are_refused(folder):
    state = weights.LockedFile("0" * 64, 3, published=False)
    record = {"files": {"config.json": {"sha256": state.sha256, "size": 3, "published": False}}}
    (folder / LOCK).write_text(json.dumps(record))
    with pytest.raises(WeightsError, match="first fetched"):
        verify(Weights(folder, folder))


@pytest.mark.parametrize("text", ["", "{}", '{"files": 3}', '{"files": {"a": {"b": 1}}}'])
def test_a_damaged_lock_file_is_not_ignored(folder, text):
    (folder / LOCK).write_text(text)
    with pytest.raises(WeightsError, match="lock file is damaged"):
        verify(Weights(folder, folder))


def test_a_file_is_hashed_once_until_it_changes(folder, monkeypatch):
    read = []
    monkeypatch.setattr(weights, "sha256_of", lambda p: read.append(p) or str(len(read)))
    weights._hashed.cache_clear()
    here = Weights(folder, folder)
    assert verify(here) == verify(here) == "1"
    os.utime(folder / "model.safetensors", (1, 1))
    assert verify(here) == "2"
    weights._hashed.cache_clear()
