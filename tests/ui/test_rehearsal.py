"""What the first mask needs is there once a model is loaded, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from threading import Thread

from napari_ditto.core.jobs import drain
from napari_ditto.testing.blobs import BlobModel
from napari_ditto.ui import rehearsal
from napari_ditto.ui.model_shelf import ModelShelf

if {pools} is not None:
    rehearsal.SAFE_POOLS = {pools}
shelf = ModelShelf(load_model=lambda name, device: BlobModel())
assert not {{"numba", "pandas"}} & set(sys.modules)
worker = Thread(target=lambda: drain(shelf.load("blobs", "cpu")))
worker.start()
worker.join()
assert {{"numba", "pandas"}} <= set(sys.modules)

from napari.utils.colormaps import _accelerated_cmap as kernels

made = [
    kernels._zero_preserving_modulo_inner_loop,
    kernels._labels_raw_to_texture_direct_inner_loop,
]
print([bool(kernel.signatures) for kernel in made])
"""


@pytest.mark.parametrize(("pools", "compiled"), [(None, True), ((), False)])
def test_a_worker_that_loads_a_model_sets_up_labels_layers(pools, compiled) -> None:
    """It colours nothing where numba cannot serve two threads at once."""
    code = CODE.format(pools=pools)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([compiled, compiled])
