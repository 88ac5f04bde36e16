"""From files to a network: find the configuration, build, check, fill, describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from napari_ditto.errors import WeightsError
from napari_ditto.models.canvas import IMAGENET_MEAN, IMAGENET_STD, Canvas
from napari_ditto.models.checkpoint import Tensors, check_counts, fill, read_config, read_tensors
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.transformers_guard import transformers
from napari_ditto.models.weights import Weights, inside, verify

if TYPE_CHECKING:
    import torch

# Two cores of a 2023 server do about this many multiply-adds per second in a ViT.
_CPU_RATE = 25e9

MAX_COUNT = 1 << 10
"""Layers and other parts that any network may have, however few tensors its file holds."""

MAX_SIDE = 1 << 13
"""Pixels along a side of what an encoder takes; more than any that there is."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a family needs to be built.

    Attributes
    ----------
    family, version : str
        For the spec; a change of `version` invalidates cached embeddings.
    model_class, config_class : str
        Names in transformers.
    model_types : tuple of str
        What ``config.json`` may call itself.
    complete : callable
        Adds tensors that files leave out because others equal them.
    ignored : tuple of str
        Patterns of tensors that belong to parts we do not use.
    settings : str
        Pattern of what is read of ``config.json`` besides its three parts.
    part : str
        Where in ``config.json`` all that stands, if the file is of more than we use.
    check : callable
        Raises a WeightsError where a (configuration, place) is not of this architecture.
    is_original, from_original : callable
        Whether names are those of the original code, and its (configuration, tensors).
    """

    family: str
    version: str
    model_class: str
    config_class: str
    model_types: tuple[str, ...]
    complete: Callable[[Tensors], Tensors] = lambda tensors: tensors
    ignored: tuple[str, ...] = ()
    settings: str = r"(?!)"
    part: str = ""
    check: Callable[[Any, str], None] = lambda config, where: None
    is_original: Callable[[Iterable[str]], bool] = lambda names: False
    from_original: Callable[[Tensors, str], tuple[dict[str, Any], Tensors]] | None = None


def build(weights: Weights, recipe: Recipe) -> tuple[torch.nn.Module, Any, str]:
    """Return the network, its configuration, and the SHA-256 of its weights.

    Raises
    ------
    WeightsError
        If the files are damaged, of another architecture, or not those that were fetched.
    """
    sha256 = verify(weights)
    path = weights.tensors
    tensors = read_tensors(path)
    if recipe.from_original and recipe.is_original(tensors):
        raw, tensors = recipe.from_original(tensors, str(path))
    else:
        raw = _config(weights, recipe)
    check_counts(raw, max(len(tensors), MAX_COUNT), str(path))
    empty, config = _empty(raw, recipe, str(path))
    network = fill(empty, recipe.complete(tensors), path, recipe.ignored)
    return network, config, sha256


def _config(weights: Weights, recipe: Recipe) -> dict[str, Any]:
    path = weights.tensors.with_name("config.json")
    if not path.is_file():
        raise WeightsError(
            f"there is no config.json beside the weights, and they are no original "
            f"{recipe.family} checkpoint",
            where=str(weights.tensors),
            todo="Keep both files in one folder",
        )
    raw = read_config(inside(path, weights.root))
    if raw.get("model_type") not in recipe.model_types:
        raise WeightsError(
            f"the weights are of another architecture: {raw.get('model_type')!r}, "
            f"not {recipe.model_types[0]!r}",
            where=str(path),
            todo=f"Name the right family instead of {recipe.family}:",
        )
    if isinstance(raw.get(recipe.part), dict):
        raw = raw[recipe.part]
    parts = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
    settings = {n: value for n, value in raw.items() if re.fullmatch(recipe.settings, n)}
    return settings | {name: raw[name] for name in parts if name in raw}


def _empty(raw: dict[str, Any], recipe: Recipe, where: str) -> tuple[torch.nn.Module, Any]:
    """Return the network without memory for its weights, which the file brings, and its config."""
    import torch
    from huggingface_hub.errors import StrictDataclassError

    library = transformers()
    try:
        config = getattr(library, recipe.config_class)(**raw)
        recipe.check(config, where)
        with torch.device("meta"):
            return getattr(library, recipe.model_class)(config), config
    except (
        StrictDataclassError, TypeError, ValueError, KeyError, AttributeError, RuntimeError,
        ZeroDivisionError,
    ) as error:  # fmt: skip  # RuntimeError: sizes that overflow
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"the configuration is not valid: {reason}", where=where) from error


def canvas_from(weights: Weights, prompt_encoder: Any, keeps_aspect: bool) -> Canvas:  # noqa: ANN401
    """Return the encoder's input geometry, with the file's own normalisation if it has one."""
    mean, std = normalisation(weights)
    size = int(prompt_encoder.image_size)
    if not 1 <= size <= MAX_SIDE:
        raise WeightsError(
            f"the configuration is not valid: image_size {size}", where=str(weights.path)
        )
    return Canvas(
        size=size,
        keeps_aspect=keeps_aspect,
        mask_size=4 * (size // int(prompt_encoder.patch_size)),
        mean=mean,
        std=std,
    )


def normalisation(weights: Weights) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, the file's own or those of ImageNet."""
    path = weights.tensors.with_name("preprocessor_config.json")
    # An original checkpoint has none; what lies beside it belongs to something else.
    if weights.tensors.suffix != ".safetensors" or not path.is_file():
        return IMAGENET_MEAN, IMAGENET_STD
    raw = read_config(inside(path, weights.root))
    try:
        mean = tuple(float(v) for v in raw.get("image_mean", IMAGENET_MEAN))
        std = tuple(float(v) for v in raw.get("image_std", IMAGENET_STD))
    except (TypeError, ValueError) as error:
        raise WeightsError("image_mean or image_std are no numbers", where=str(path)) from error
    fits = len(mean) == len(std) == 3 and all(map(isfinite, mean + std)) and min(std) > 0
    if not fits:
        raise WeightsError("image_mean or image_std do not fit RGB", where=str(path))
    return mean, std


def spec_of(
    name: str,
    recipe: Recipe,
    weights: Weights,
    sha256: str,
    *,
    device: str,
    network: torch.nn.Module,
    input_size: int,
    work_bytes: int,
    embedding_bytes: int,
) -> ModelSpec:
    """Return the identity card of a loaded network, with rough costs."""
    entry = weights.entry
    parameters = sum(p.numel() for p in network.parameters())
    patches = (input_size // 16) ** 2
    return ModelSpec(
        id=name,
        family=recipe.family,
        version=recipe.version,
        weights_sha256=sha256,
        licence=entry.licence if entry else "unknown: your own file",
        citation=entry.citation if entry else "unknown: your own file",
        source=f"{entry.source}@{entry.revision}" if entry else str(weights.path),
        input_size=input_size,
        capabilities=frozenset({"points", "box", "mask", "scribbles", "proposals", "examples"}),
        encode_seconds=(entry and entry.encode_seconds) or parameters * patches / _CPU_RATE,
        decode_seconds=0.06,
        embedding_bytes=embedding_bytes,
        memory_bytes=4 * parameters + work_bytes,
        device=device,
    )
