"""The default model: the bundled network, from the package alone, without a network."""

from __future__ import annotations

import inspect
import socket
import sys

import numpy as np
import pytest

import napari_ditto
from napari_ditto.cli.program import build_parser
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models import torch_import
from napari_ditto.models.names import DEFAULT_MODEL, FALLBACK_MODEL
from napari_ditto.models.registry import available_models, load_model, reads_diameter
from napari_ditto.ui.session import Session
from napari_ditto.ui.settings import Settings


def test_the_default_is_ditto_in_python_dock_and_command():
    assert DEFAULT_MODEL == "ditto"
    assert inspect.signature(napari_ditto.load_model).parameters["name"].default == "ditto"
    assert Settings().model == Session().model == "ditto"
    assert Session().other_model == FALLBACK_MODEL == "classic"
    for command in ("prompt a.png", "all a.png", "encode a.png"):
        assert build_parser().parse_args(command.split()).model == "ditto", command


def test_the_default_is_listed_first_and_is_here():
    first, second, *_ = available_models()
    assert (first.id, first.installed, first.licence) == ("ditto", True, "BSD-3-Clause")
    assert second.id == "classic"


def test_the_default_answers_with_all_sockets_blocked(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was used")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    model = load_model()
    assert model.spec.id == "ditto"
    y, x = np.ogrid[:64, :64]
    inside = (y - 32) ** 2 + (x - 32) ** 2 <= 12**2
    tile = np.repeat(np.where(inside, 0.8, 0.2)[None, ..., None], 3, -1).astype(np.float32)
    found = model.decode(model.encode(tile)[0], [PromptSet((PointPrompt(32.0, 32.0),))])
    mask = found.logits[0, found.best[0]] > 0
    assert (mask & inside).sum() / (mask | inside).sum() > 0.7


def test_the_card_and_the_spec_name_the_same_licence():
    entry = next(e for e in available_models() if e.id == DEFAULT_MODEL)
    assert load_model().spec.licence == entry.licence


def test_who_reads_a_diameter():
    assert reads_diameter("ditto")
    assert not reads_diameter("classic")
    assert not reads_diameter("sam:facebook/sam-vit-base")


def test_a_torch_that_cannot_be_imported_is_one_line_and_classic_runs(monkeypatch):
    monkeypatch.setattr(torch_import, "_load_library", lambda: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"torch cannot be imported.*classic runs without it"):
        load_model()
    assert load_model("classic").spec.id == "classic"
