"""From words to the numbers that SAM 3 reads: the byte-pair encoding of CLIP.

Only the vocabulary and the merges are taken of a checkpoint; rules and patterns are the library's
own, so that a file cannot bring any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253  # imported only with a family

from napari_ditto.core.plain_file import read_plain
from napari_ditto.errors import PromptError, WeightsError
from napari_ditto.models.transformers_guard import transformers
from napari_ditto.models.weights import Weights, inside

MAX_TOKENS = 32
"""What the model was trained to read of a text, its two ends included."""

MAX_FILE = 16 << 20
START, END = "<|startoftext|>", "<|endoftext|>"

Merges = list[tuple[str, str]]
Read = Callable[[str], tuple[torch.Tensor, torch.Tensor]]


def make_reader(weights: Weights, size: int) -> Read:
    """Return what turns a text into ids and their mask, both of shape (1, `MAX_TOKENS`).

    Parameters
    ----------
    weights : Weights
        With ``vocab.json`` and ``merges.txt``, or ``tokenizer.json``, beside the tensors.
    size : int
        Words that the network knows.

    Raises
    ------
    WeightsError
        If they are missing, damaged or of another network.
    """
    vocabulary, merges = _files(weights)
    _check(vocabulary, merges, size, str(weights.tensors.parent))
    tokenizer = transformers().CLIPTokenizer(vocab=vocabulary, merges=merges)

    def read(text: str) -> tuple[torch.Tensor, torch.Tensor]:
        made = tokenizer(text, padding="max_length", max_length=MAX_TOKENS, return_tensors="pt")
        if made.input_ids.shape[1] > MAX_TOKENS:
            raise PromptError(
                f"the text is longer than {MAX_TOKENS - 2} pieces of words",
                todo="Name the thing in a few words",
            )
        return made.input_ids, made.attention_mask

    return read


def _files(weights: Weights) -> tuple[dict[str, int], Merges]:
    folder = weights.tensors.parent
    vocabulary, merges, both = (folder / n for n in ("vocab.json", "merges.txt", "tokenizer.json"))
    if vocabulary.is_file() and merges.is_file():
        lines = _text(merges, weights.root).splitlines()
        return _json(vocabulary, weights.root), _pairs(
            [line for line in lines if line and not line.startswith("#version")], merges
        )
    if not both.is_file():
        raise WeightsError(
            "the words of the model are missing: vocab.json and merges.txt, or tokenizer.json",
            where=str(folder),
            todo="Get all files of the model into one folder",
        )
    model = _json(both, weights.root).get("model")
    if not isinstance(model, dict) or not isinstance(model.get("merges"), list):
        raise _damaged(both)
    return model.get("vocab") or {}, _pairs(model["merges"], both)


def _text(path: Path, root: Path) -> str:
    try:
        return read_plain(inside(path, root), MAX_FILE).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path) from error


def _json(path: Path, root: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path, root))
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(content, dict):
        raise _damaged(path)
    return content


def _pairs(merges: Sequence[object], path: Path) -> Merges:
    """Return merges as pairs, from ``"a b"`` or ``["a", "b"]``."""
    split = [m.split(" ") if isinstance(m, str) else m for m in merges]
    if not all(
        isinstance(m, list) and len(m) == 2 and all(isinstance(p, str) for p in m) for m in split
    ):
        raise _damaged(path)
    return [(m[0], m[1]) for m in split if isinstance(m, list)]


def _check(vocabulary: Mapping[str, object], merges: Merges, size: int, where: str) -> None:
    """Refuse words that the network does not know, and merges of what are no words."""
    ids = vocabulary.values()
    if not ids or not all(type(i) is int and 0 <= i < size for i in ids):
        raise WeightsError(f"its vocabulary is not of {size} words", where=where)
    pieces = {piece for a, b in merges for piece in (a, b, a + b)}
    if missing := sorted(({START, END} | pieces) - set(vocabulary)):
        raise WeightsError(f"its vocabulary lacks {missing[0]!r}", where=where)


def _damaged(path: Path) -> WeightsError:
    return WeightsError("the words of the model are damaged", where=str(path), todo="Get it again")
