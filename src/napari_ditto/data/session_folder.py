"""A session on disk: one small folder, ``<name>.ditto-session``, of plain files.

``session.json`` names all other files, and takes the place of the one before by a rename, so that
whenever the program is killed the folder holds the old session or the new one. See ADR 64.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.progress import Progress
from napari_ditto.data.checked import Misfit, parse
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.protocols import LabelStore
from napari_ditto.data.scratch import is_orphan, scratch_name
from napari_ditto.data.session_pixels import is_elsewhere, write_image, write_labels
from napari_ditto.data.session_records import SessionRecord, with_files
from napari_ditto.errors import SourceError, StoreError

SUFFIX = ".ditto-session"
INDEX = "session.json"
MAX_INDEX = 1 << 26
"""Largest index in bytes; some 20,000 objects."""

_OURS = re.compile(r"(labels|image)-[0-9a-f]{16}\.zarr|examples-[0-9a-f]{16}\.ditto-examples")
_PARTIAL = re.compile(r"\..*\.partial(\..*)?")
_LEFT_SECONDS = 3600.0  # an unnamed file of this age is no other program's that saves just now


@dataclass(frozen=True, eq=False)
class SessionContent:
    """What is to be saved.

    Attributes
    ----------
    record : SessionRecord
        All but the names of files.
    labels : mapping of str to LabelStore
        By the keys of the record.
    pixels : mapping of str to sequence of array
        Levels of the images that are copied, by the keys of the record.
    examples : sequence of PlaneExample
        The list of examples.
    """

    record: SessionRecord
    labels: Mapping[str, LabelStore] = field(default_factory=dict)
    pixels: Mapping[str, Sequence[object]] = field(default_factory=dict)
    examples: Sequence[PlaneExample] = ()


def is_session(path: Path) -> bool:
    """Whether a folder holds a session, as far as its names tell."""
    return path.name.endswith(SUFFIX) and (path / INDEX).is_file()


def write_session_steps(
    path: Path | str, content: SessionContent
) -> Generator[Progress, None, SessionRecord]:
    """Save a session, step by step; return its record, with the names of the files in it.

    Parameters
    ----------
    path : Path
        A new folder, ``<name>.ditto-session``, or one of an older session, which is replaced.
    content : SessionContent
        What is saved.

    Raises
    ------
    StoreError
        If there is something else at the path, or the disk refuses; the old session stays.
    """
    target = Path(path).expanduser().absolute()
    _check_target(target)
    fresh = not target.exists()
    folder = target.with_name(f".{target.name}.{scratch_name()}.partial") if fresh else target
    try:
        if fresh:
            folder.mkdir()
        before = frozenset[str]() if fresh else _files(folder)
        record = yield from _write(folder, content)
        if fresh:
            folder.rename(target)
        _sweep(target, record.files, before)
    except OSError as error:
        raise StoreError(
            f"the session cannot be saved: {error.strerror or error}",
            where=str(target),
            todo="Choose a folder that can be written and has room",
        ) from error
    finally:
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
    return record


def _files(folder: Path) -> frozenset[str]:
    """Return the files of a session; none if it is damaged."""
    try:
        return read_session(folder).files
    except SourceError:
        return frozenset()


def _check_target(target: Path) -> None:
    if not target.name.endswith(SUFFIX) or target.name == SUFFIX:
        raise StoreError("a session is a folder", where=str(target), todo=f"Call it <name>{SUFFIX}")
    there = target.exists() or target.is_symlink()
    if there and (target.is_symlink() or not is_session(target)):
        raise StoreError(
            "this is no session to replace", where=str(target), todo="Choose another name"
        )


def _write(folder: Path, content: SessionContent) -> Generator[Progress, None, SessionRecord]:
    """Write all files of a session, and last the one that names them."""
    record, files, digests = content.record, {}, {}
    for entry in record.images:
        if entry.key in content.pixels:
            yield Progress("write", text=f"saving {entry.name}")
            files[entry.key] = write_image(folder, content.pixels[entry.key], entry.fingerprint)
    for labels in record.labels:
        store = content.labels.get(labels.key)
        if store is not None and is_elsewhere(store) is None:
            yield Progress("write", text=f"saving {labels.name}")
            files[labels.key], digests[labels.key] = write_labels(folder, store, labels.axes)
    record = with_files(record, files)
    labelled = tuple(replace(x, digest=digests.get(x.key, x.digest)) for x in record.labels)
    examples = _write_examples(folder, content.examples)
    record = replace(record, labels=labelled, examples=examples)
    yield Progress("write", text="saving the session")
    _write_index(folder / INDEX, record)
    return record


def _write_examples(folder: Path, examples: Sequence[PlaneExample]) -> str:
    from napari_ditto.data.example_file import save_examples

    if not examples:
        return ""
    name = f"examples-{os.urandom(8).hex()}.ditto-examples"
    save_examples(folder / name, examples)
    return name


def _write_index(path: Path, record: SessionRecord) -> None:
    raw = _as_text(record).encode()
    if len(raw) > MAX_INDEX:
        raise StoreError(
            f"a session of {record.steps:,} objects is too large", todo="Export the labels instead"
        )
    part = path.with_name(f".{path.name}.{scratch_name()}.partial")
    with part.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _as_text(record: SessionRecord) -> str:
    """Return the index, one step a line; no call is long, so that other threads go on."""
    told = record.to_json()
    labels = []
    for entry in told.pop("labels"):
        steps = ",\n".join(map(_dumps, entry.pop("steps")))
        labels.append(f'{_dumps(entry)[:-1]}, "steps": [\n{steps}\n]}}')
    return f'{_dumps(told)[:-1]}, "labels": [\n{",".join(labels)}]}}\n'


def _dumps(told: object) -> str:
    return json.dumps(told, allow_nan=False)


def _sweep(target: Path, kept: frozenset[str], before: frozenset[str]) -> None:
    """Remove the files of the session before, and what writers have left that were killed.

    What another program may be writing at this moment is younger, and stays.
    """
    for path in target.parent.glob(f".{target.name}.*.partial"):
        if is_orphan(path.with_name(path.name.removeprefix(f".{target.name}."))):
            _remove(path)
    for path in target.iterdir():
        ours = _OURS.fullmatch(path.name) or _PARTIAL.fullmatch(path.name)
        if ours and path.name not in kept and (path.name in before or _is_old(path)):
            _remove(path)


def _is_old(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > _LEFT_SECONDS


def _remove(path: Path) -> None:
    """Remove a file or folder; a link goes, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def read_session(path: Path | str) -> SessionRecord:
    """Read what a session tells; no pixels are read.

    Raises
    ------
    SourceError
        If there is none, or it is damaged, in one line.
    """
    folder = Path(path).expanduser()
    try:
        raw = read_plain(folder / INDEX, MAX_INDEX, os.path.realpath(folder))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(folder, reason) from error
    try:
        record = SessionRecord.from_json(parse(raw))
        for name in record.files:
            _check_file(folder, name)
    except Misfit as error:
        raise _refusal(folder, str(error)) from error
    return record


def _check_file(folder: Path, name: str) -> None:
    """Raise :class:`Misfit` for the name of a file that could lie elsewhere."""
    if not _OURS.fullmatch(name):
        raise Misfit(f"{name!r:.40} is no name of a file of a session")
    if (folder / name).is_symlink():
        raise Misfit(f"{name} leads out of the session")


def read_examples(path: Path | str, record: SessionRecord) -> tuple[PlaneExample, ...]:
    """Read the examples of a session.

    Raises
    ------
    StoreError
        If they are missing or damaged.
    """
    from napari_ditto.data.example_file import load_examples

    return load_examples(Path(path) / record.examples).examples if record.examples else ()


def _refusal(folder: Path, why: str) -> SourceError:
    return SourceError(f"this session cannot be read: {why}", where=str(folder))
