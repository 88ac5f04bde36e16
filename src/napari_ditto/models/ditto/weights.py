"""The weights in this package: checked by hash before anything is read from them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ditto.errors import WeightsError

if TYPE_CHECKING:
    from napari_ditto.models.ditto.network import DittoNetwork

FORMAT = "ditto-1"
"""Changes with the architecture: weights of another format do not fit."""

WEIGHTS = Path(__file__).with_name("weights.safetensors")
_TODO = "Install napari-ditto again"


def published_sha256() -> str:
    """Return what the weights of this package must hash to; they are not read.

    Raises
    ------
    WeightsError
        If their card is missing or damaged.
    """
    path = WEIGHTS.with_suffix(".json")
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _wrong("the card of the bundled weights is damaged", path) from error


def load_network(device: str = "cpu", path: Path = WEIGHTS) -> tuple[DittoNetwork, str]:
    """Return the network, ready to answer, and the SHA-256 of its weights.

    Parameters
    ----------
    device : str
        As returned by :func:`napari_ditto.models.device.choose_device`.
    path : Path
        A float16 safetensors file; beside it, a ``.json`` of the same name says its hash.

    Raises
    ------
    WeightsError
        The weights are missing, damaged, or of another version; nothing of them was used.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from napari_ditto.models.ditto.network import DittoNetwork

    content, digest = _read(path)
    network = DittoNetwork()
    try:
        network.load_state_dict({k: v.float() for k, v in load(content).items()})
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise _wrong("the bundled weights do not fit this version", path) from error
    network.eval().requires_grad_(requires_grad=False)
    return network.to(device, memory_format=torch.channels_last), digest  # type: ignore[call-overload]


def _read(path: Path) -> tuple[bytes, str]:
    """Return the bytes of a weights file, and their hash, if they are what they should be."""
    card_path = path.with_suffix(".json")
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        content = path.read_bytes()
    except OSError as error:
        raise _wrong("the bundled weights are missing", path) from error
    except ValueError as error:
        raise _wrong("the card of the bundled weights is damaged", card_path) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise _wrong(f"the bundled weights are not of format {FORMAT}", card_path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.get("sha256"):
        raise _wrong("the bundled weights are damaged", path)
    return content, digest


def _wrong(what: str, path: Path) -> WeightsError:
    return WeightsError(what, where=str(path), todo=_TODO)
