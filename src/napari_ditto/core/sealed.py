"""A safetensors file of ours: arrays, one JSON text about them, and a checksum over both.

Pure: the container itself is packed and unpacked by the caller, who may import safetensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.tensor_header import LENGTH_BYTES, header_length, parse_header

MAX_FILE = 1 << 30

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file.

    Attributes
    ----------
    name, version : str
        As the file says them.
    foreign : str
        What to say of a file of another kind.
    """

    name: str
    version: str
    foreign: str

    def seal(
        self, content: str, arrays: Mapping[str, NDArray[Any]]
    ) -> tuple[Arrays, dict[str, str]]:
        """Return arrays as safetensors wants them, and the metadata that belongs to them."""
        plain = {name: _plain(array) for name, array in arrays.items()}
        metadata = {"format": self.name, "version": self.version, "content": content}
        return plain, {**metadata, "sha256": _digest(content, plain)}

    def open(self, raw: bytes, load: Callable[[bytes], Arrays]) -> tuple[str, Arrays]:
        """Return the text and the arrays of a file.

        Parameters
        ----------
        raw : bytes
            The whole file.
        load : callable
            ``safetensors.numpy.load``; called when the header has been checked.

        Raises
        ------
        ValueError
            If it is damaged, or of another kind or version; the message says so. What else `load`
            raises is passed on.
        """
        try:
            length = header_length(raw[:LENGTH_BYTES], len(raw))
            header = parse_header(raw[LENGTH_BYTES : LENGTH_BYTES + length])
        except ValueError as error:
            raise ValueError(damaged(error)) from error
        metadata = header.get("__metadata__")
        if not isinstance(metadata, dict) or metadata.get("format") != self.name:
            raise ValueError(self.foreign)
        if metadata.get("version") != self.version:
            raise ValueError(f"it is of version {metadata.get('version')}, not {self.version}")
        try:
            arrays = load(raw)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(damaged(error)) from error
        content = str(metadata.get("content"))
        if _digest(content, arrays) != metadata.get("sha256"):
            raise ValueError(damaged("its content was changed"))
        return content, arrays


def damaged(reason: object) -> str:
    """Say that a file is damaged, and why, in a line that is not too long."""
    return f"it is damaged: {str(reason)[:100]}"


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of the machine's byte order that safetensors knows."""
    kind = np.float64 if array.dtype.kind == "f" and array.itemsize > 8 else array.dtype
    return np.ascontiguousarray(array, dtype=np.dtype(kind).newbyteorder("="))


def _digest(content: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    state = hashlib.sha256(content.encode())
    for name in sorted(arrays):
        array = arrays[name]
        state.update(f"{name} {array.dtype.str} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()
