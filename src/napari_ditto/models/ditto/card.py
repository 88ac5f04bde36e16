"""Who the bundled network is and what it costs; known without loading it."""

from __future__ import annotations

from napari_ditto.models.ditto.weights import published_sha256
from napari_ditto.models.protocols import ModelSpec

VERSION = "1"
"""Of everything around the network; a change invalidates cached embeddings."""


def card(device: str = "cpu", sha256: str = "") -> ModelSpec:
    """Return the identity card of the network on a device; no torch is imported.

    Parameters
    ----------
    device : str
        Where it runs.
    sha256 : str
        Hash of its weights; by default that which they must have.
    """
    return ModelSpec(
        id="ditto",
        family="ditto",
        version=VERSION,
        weights_sha256=sha256 or published_sha256(),
        licence="BSD-3-Clause",
        citation="The napari-ditto developers; encoder after Tan & Le 2019 (EfficientNet-Lite)",
        source="napari-ditto",
        input_size=512,
        capabilities=frozenset(
            ("points", "box", "mask", "scribbles", "proposals", "auto", "examples")
        ),
        encode_seconds=0.2,
        decode_seconds=0.04,
        embedding_bytes=6_300_000,
        memory_bytes=300_000_000,
        device=device,
    )
