"""Weights that are not what they should be are refused before anything of them is used."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_ditto.errors import WeightsError
from napari_ditto.models.ditto.weights import FORMAT, WEIGHTS, load_network


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the bundled weights."""
    for path in (WEIGHTS, WEIGHTS.with_suffix(".json")):
        shutil.copy(path, tmp_path)
    return tmp_path / WEIGHTS.name


def vouch(path: Path, card_format: str = FORMAT) -> None:
    """Write a card whose hash fits."""
    card = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "format": card_format}
    path.with_suffix(".json").write_text(json.dumps(card))


def refused(path: Path) -> str:
    """Return the one line with which weights are refused."""
    with pytest.raises(WeightsError) as caught:
        load_network("cpu", path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_bundled_weights_are_small_and_load_as_float32(copy: Path) -> None:
    network, digest = load_network("cpu", copy)
    assert copy.stat().st_size < 8_000_000
    assert digest == hashlib.sha256(copy.read_bytes()).hexdigest()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("place", [0, 8, 500, -1])
def test_a_flipped_byte(copy: Path, place: int) -> None:
    content = bytearray(copy.read_bytes())
    content[place] ^= 1
    copy.write_bytes(content)
    assert "damaged" in refused(copy)


def test_a_truncated_file(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:1000])
    assert "damaged" in refused(copy)


def test_another_format(copy: Path) -> None:
    vouch(copy, "ditto-0")
    assert FORMAT in refused(copy)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file(copy: Path, suffix: str) -> None:
    copy.with_suffix(suffix).unlink()
    assert "missing" in refused(copy)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_a_damaged_card(copy: Path, text: str) -> None:
    copy.with_suffix(".json").write_text(text)
    assert "Install napari-ditto again" in refused(copy)


def test_tensors_of_another_architecture(copy: Path) -> None:
    tensors = load_file(copy)
    name = next(iter(tensors))
    save_file({name: tensors[name]}, copy)
    vouch(copy)
    assert "do not fit" in refused(copy)


def test_no_tensors_at_all(copy: Path) -> None:
    copy.write_bytes(b"not a safetensors file")
    vouch(copy)
    assert "do not fit" in refused(copy)
