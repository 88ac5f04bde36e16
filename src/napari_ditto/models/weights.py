"""Where weights live, how they get there, and that they are what they were.

::

    <models>/sam/facebook--sam-vit-base/config.json
                                        model.safetensors
                                        ditto-lock.json      what was fetched, and its hashes

A published hash from the manifest is binding. Where there is none, the hash of the first
download is written to the lock file (trust on first use) and binds every later load.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.progress import Progress
from napari_ditto.errors import ModelNotFoundError, WeightsError
from napari_ditto.models.download import PARTS, disk_problem, fetch, sha256_of
from napari_ditto.models.manifest import FileInfo, ManifestEntry

LOCK = "ditto-lock.json"
MAX_LOCK = 1 << 20
_OPTIONAL = {"preprocessor_config.json", "processor_config.json"}  # a repository has either
Agree = bool | Callable[[ManifestEntry], bool]


@dataclass(frozen=True, slots=True)
class LockedFile:
    """Hash and size of a file as it was fetched, and whether anyone else published that hash."""

    sha256: str
    size: int
    published: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights on this disk.

    Attributes
    ----------
    path : Path
        The folder of a hub repository, or a single file.
    root : Path
        The folder that they must not lead out of.
    entry : ManifestEntry or None
        What is known about them; None for the user's own file.
    """

    path: Path
    root: Path
    entry: ManifestEntry | None = None

    @property
    def tensors(self) -> Path:
        """The file that holds the tensors."""
        if not self.path.is_dir():
            return self.path
        return self.path / (self.entry.weights_file if self.entry else "model.safetensors")


def models_dir() -> Path:
    """Return the folder for downloaded weights (``NAPARI_DITTO_MODELS``, else the user's data)."""
    import platformdirs

    chosen = os.environ.get("NAPARI_DITTO_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("napari-ditto", appauthor=False)) / "models"


def folder_of(entry: ManifestEntry) -> Path:
    """Return the folder that holds, or will hold, the files of an entry."""
    name = entry.id.split(":", 1)[1]
    return models_dir() / entry.family / re.sub(r"[^\w.@-]", "--", name)


def is_installed(entry: ManifestEntry) -> bool:
    """Whether all the files of an entry are here."""
    return locate(entry) is not None


def locate(entry: ManifestEntry) -> Weights | None:
    """Return the weights of an entry if they are here, or in the cache of Hugging Face."""
    folder = folder_of(entry)
    if _complete(folder, entry):
        return Weights(folder, folder, entry)
    shared = _hub_cache(entry)
    if shared and _complete(shared, entry):
        return Weights(shared, shared.parent.parent, entry)
    return None


def _complete(folder: Path, entry: ManifestEntry) -> bool:
    return all((folder / name).is_file() for name in entry.files if name not in _OPTIONAL)


def _hub_cache(entry: ManifestEntry) -> Path | None:
    """Return where huggingface_hub keeps this revision, whether or not it is there."""
    if not entry.repo:
        return None
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    repo = hub / f"models--{entry.repo.replace('/', '--')}"
    named = repo / "refs" / entry.revision
    commit = named.read_text(encoding="ascii").strip() if named.is_file() else entry.revision
    return repo / "snapshots" / commit


def require(entry: ManifestEntry) -> Weights:
    """Return the weights of an entry, or say in one line how to get them."""
    found = locate(entry)
    if found is None and entry.gated:
        raise gate(entry)
    if found is None:
        raise ModelNotFoundError(
            f"the weights of {entry.id} are not on this computer",
            todo=f"Get them with: napari-ditto models get {entry.id}",
        )
    return found


def gate(entry: ManifestEntry) -> ModelNotFoundError:
    """Return the error of weights that only those get who have accepted their licence."""
    return ModelNotFoundError(
        f"{entry.id} must be fetched by hand, its licence has to be accepted first",
        where=entry.source,
        todo="Get its files into one folder, then add that: napari-ditto models add FOLDER",
    )


def download(entry: ManifestEntry, agree: Agree = False) -> Generator[Progress, None, Weights]:
    """Fetch the files of an entry after the user has agreed; resumes, verifies, locks.

    Parameters
    ----------
    entry : ManifestEntry
        What to fetch.
    agree : bool or callable
        Consent: True, or a function that shows the entry (size, licence, source) and asks.

    Raises
    ------
    ModelNotFoundError
        Without consent, offline, or if there is no such model.
    WeightsError, StoreError
        See :func:`napari_ditto.models.download.fetch`.
    """
    found = locate(entry)
    if found:
        return found
    if entry.gated or not (agree(entry) if callable(agree) else agree):
        require(entry)
    folder = folder_of(entry)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_problem(error, folder) from error
    yield from _fetch_all(entry, folder)
    return Weights(folder, folder, entry)


def _fetch_all(entry: ManifestEntry, folder: Path) -> Generator[Progress, None, None]:
    locked = dict(read_lock(folder))
    for name, info in entry.files.items():
        if name in locked and (folder / name).is_file():
            continue
        try:
            fetched = yield from fetch(_address(entry, name), folder / name, info)
        except ModelNotFoundError as error:
            if name in _OPTIONAL and error.what.startswith("HTTP 404"):
                continue
            raise
        if fetched.commit:  # a branch is pinned to the commit it was at the first file
            entry = replace(entry, revision=fetched.commit)
        locked[name] = LockedFile(fetched.sha256, fetched.size, info.sha256 is not None)
        _write_lock(folder, entry, locked)


def _address(entry: ManifestEntry, name: str) -> str:
    if not entry.repo:
        return entry.source
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{hub}/{entry.repo}/resolve/{entry.revision}/{name}"


def _write_lock(folder: Path, entry: ManifestEntry, files: dict[str, LockedFile]) -> None:
    record = {
        "id": entry.id,
        "source": entry.source,
        "revision": entry.revision,
        "licence": entry.licence,
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {name: asdict(file) for name, file in files.items()},
    }
    draft = folder / f"{LOCK}.part"
    draft.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(draft, folder / LOCK)


def read_lock(folder: Path) -> dict[str, LockedFile]:
    """Return what was fetched into a folder; empty if there is no lock file."""
    path = folder / LOCK
    try:
        record = json.loads(read_plain(path, MAX_LOCK))
        return {name: LockedFile(**file) for name, file in record["files"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            "the lock file is damaged", where=str(path), todo="Delete the folder and get it again"
        ) from error


def verify(weights: Weights) -> str:
    """Check every file that has a known hash; return the SHA-256 of the tensors.

    Raises
    ------
    WeightsError
        If a file differs from what was published, or from what was first fetched, or is a link
        that leads out of its folder.
    """
    locked = read_lock(weights.root)
    known = {n: FileInfo(f.sha256, f.size) for n, f in locked.items()}
    if weights.entry:
        known |= {n: i for n, i in weights.entry.files.items() if i.sha256}
    folder = weights.tensors.parent
    for name, info in known.items():
        path = folder / name
        if path.is_file() and info.sha256 and file_sha256(path, weights.root) != info.sha256:
            raise WeightsError(
                "the file is not the one that was published or first fetched",
                where=str(path),
                todo="Delete it and get it again",
            )
    return file_sha256(weights.tensors, weights.root)


def file_sha256(path: Path, root: Path) -> str:
    """Return the SHA-256 of a file inside `root`; read once per (size, mtime, inode)."""
    real = inside(path, root)
    state = real.stat()
    return _hashed(str(real), state.st_size, state.st_mtime_ns, state.st_ino)


@cache
def _hashed(path: str, size: int, mtime_ns: int, inode: int) -> str:
    return sha256_of(Path(path))


def inside(path: Path, root: Path) -> Path:
    """Return the real path of a file, refusing one that lies outside `root`."""
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError("the file cannot be read", where=str(path)) from error
    if not real.is_relative_to(root.resolve()):
        raise WeightsError(
            "the file is a link that leads out of its folder",
            where=str(path),
            todo=f"If you trust it, name {real} itself",
        )
    if not real.is_file():
        raise WeightsError("it is no plain file", where=str(path))
    return real


def remove(entry: ManifestEntry) -> int:
    """Delete what was downloaded for an entry, begun downloads too; return the bytes freed.

    Whatever else lies in the folder stays, and so does the cache of Hugging Face.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    freed = 0
    folder = folder_of(entry)
    try:
        for path in _ours(entry):
            freed += path.lstat().st_size
            path.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise disk_problem(error, folder) from error
    return freed


def _ours(entry: ManifestEntry) -> list[Path]:
    """Return the files of an entry that a download makes, as far as they are there."""
    folder = folder_of(entry)
    made = [name + end for name in (*entry.files, LOCK) for end in ("", *PARTS)]
    return [folder / name for name in made if os.path.lexists(folder / name)]


def begun(entry: ManifestEntry) -> int:
    """Return the bytes here of a download that was not finished, 0 if none was begun."""
    if _complete(folder_of(entry), entry):
        return 0
    return sum(path.lstat().st_size for path in _ours(entry))
