"""Hostile weight files: every one refused in one line, no code run, nothing written."""

from __future__ import annotations

import json
import logging

import pytest

from napari_ditto.errors import ModelError
from napari_ditto.models.registry import load_model
from tests.hostile import weights
from tests.hostile.stores import pickle_is_real
from tests.hostile.test_stores import tree
from tests.models.conftest import make_network


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    import torch
    from transformers.utils import logging as library

    torch.set_num_threads(1)
    library.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("good") / "sam"
    make_network("sam").save_pretrained(folder)
    return folder


def refusal(make, says, sam, canary):
    """Return what went wrong with the refusal of one file, empty if nothing did."""
    path = make(sam, canary)
    before = tree(sam.parent)
    try:
        load_model(f"sam:{path}", device="cpu")
    except ModelError as error:
        text = str(error)
    except Exception as error:  # noqa: BLE001 - what is told, whatever it is
        return f"a traceback: {error!r}"
    else:
        return "it was loaded"
    if "\n" in text or says not in text or not 20 < len(text) < 500:
        return f"it says {text!r}, not {says!r}"
    if canary.exists() or tree(sam.parent) != before:
        return "it left something"
    return ""


def test_every_hostile_weight_file_is_refused(good, tmp_path):
    wrong = {}
    for number, (name, (make, says)) in enumerate(weights.WEIGHTS.items()):
        folder = tmp_path / str(number)
        problem = refusal(make, says, weights.copy_of(good, folder), folder / "canary")
        if problem:
            wrong[name] = problem
    count = len(weights.WEIGHTS)
    print(f"{count - len(wrong)} of {count} hostile weight files refused")
    assert not wrong
    assert count >= 30
    assert pickle_is_real(tmp_path / "canary")


def test_code_beside_sound_weights_is_not_run(good, tmp_path):
    sam, canary = weights.copy_of(good, tmp_path), tmp_path / "canary"
    code = f"import os; os.mkdir({str(canary)!r})\n"
    for name in ("evil.py", "modeling_sam.py", "configuration_sam.py", "__init__.py"):
        (sam / name).write_text(code)
    config = json.loads((sam / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (sam / "config.json").write_text(json.dumps(config | {"custom_pipelines": {"a": "evil"}}))
    assert load_model(f"sam:{sam}", device="cpu").spec.family == "sam"
    assert not canary.exists()
