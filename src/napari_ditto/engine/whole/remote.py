"""What a dask worker does: one item, by whatever worker its process has open for the target.

Only JSON goes to and fro; errors are told, not raised.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from napari_ditto.core.jobs import drain
from napari_ditto.engine.whole.attempts import in_one_line
from napari_ditto.engine.whole.work import Worker, WorkStage
from napari_ditto.errors import DittoError, StoreError
from napari_ditto.models.device import one_thread_each

_DECISIVE = ("napari-ditto", "numpy", "scipy", "scikit-image", "torch")


@lru_cache(1)
def versions() -> dict[str, str]:
    """Return the versions of what decides the labels."""
    return {name: version(name).partition("+")[0] for name in _DECISIVE}


@dataclass(frozen=True, slots=True)
class Call:
    """What a process is asked to do.

    Attributes
    ----------
    opener : str
        ``"module:name"`` of :attr:`~napari_ditto.engine.whole.work.Worker.opener`.
    target : str
        Absolute path of the OME-Zarr folder, as all machines see it.
    stage, item : str, int
        What to do.
    versions : mapping
        :func:`versions` of who asks.
    """

    opener: str
    target: str
    stage: WorkStage
    item: int
    versions: Mapping[str, str]


def name_of(function: Callable[..., object]) -> str:
    """Return by which name another process finds a function."""
    return f"{function.__module__}:{function.__qualname__}"


def run_item(text: str) -> dict[str, Any]:
    """Do one item and store it.

    Parameters
    ----------
    text : str
        A :class:`Call` as JSON.

    Returns
    -------
    dict
        ``facts`` and ``seconds``; or an error, see :func:`error_in`, and ``during`` what it came:
        "opening", "computing" or "storing".
    """
    try:
        call = Call(**json.loads(text))
        _check(call)
        worker: Worker = resolve_name(call.opener)(call.target)
    except Exception as error:  # noqa: BLE001 - told to who asked
        return _told(error, "opening")
    start = time.perf_counter()
    try:
        with one_thread_each():
            done = drain(worker.compute(call.stage, call.item))
    except Exception as error:  # noqa: BLE001 - told to who asked
        return _told(error, "computing")
    try:
        facts = done.store()
    except Exception as error:  # noqa: BLE001 - told to who asked
        return _told(error, "storing")
    return {"facts": dict(facts), "seconds": time.perf_counter() - start}


def error_in(answer: Mapping[str, Any]) -> DittoError | None:
    """Return the error that an answer of :func:`run_item` tells, None if it tells of none."""
    if "during" not in answer:
        return None
    kind = _kinds(DittoError).get(answer["kind"], DittoError)
    return kind(answer["what"], where=answer["where"], todo=answer["todo"])


def _kinds(base: type[DittoError]) -> dict[str, type[DittoError]]:
    """Return the errors that are known here, by name."""
    found = {base.__name__: base}
    for kind in base.__subclasses__():
        found |= _kinds(kind)
    return found


def _told(error: Exception, during: str) -> dict[str, Any]:
    ours = in_one_line(error)
    told = {"what": ours.what, "where": ours.where, "todo": ours.todo}
    return {"during": during, "kind": type(ours).__name__, **told}


def _check(call: Call) -> None:
    host = f"worker on {socket.gethostname()}"
    ours, theirs = versions(), call.versions
    differ = [f"{n} {v}, not {theirs.get(n)}" for n, v in ours.items() if v != theirs.get(n)]
    if differ:
        raise DittoError(
            f"a worker has {', '.join(differ)}",
            where=host,
            todo="Labels could differ; install the same versions everywhere",
        )
    if not Path(call.target).is_dir():
        raise StoreError(
            f"a worker does not see {call.target}",
            where=host,
            todo="Write to a folder that all machines share under one path",
        )
