"""Models of the user's own that are offered with the others: where they lie, and their hash.

They stay where they are and belong to the user: to remove one is to offer it no longer.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_ditto.core.config_folder import config_folder, write_whole
from napari_ditto.core.plain_file import read_plain
from napari_ditto.core.progress import Progress
from napari_ditto.errors import ModelNotFoundError, StoreError
from napari_ditto.models.recognition import Recognised, recognise

MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True)
class Added:
    """A model that the user has added.

    Attributes
    ----------
    id : str
        The name that ``load_model`` takes, ``"sam:/data/my-sam"``.
    family, path : str
        Who reads it, and where it lies.
    sha256 : str
        Hash of its tensors when it was added.
    size_bytes : int
        Size of its tensors.
    """

    id: str
    family: str
    path: str
    sha256: str
    size_bytes: int


def added_models() -> tuple[Added, ...]:
    """Return the models that were added, in that order; a damaged list counts as empty."""
    try:
        listed = json.loads(read_plain(_list(), MAX_FILE))["models"]
        found = [Added(**item) for item in listed]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(a for a in found if all(isinstance(t, str) for t in (a.id, a.family, a.path)))


def add_steps(path: Path) -> Generator[Progress, None, Added | Recognised]:
    """Offer the weights at a path from now on, after they were read once, as they would be used.

    Yields
    ------
    Progress
        A place to cancel; nothing was added before the end.

    Returns
    -------
    Added or Recognised
        The model; or what was recognised, if it is a tuned prompt, which was copied to the others.

    Raises
    ------
    DittoError
        It is nothing that can be used, damaged or unsafe; nothing is added.
    """
    from napari_ditto.models.registry import FAMILIES, find_weights, load_model
    from napari_ditto.models.tuned import load_tuned, save_tuned

    yield Progress("read", text=f"looking at {path.name}")
    families = {f.name: f for f in FAMILIES if f.takes == "weights"}
    found = recognise(path.expanduser().absolute(), families)
    if found.kind == "tuned":
        save_tuned(load_tuned(found.path))
        return found
    name = f"{found.family}:{found.path}"
    yield Progress("read", text=f"trying out {name}")
    spec = load_model(name, "cpu").spec
    tensors = find_weights(families[found.family], str(found.path)).tensors
    added = Added(name, found.family, str(found.path), spec.weights_sha256, tensors.stat().st_size)
    _write([*(a for a in added_models() if a.id != name), added])
    return added


def find_added(name: str) -> Added | None:
    """Return the added model of a name."""
    return next((a for a in added_models() if a.id == name), None)


def forget(name: str) -> None:
    """Offer an added model no longer; its files stay.

    Raises
    ------
    ModelNotFoundError
        If it was not added.
    """
    if find_added(name) is None:
        raise ModelNotFoundError("this model was not added", where=name)
    _write([a for a in added_models() if a.id != name])


def _list() -> Path:
    return config_folder() / "added-models.json"


def _write(models: Sequence[Added]) -> None:
    try:
        write_whole(_list(), json.dumps({"models": [asdict(m) for m in models]}, indent=1))
    except OSError as error:
        raise StoreError(
            f"the list of models cannot be written: {error.strerror}", where=str(_list())
        ) from error
