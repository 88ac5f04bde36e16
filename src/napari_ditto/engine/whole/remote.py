"""What a dask worker does: one item, by whatever worker its process has open for the target.

Only JSON types go back: errors are told, not raised, so that nothing of another process has to be
unpickled here but what dask itself sends.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_ditto.engine.jobs import drain
from napari_ditto.engine.whole.attempts import in_one_line
from napari_ditto.engine.whole.work import Worker, WorkStage
from napari_ditto.errors import DittoError, StoreError
from napari_ditto.models.device import one_thread_each

_DECISIVE = ("napari-ditto", "numpy", "scipy", "scikit-image", "torch")


@lru_cache(1)
def versions() -> dict[str, str]:
    """Return the versions of what decides the labels."""
    return {name: version(name).partition("+")[0] for name in _DECISIVE}


def run_item(
    open_worker: Callable[[str], Worker],
    target: str,
    stage: WorkStage,
    item: int,
    expected: Mapping[str, str],
) -> dict[str, Any]:
    """Do one item and store it.

    Parameters
    ----------
    open_worker : callable
        Opens the worker of a target, and keeps it for the next call.
    target : str
        Absolute path of the OME-Zarr folder, as all machines see it.
    stage, item : str, int
        What to do.
    expected : mapping
        :func:`versions` of who asks.

    Returns
    -------
    dict
        ``facts`` and ``seconds``; or an error, see :func:`error_in`, and ``during`` what it came:
        "opening", "computing" or "storing".
    """
    try:
        _check(target, expected)
        worker = open_worker(target)
    except Exception as error:  # noqa: BLE001 - told to who asked
        return _told(error, "opening")
    start = time.perf_counter()
    try:
        with one_thread_each():
            done = drain(worker.compute(stage, item))
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


def _check(target: str, expected: Mapping[str, str]) -> None:
    host = f"worker on {socket.gethostname()}"
    differ = [f"{n} {v}, not {expected[n]}" for n, v in versions().items() if v != expected[n]]
    if differ:
        raise DittoError(
            f"a worker has {', '.join(differ)}",
            where=host,
            todo="Labels could differ; install the same versions everywhere",
        )
    if not Path(target).is_dir():
        raise StoreError(
            f"a worker does not see {target}",
            where=host,
            todo="Write to a folder that all machines share under one path",
        )
