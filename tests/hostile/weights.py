"""Weight files that mean harm: each function spoils a folder of good weights, returns what to load.

The folder ``sam`` holds a small sound checkpoint: ``config.json`` and ``model.safetensors``.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import struct
import zipfile

import torch
from safetensors.torch import load_file, save_file

from napari_ditto.models.weights import LOCK
from tests.hostile.stores import Payload

WEIGHTS = {}
"""Name -> (maker, what the refusal must speak of)."""


def weights(says):
    """Enter a maker in the table."""

    def enter(make):
        WEIGHTS[make.__name__.replace("_", " ")] = (make, says)
        return make

    return enter


def replaced(sam, content):
    """Put other bytes into the place of the tensors."""
    (sam / "model.safetensors").write_bytes(content)
    return sam


def headed(sam, header, body=b"", length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return replaced(sam, struct.pack("<Q", len(raw) if length is None else length) + raw + body)


def configured(sam, part=None, **changes):
    config = json.loads((sam / "config.json").read_text())
    (config[part] if part else config).update(changes)
    (sam / "config.json").write_text(json.dumps(config))
    return sam


def tensor(start, stop, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


# --- files that would run code ------------------------------------------------------------------


@weights("could run code")
def a_pickle(sam, canary):
    (sam / "model.pth").write_bytes(pickle.dumps({"a": Payload(canary)}))
    return sam / "model.pth"


@weights("could run code")
def a_pickle_in_torchs_zip(sam, canary):
    torch.save({"a": torch.zeros(1), "b": Payload(canary)}, sam / "model.pth")
    return sam / "model.pth"


@weights("damaged")
def a_pickle_called_safetensors(sam, canary):
    return replaced(sam, pickle.dumps(Payload(canary)))


@weights("could run code")
def a_whole_network(sam, canary):
    torch.save(torch.nn.Linear(2, 2), sam / "model.pt")
    return sam / "model.pt"


@weights("could run code")
def a_program_of_torchscript(sam, canary):
    with zipfile.ZipFile(sam / "model.pt", "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps(Payload(canary)))
        archive.writestr("net/code/__torch__.py", "import os\n")
        archive.writestr("net/constants.pkl", b"\x80\x02)\x81.")
        archive.writestr("net/version", "3\n")
    return sam / "model.pt"


@weights("another architecture")
def a_configuration_that_brings_code(sam, canary):
    (sam / "evil.py").write_text(f"import os; os.mkdir({str(canary)!r})\n")
    table = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    return configured(sam, model_type="evil", auto_map=table, trust_remote_code=True)


@weights("not valid")
def a_part_of_the_configuration_that_brings_code(sam, canary):
    (sam / "evil.py").write_text(f"import os; os.mkdir({str(canary)!r})\n")
    return configured(sam, "vision_config", num_hidden_layers="evil.layers", auto_map={"a": "evil"})


# --- archives -----------------------------------------------------------------------------------


@weights("damaged")
def a_zip_that_writes_outside(sam, canary):
    with zipfile.ZipFile(sam / "model.pth", "w") as archive:
        archive.writestr("../../canary", "x")
    return sam / "model.pth"


@weights("damaged")
def a_gzip_called_safetensors(sam, canary):
    return replaced(sam, gzip.compress((sam / "model.safetensors").read_bytes()))


@weights("takes")
def a_tensor_that_is_wider_than_its_file(sam, canary):
    torch.save({"a": torch.zeros(1).expand(2**36)}, sam / "model.pth")
    return sam / "model.pth"


@weights("damaged")
def a_zip_that_decompresses_to_a_gigabyte(sam, canary):
    torch.save({"a": torch.zeros(1 << 20)}, sam / "plain.pth")
    with (
        zipfile.ZipFile(sam / "plain.pth") as plain,
        zipfile.ZipFile(sam / "model.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    return sam / "model.pth"


@weights("are not read")
def an_onnx_program(sam, canary):
    (sam / "model.onnx").write_bytes(b"\x08\x07")
    return sam / "model.onnx"


@weights("are not read")
def a_keras_archive(sam, canary):
    (sam / "model.keras").write_bytes(b"PK\x03\x04")
    return sam / "model.keras"


@weights("are not read")
def an_hdf5_file(sam, canary):
    (sam / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    return sam / "model.h5"


@weights("are not read")
def a_gguf_file(sam, canary):
    (sam / "model.gguf").write_bytes(b"GGUF")
    return sam / "model.gguf"


@weights("are not read")
def a_joblib_pickle(sam, canary):
    (sam / "model.joblib").write_bytes(pickle.dumps(Payload(canary)))
    return sam / "model.joblib"


# --- safetensors headers ------------------------------------------------------------------------


@weights("header is too long")
def a_header_without_end(sam, canary):
    return headed(sam, b"{}", length=2**63)


@weights("header is too long")
def a_header_longer_than_the_file(sam, canary):
    return headed(sam, b"{}", length=3000)


@weights("header is too long")
def a_header_of_101_megabytes(sam, canary):
    with (sam / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 101 << 20))
        file.truncate(110 << 20)
    return sam


@weights("not readable")
def a_header_that_is_no_text(sam, canary):
    return headed(sam, b"\xff\xfe\xfd\xfc")


@weights("not a table")
def a_header_that_is_a_list(sam, canary):
    return headed(sam, b"[1]")


@weights("not readable")
def a_header_nested_a_million_deep(sam, canary):
    return headed(sam, b"[" * 10**6)


@weights("damaged")
def a_header_that_names_a_tensor_twice(sam, canary):
    one = json.dumps(tensor(0, 8))
    return headed(sam, f'{{"a": {one}, "a": {one}}}'.encode(), bytes(8))


@weights("damaged")
def tensors_that_overlap(sam, canary):
    return headed(sam, {"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12))


@weights("damaged")
def a_tensor_outside_the_file(sam, canary):
    return headed(sam, {"a": tensor(0, 8000, shape=(2000,))}, bytes(8))


@weights("damaged")
def a_tensor_that_ends_before_it_begins(sam, canary):
    return headed(sam, {"a": tensor(8, 0)}, bytes(8))


@weights("damaged")
def a_tensor_with_a_size_that_overflows(sam, canary):
    return headed(sam, {"a": tensor(0, 0, shape=(2**62, 8))}, b"")


@weights("damaged")
def a_type_that_nobody_knows(sam, canary):
    return headed(sam, {"a": tensor(0, 8, dtype="X99")}, bytes(8))


@weights("damaged")
def bytes_that_belong_to_no_tensor(sam, canary):
    return headed(sam, {"a": tensor(0, 8)}, bytes(4096))


@weights("no numbers for a network")
def tensors_of_whole_numbers(sam, canary):
    found = load_file(sam / "model.safetensors")
    save_file({n: t.to(torch.int8) for n, t in found.items()}, sam / "other")
    (sam / "other").replace(sam / "model.safetensors")
    return sam


# --- files that are not there as they should ----------------------------------------------------


@weights("header is too long")
def an_empty_file(sam, canary):
    return replaced(sam, b"")


@weights("damaged")
def a_file_that_was_cut(sam, canary):
    path = sam / "model.safetensors"
    os.truncate(path, path.stat().st_size // 2)
    return sam


@weights("no plain file")
def a_folder_in_place_of_the_file(sam, canary):
    (sam / "model.safetensors").unlink()
    (sam / "model.safetensors").mkdir()
    return sam


@weights("no plain file")
def a_pipe_in_place_of_the_file(sam, canary):
    (sam / "model.safetensors").unlink()
    os.mkfifo(sam / "model.safetensors")
    return sam


@weights("no config.json")
def a_pipe_in_place_of_the_configuration(sam, canary):
    (sam / "config.json").unlink()
    os.mkfifo(sam / "config.json")
    return sam


@weights("no plain file")
def a_pipe_called_checkpoint(sam, canary):
    os.mkfifo(sam / "model.pth")
    return sam / "model.pth"


@weights("leads out")
def a_link_out_of_the_folder(sam, canary):
    (sam / "model.safetensors").rename(sam.parent / "elsewhere")
    (sam / "model.safetensors").symlink_to(sam.parent / "elsewhere")
    return sam


@weights("leads out")
def a_file_that_never_ends(sam, canary):
    (sam / "model.safetensors").unlink()
    (sam / "model.safetensors").symlink_to("/dev/zero")
    return sam


@weights("cannot be read")
def a_link_in_a_circle(sam, canary):
    (sam / "model.safetensors").unlink()
    (sam / "model.safetensors").symlink_to("model.safetensors")
    return sam


@weights("first fetched")
def another_file_than_was_fetched(sam, canary):
    files = {"model.safetensors": {"sha256": "0" * 64, "size": 3, "published": True}}
    (sam / LOCK).write_text(json.dumps({"files": files}))
    return sam


@weights("leads out")
def a_lock_that_names_files_elsewhere(sam, canary):
    (sam.parent / "secret").write_text("x")
    files = {"../secret": {"sha256": "0" * 64, "size": 1, "published": True}}
    (sam / LOCK).write_text(json.dumps({"files": files}))
    return sam


@weights("lock file is damaged")
def a_lock_that_is_a_pipe(sam, canary):
    os.mkfifo(sam / LOCK)
    return sam


# --- configurations -----------------------------------------------------------------------------


@weights("another architecture")
def weights_of_another_family(sam, canary):
    return configured(sam, model_type="sam2")


@weights("not valid")
def a_network_too_wide_for_any_memory(sam, canary):
    return configured(sam, "vision_config", hidden_size=1 << 40, mlp_dim=1 << 40)


@weights("num_hidden_layers")
def a_network_of_a_billion_layers(sam, canary):
    return configured(sam, "vision_config", num_hidden_layers=10**9)


@weights("num_point_embeddings")
def a_billion_kinds_of_points(sam, canary):
    return configured(sam, "prompt_encoder_config", num_point_embeddings=10**9)


@weights("num_multimask_outputs")
def a_billion_masks_per_click(sam, canary):
    return configured(sam, "mask_decoder_config", num_multimask_outputs=10**9)


@weights("image_size")
def tiles_of_a_terapixel(sam, canary):
    for part in ("vision_config", "prompt_encoder_config"):
        configured(sam, part, image_size=1 << 20, use_abs_pos=False, use_rel_pos=False)
    found = load_file(sam / "model.safetensors")
    kept = {n: t for n, t in found.items() if "pos_embed" not in n and "rel_pos" not in n}
    save_file(kept, sam / "other")
    (sam / "other").replace(sam / "model.safetensors")
    return sam


@weights("not JSON")
def a_configuration_nested_a_million_deep(sam, canary):
    (sam / "config.json").write_text("[" * 10**6)
    return sam


@weights("larger than")
def a_configuration_of_two_megabytes(sam, canary):
    (sam / "config.json").write_text("{" + " " * (2 << 20) + "}")
    return sam


@weights("not a table")
def a_configuration_that_is_a_list(sam, canary):
    (sam / "config.json").write_text("[]")
    return sam


@weights("image_std")
def a_normalisation_by_zero(sam, canary):
    (sam / "preprocessor_config.json").write_text('{"image_std": [0, 0, 0]}')
    return sam


def copy_of(good, folder):
    """Return a copy of the sound checkpoint that a maker may spoil."""
    return shutil.copytree(good, folder / "sam")
