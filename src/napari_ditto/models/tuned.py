"""Tuned prompts on disk: one small safetensors file each, listed by name.

What is kept is the memory of a model after tuning, never a weight of the network. Nothing in a file
is ever run; a checksum finds damage; only the very model that it was tuned for may use it (ADR 44).
"""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.sealed import MAX_FILE, Arrays, Form, damaged
from napari_ditto.errors import ModelError, StoreError
from napari_ditto.models.protocols import Memory

SUFFIX = ".ditto-tuned"
FORM = Form("napari-ditto tuned prompt", "1", "it is none")

_NAME = re.compile(r"\w[\w .()+-]{0,79}(?<![ .])")


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a model keeps of examples, fitted to them.

    Attributes
    ----------
    memory : Memory
        For :func:`~napari_ditto.engine.context.segment_like_steps`.
    name : str
        For lists; letters, digits, and ``-_.()+`` and blanks between them.
    before, after : float
        Held-out Dice without and with tuning, in [0, 1]; equal if tuning did not help, nan if
        nothing could be held out.
    instances : bool
        Whether all labels were objects of one kind.
    examples : int
        How many examples it was made of.
    note : str
        One line to be shown with it, e.g. that tuning did not help; may be empty.
    """

    memory: Memory
    name: str
    before: float
    after: float
    instances: bool = False
    examples: int = 0
    note: str = ""

    @property
    def model(self) -> str:
        """``ModelSpec.key`` of the only model that can use it."""
        return self.memory.model

    @property
    def classes(self) -> tuple[int, ...]:
        """The examples' class ids, ``(1,)`` for objects of one kind."""
        return self.memory.classes

    def memory_for(self, *, instances: bool) -> Memory:
        """Return the memory, if it knows what is asked for.

        Raises
        ------
        ModelError
            If objects of one kind are asked for, and it tells several classes apart.
        """
        if instances and len(self.classes) > 1:
            raise ModelError(
                f"'{self.name}' tells {len(self.classes)} classes apart, not objects of one kind",
                todo="Ask for classes, or tune again for objects",
            )
        return self.memory


def tuned_dir() -> Path:
    """Return the folder of tuned prompts (``NAPARI_DITTO_TUNED``, else the user's data)."""
    import platformdirs

    chosen = os.environ.get("NAPARI_DITTO_TUNED")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("napari-ditto", appauthor=False)) / "tuned"


def save_tuned(tuned: Tuned, folder: Path | None = None) -> Path:
    """Write a tuned prompt under its name and return the file; one of the same model is replaced.

    Raises
    ------
    StoreError
        If the name is no plain name, is taken by another model's, or the disk refuses.
    """
    from safetensors.numpy import save

    path = check_name(tuned.name, tuned.model, folder)
    _write(path, save(*FORM.seal(json.dumps(_facts(tuned)), tuned.memory.arrays)))
    return path


def check_name(name: str, model_key: str, folder: Path | None = None) -> Path:
    """Return the file that a tuned prompt of this name and model is written to.

    Raises
    ------
    StoreError
        If the name is no plain name, or is taken by another model's.
    """
    path = _path(name, folder)
    for other in list_tuned(None, folder):
        if other.name == name and other.model != model_key:
            raise StoreError(
                f"'{name}' is a tuned prompt of {other.model}", todo="Choose another name"
            )
    return path


def load_tuned(name: str | Path, model_key: str | None = None, folder: Path | None = None) -> Tuned:
    """Read a tuned prompt.

    Parameters
    ----------
    name : str or Path
        A name in the folder, or a file anywhere.
    model_key : str, optional
        ``ModelSpec.key`` of the model that is going to use it.
    folder : Path, optional
        :func:`tuned_dir` by default.

    Raises
    ------
    StoreError
        If there is none, or it is damaged or something else.
    ModelError
        If it was tuned for another model.
    """
    path = name if isinstance(name, Path) else _path(name, folder)
    if not isinstance(name, Path) and not path.exists():
        known = ", ".join(t.name for t in list_tuned(model_key, folder)) or "none"
        raise StoreError(f"there is no tuned prompt '{name}'", todo=f"There are: {known}")
    tuned = _read(path)
    if model_key is not None and tuned.model != model_key:
        raise ModelError(
            f"'{tuned.name}' was tuned for {tuned.model}, not for {model_key}",
            todo="Choose that model, or tune again",
        )
    return tuned


def list_tuned(model_key: str | None = None, folder: Path | None = None) -> tuple[Tuned, ...]:
    """Return the readable tuned prompts in a folder, of one model or of all, by name.

    Damaged files are left out; :func:`load_tuned` says what is wrong with them.
    """
    return tuple(
        tuned
        for path in sorted((folder or tuned_dir()).glob(f"*{SUFFIX}"))
        if (tuned := _read_if_sound(path)) and model_key in (None, tuned.model)
    )


def _path(name: str, folder: Path | None) -> Path:
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"'{name[:80]}' cannot be a name",
            todo="Use up to 80 letters, digits, blanks and -_.()+, a letter or digit first",
        )
    return (folder or tuned_dir()) / f"{name}{SUFFIX}"


def _facts(tuned: Tuned) -> dict[str, object]:
    return {
        "name": tuned.name,
        "model": tuned.model,
        "classes": [int(c) for c in tuned.classes],
        "before": None if math.isnan(tuned.before) else float(tuned.before),
        "after": None if math.isnan(tuned.after) else float(tuned.after),
        "instances": tuned.instances,
        "examples": tuned.examples,
        "note": tuned.note,
    }


def _rebuild(facts: Mapping[str, Any], arrays: Arrays) -> Tuned:
    before, after = (math.nan if facts[n] is None else float(facts[n]) for n in ("before", "after"))
    classes = tuple(int(c) for c in facts["classes"])
    return Tuned(
        Memory(arrays, classes, str(facts["model"])),
        str(facts["name"]),
        before,
        after,
        bool(facts["instances"]),
        int(facts["examples"]),
        str(facts["note"]),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"the tuned prompt cannot be saved: {reason}", where=str(path)) from error


def _read_if_sound(path: Path) -> Tuned | None:
    try:
        return _read(path)
    except StoreError:
        return None


def _read(path: Path) -> Tuned:
    """Return the checked content of a file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    raw = _read_bytes(path)
    try:
        content, arrays = FORM.open(raw, load)
    except SafetensorError as error:
        raise _refusal(path, damaged(error)) from error
    except ValueError as error:
        raise _refusal(path, str(error)) from error
    try:
        return _rebuild(json.loads(content), arrays)
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(path, damaged(error)) from error


def _read_bytes(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_FILE)
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error


def _refusal(path: Path, why: str) -> StoreError:
    return StoreError(f"this tuned prompt cannot be read: {why}", where=str(path))
