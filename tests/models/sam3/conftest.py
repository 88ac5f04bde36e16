"""The small SAM 3, in the layout of the detector alone and in that of the published repository."""

from __future__ import annotations

import logging
import shutil

import pytest

from napari_ditto.testing.small_sam3 import make_network, make_words, save_small_sam3


@pytest.fixture(scope="session")
def sam3_network():
    import torch

    torch.set_num_threads(1)  # networks this small only wait for each other's threads
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return make_network()


@pytest.fixture(scope="session")
def sam3_folder(tmp_path_factory, sam3_network):
    """As the library saves it: ``config.json`` of the detector, and ``tokenizer.json``."""
    import transformers as t

    folder = tmp_path_factory.mktemp("sam3")
    sam3_network.save_pretrained(folder)
    vocabulary, merges = make_words()
    t.CLIPTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sam3_published(tmp_path_factory, sam3_network):
    return save_small_sam3(tmp_path_factory.mktemp("sam3-published"), sam3_network)


@pytest.fixture
def damaged(sam3_published, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(sam3_published, tmp_path / "copy")
