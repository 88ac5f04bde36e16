"""The header of a safetensors file, checked before anything is believed.

The format: eight bytes with the length of the header, little-endian; a JSON table from tensor
names to type, shape and place; then the tensors.
"""

from __future__ import annotations

import json
from typing import Any

MAX_HEADER = 100 << 20
LENGTH_BYTES = 8


def header_length(start: bytes, file_size: int) -> int:
    """Return how many bytes the header has, from a file's first eight.

    Raises
    ------
    ValueError
        If the file cannot hold such a header; the message says why.
    """
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if file_size < LENGTH_BYTES or length > min(MAX_HEADER, file_size - LENGTH_BYTES):
        raise ValueError("it is truncated, or its header is too long")
    return length


def parse_header(raw: bytes) -> dict[str, Any]:
    """Return the table in a header.

    Raises
    ------
    ValueError
        If it is no JSON table.
    """
    try:
        header = json.loads(raw, object_pairs_hook=_table)
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is not readable") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not a table")
    return header


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a table, unless a name stands there twice: readers differ in which one counts."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name stands there twice")
    return table
