"""Read tensors from files that nobody vouches for; nothing in them is ever run.

Only safetensors, and ``.pth`` files through ``torch.load(weights_only=True)``; a file that
needs more than that is refused, not opened in a weaker mode.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from napari_ditto.core.tensor_header import LENGTH_BYTES, header_length, parse_header
from napari_ditto.errors import WeightsError

if TYPE_CHECKING:
    import torch

MAX_CONFIG = 1 << 20
_WRAPPERS = ("model_state", "state_dict", "model")
_PREFIXES = ("module.", "sam.")
_AGAIN = "Get it again, or export it as safetensors"

Tensors = dict[str, "torch.Tensor"]


def read_tensors(path: Path) -> Tensors:
    """Return the named tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file, on the CPU.

    Raises
    ------
    WeightsError
        The file is damaged, holds no state dict, or wants to run code.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in {".pth", ".pt"}:
        return _unwrap(_read_pickle(path), path)
    raise WeightsError(
        f"weights of kind {path.suffix or 'unknown'!r} are not read",
        where=str(path),
        todo="Use .safetensors, .pth or .pt",
    )


def tensor_names(path: Path) -> set[str]:
    """Return the names in a file; of a safetensors file only the header is read."""
    if path.suffix == ".safetensors":
        return set(read_header(path)) - {"__metadata__"}
    return set(read_tensors(path))


def read_header(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file after checking that it fits into the file."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = header_length(file.read(LENGTH_BYTES), size)
            return parse_header(file.read(length))
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, KeyError) as error:  # KeyError: a dtype that PyTorch does not have
        raise _damaged(path, str(error)) from error


def _read_pickle(path: Path) -> object:
    import torch

    try:
        with warnings.catch_warnings():
            # Other protocols are read as far as they are known; what is not known is refused.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise WeightsError(
            "the file holds more than tensors and could run code; it was not opened",
            where=str(path),
            todo="Ask its author for a plain state dict or safetensors",
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, AttributeError, OSError) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else "") from error


def _unwrap(content: object, path: Path) -> Tensors:
    """Return the state dict inside a training checkpoint, without prefixes of its wrapper."""
    import torch

    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError("the file holds no state dict", where=str(path), todo=_AGAIN)
    tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise WeightsError("the file holds no tensors", where=str(path), todo=_AGAIN)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): v for name, v in tensors.items()}
    return tensors


def read_config(path: Path) -> dict[str, Any]:
    """Return a small JSON table such as ``config.json``."""
    if path.stat().st_size > MAX_CONFIG:
        raise WeightsError("the configuration is too large", where=str(path))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError("the configuration is not JSON", where=str(path)) from error
    if not isinstance(config, dict):
        raise WeightsError("the configuration is not a table", where=str(path))
    return config


def fill(
    model: torch.nn.Module, tensors: Tensors, path: Path, ignored: Iterable[str] = ()
) -> torch.nn.Module:
    """Give a model built on the meta device its weights, as float32, ready for inference.

    Parameters
    ----------
    model : torch.nn.Module
        Built on the ``meta`` device, so that nothing was allocated for it yet.
    tensors : dict
        One tensor for every parameter and buffer of `model`.
    path : Path
        Where they come from, for the error.
    ignored : iterable of str
        Patterns of names that may be there in addition.

    Raises
    ------
    WeightsError
        If names or shapes differ: the weights are of another architecture.
    """
    extra = re.compile("|".join(ignored) or r"(?!)")
    wanted = model.state_dict()
    offered = {n: t for n, t in tensors.items() if n in wanted or not extra.match(n)}
    problems = [f"{n} is missing" for n in wanted if n not in offered]
    problems += [f"{n} is not known" for n in offered if n not in wanted]
    problems += [
        f"{n} is {_shape(offered[n])}, not {_shape(t)}"
        for n, t in wanted.items()
        if n in offered and offered[n].shape != t.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise WeightsError(
            f"the weights are of another architecture: {'; '.join(problems[:3])}{more}",
            where=str(path),
            todo="Name the right family, e.g. sam:, sam_hq:, sam2: or seggpt:",
        )
    model.load_state_dict({n: t.float() for n, t in offered.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _damaged(path: Path, why: str) -> WeightsError:
    return WeightsError(f"the weights are damaged: {why}", where=str(path), todo=_AGAIN)
