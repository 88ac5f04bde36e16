"""What kind of weights a folder or a file holds, or why it is none that we can use.

Only headers and small configurations are read, except of ``.pth`` files, which have no header.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_ditto.errors import ModelNotFoundError
from napari_ditto.models.checkpoint import read_config, tensor_names
from napari_ditto.models.sam.original import is_hq, is_original
from napari_ditto.models.tuned import SUFFIX, load_tuned
from napari_ditto.models.weights import inside

PICKLES = {".pth", ".pt"}
"""Original checkpoints; a config.json beside them is not theirs."""

READ = "SAM, SAM-HQ, SAM 2, SAM 3 and SegGPT, and Ditto's tuned prompts"

_SUFFIXES = {
    ".onnx": "an ONNX file: it holds a program, not only weights",
    ".h5": "a Keras file, of StarDist perhaps",
    ".keras": "a Keras file",
    ".ckpt": "a training checkpoint, which may hold more than weights",
    ".zip": "an archive; unpack it first",
    ".gz": "an archive; unpack it first",
    ".tar": "an archive; unpack it first",
    ".bin": "weights in an old format of transformers; save them as safetensors",
}
_NAMES = (
    (r"image_encoder\.layers\.", "MobileSAM (vit_t), whose network is not built in"),
    (r"(model\.)?(sam_mask_decoder|memory_attention)\.", "an original SAM 2 checkpoint"),
    (r"(detector|tracker)\.", "an original SAM 3 checkpoint (sam3.pt)"),
    (r"(encoder\.patch_embed|W2|diam_)", "a Cellpose model"),
    (r"decoder\.cues\d", "weights of Ditto's own network, which come with the package"),
)
_COPY = "Get the copy in the format of transformers: a folder with config.json"


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was found at a path.

    Attributes
    ----------
    kind : {"model", "tuned"}
        Weights of a network, or a tuned prompt of one.
    family : str
        Who reads it; empty for a tuned prompt.
    path : Path
        The folder or the file.
    """

    kind: Literal["model", "tuned"]
    family: str
    path: Path


def recognise(path: Path, families: Collection[str]) -> Recognised:
    """Return what a folder or file holds.

    Parameters
    ----------
    path : Path
        A folder with ``config.json``, a ``.safetensors``, ``.pth`` or ``.pt`` file, or a tuned
        prompt.
    families : collection of str
        Names of the families that read weights.

    Raises
    ------
    ModelNotFoundError
        It is nothing that can be used; the message says what it seems to be.
    WeightsError, StoreError
        It is damaged or unsafe to read.
    """
    if not path.exists():
        raise ModelNotFoundError("there is nothing", where=str(path))
    if path.suffix == SUFFIX and path.is_file():
        load_tuned(path)
        return Recognised("tuned", "", path)
    config = path / "config.json" if path.is_dir() else path.with_name("config.json")
    if config.is_file() and path.suffix not in PICKLES:
        return Recognised("model", _by_config(config, path, families), path)
    return Recognised("model", _by_names(path), path)


def _by_config(config: Path, path: Path, families: Collection[str]) -> str:
    told = str(read_config(inside(config, config.parent)).get("model_type"))
    family = told.removesuffix("_video")
    if family not in families:
        raise _none_of_ours(f"config.json says {told!r}, which is no kind that is read", path)
    tensors = config.with_name("model.safetensors") if path.is_dir() else path
    if not tensors.is_file():
        raise _none_of_ours("config.json is there, but no model.safetensors", path)
    return family


def _by_names(path: Path) -> str:
    if path.is_dir():
        raise _none_of_ours("the folder holds no config.json", path)
    if path.suffix not in {*PICKLES, ".safetensors"}:
        seems = _SUFFIXES.get(path.suffix, f"a file of kind {path.suffix or 'unknown'!r}")
        raise _none_of_ours(f"it is {seems}", path)
    names = tensor_names(path)
    for pattern, seems in _NAMES:
        if any(re.match(pattern, name) for name in names):
            raise _none_of_ours(f"it seems to be {seems}", path)
    if is_original(names):
        return "sam_hq" if is_hq(names) else "sam"
    raise _none_of_ours(f"it holds weights of an unknown network ({min(names)}, ...)", path)


def _none_of_ours(why: str, path: Path) -> ModelNotFoundError:
    todo = _COPY if "original" in why else f"What can be added: {READ}"
    return ModelNotFoundError(f"no known kind of model is there: {why}", where=str(path), todo=todo)
