"""Read tensors from files that nobody vouches for; nothing in them is ever run.

Only safetensors, and ``.pth`` files through ``torch.load(weights_only=True)``; a file that
needs more than that is refused, not opened in a weaker mode.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from napari_ditto.core.plain_file import open_plain, read_plain
from napari_ditto.core.tensor_header import LENGTH_BYTES, header_length, parse_header
from napari_ditto.errors import WeightsError

if TYPE_CHECKING:
    import torch

MAX_CONFIG = 1 << 20
_WRAPPERS = ("model_state", "state_dict", "model")
_PREFIXES = ("module.", "sam.")
_AGAIN = "Get it again, or export it as safetensors"

_ZIP = b"PK\x03\x04"
_COUNTS = re.compile("num_|layers|blocks|depth")

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
        return _held(_unwrap(_read_pickle(path), path), path)
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
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = header_length(file.read(LENGTH_BYTES), size)
            return parse_header(file.read(length))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
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
        with open_plain(path) as file:
            # Mapped, what is compressed stays so: a small zip cannot become a large one.
            mapped = file.read(len(_ZIP)) == _ZIP
        with warnings.catch_warnings():
            # Other protocols are read as far as they are known; what is not known is refused.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            warnings.filterwarnings("ignore", message="'torch.load' received a zip file that")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise _runs_code(path) from error
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
        if "TorchScript" in str(error):  # torch's own advice would be to open it all the same
            raise _runs_code(path) from error
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


def _held(tensors: Tensors, path: Path) -> Tensors:
    """Return tensors in memory of their own, after checking that the file holds so much."""
    size, most = sum(t.nbytes for t in tensors.values()), 2 * path.stat().st_size
    if size > most:  # a number may stand for a million, and two names for one tensor
        raise WeightsError(
            f"it takes {size:,} bytes in memory, more than the file holds", where=str(path)
        )
    return {name: tensor.clone() for name, tensor in tensors.items()}


def read_config(path: Path) -> dict[str, Any]:
    """Return a small JSON table such as ``config.json``."""
    try:
        config = json.loads(read_plain(path, MAX_CONFIG))
    except OSError as error:
        raise WeightsError(
            f"the configuration cannot be read: {error.strerror}", where=str(path)
        ) from error
    except (ValueError, RecursionError) as error:
        raise WeightsError("the configuration is not JSON", where=str(path)) from error
    if not isinstance(config, dict):
        raise WeightsError("the configuration is not a table", where=str(path))
    return config


def check_counts(config: Mapping[str, Any], most: int, where: str) -> None:
    """Refuse a configuration that counts more than `most` layers, or of anything else.

    Each of them is a Python object, so that a network of a billion layers would never be ready.
    """
    for name, value in config.items():
        if isinstance(value, Mapping):
            check_counts(value, most, where)
        elif _COUNTS.search(name):
            counts = value if isinstance(value, list) else [value]
            if any(isinstance(n, int | float) and not n <= most for n in counts):
                raise WeightsError(
                    f"the configuration is not valid: {name} is larger than {most}",
                    where=where,
                )


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
    whole = [n for n, t in offered.items() if not t.is_floating_point() and n in wanted]
    if any(wanted[n].is_floating_point() for n in whole):
        raise WeightsError(
            f"the weights are no numbers for a network: {whole[0]} is of {offered[whole[0]].dtype}",
            where=str(path),
            todo="Get them as float32, float16 or bfloat16",
        )
    model.load_state_dict({n: t.float() for n, t in offered.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _runs_code(path: Path) -> WeightsError:
    return WeightsError(
        "the file holds more than tensors and could run code; it was not opened",
        where=str(path),
        todo="Ask its author for a plain state dict or safetensors",
    )


def _damaged(path: Path, why: str) -> WeightsError:
    return WeightsError(f"the weights are damaged: {why}", where=str(path), todo=_AGAIN)
