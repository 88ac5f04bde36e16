"""Workers of ``dask.distributed``: here, at an address, or wherever a scheduler file says.

The only place that knows dask's scheduler. A :class:`Cluster` runs functions of this package on
its workers and never raises what a worker, a network or a scheduler does: an :class:`Ended` tells.
dask sends functions and results between processes as pickles; whoever connects here trusts the
scheduler as much as the account that runs this program.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from napari_ditto.errors import DittoError

if TYPE_CHECKING:
    from distributed import Client

Ticket = Any
"""Stands for a submitted call; hashable."""

_CONNECT = 10  # seconds; a scheduler that is there answers at once
_ASK = 1  # seconds for a question to the scheduler


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that ended.

    Attributes
    ----------
    ticket : object
        Of the call.
    how : "returned", "lost", "killed" or "refused"
        Lost on the way, which says nothing of the function; killed several workers; or refused
        by workers that cannot run the function at all.
    value : object
        What the function returned.
    error : DittoError or None
        For the killed and the refused.
    """

    ticket: Ticket
    how: Literal["returned", "lost", "killed", "refused"]
    value: Any = None
    error: DittoError | None = None


_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Of local workers. dask's own default adds a MALLOC_TRIM_THRESHOLD_ with which large arrays are
unmapped at once: networks then take twice the time (ADR 52)."""


class Cluster:
    """A connection to dask workers; made by :func:`connect`.

    Parameters
    ----------
    client : distributed.Client
        The connection.
    name : str
        For people.
    owned : contextlib.ExitStack
        What :meth:`close` ends.
    """

    def __init__(self, client: Client, name: str, owned: ExitStack) -> None:
        self._client, self.name, self._owned = client, name, owned

    def threads(self) -> int:
        """Return how many calls the workers can run at once, 0 if none can be reached."""
        if self._client.status != "running":
            return 0
        try:
            return sum(self._client.nthreads(callback_timeout=_ASK).values())
        except (OSError, TimeoutError, CancelledError):
            return 0

    @property
    def closed(self) -> bool:
        """Whether the scheduler is gone for good."""
        return bool(self._client.status in ("closing", "closed"))

    def submit(self, function: str, *arguments: str) -> Ticket:
        """Have a function called by some worker.

        It goes by its name: dask lets a worker die that gets a function which it cannot import,
        while a name that means nothing there is an error like any other.

        Parameters
        ----------
        function : str
            ``"package.module:name"``.
        *arguments : str
            What it is given.

        Raises
        ------
        DittoError
            If the scheduler is gone.
        """
        if self.closed:
            raise self.gone()
        from dask.utils import apply

        key = f"napari-ditto-{uuid.uuid4().hex}"
        call = (apply, (resolve_name, function), list(arguments))
        return self._client.get({key: call}, key, sync=False)

    def ended(self, tickets: Collection[Ticket], seconds: float) -> list[Ended]:
        """Return the calls that ended, after waiting for the first of them for some seconds.

        Raises
        ------
        DittoError
            If the scheduler is gone.
        """
        if self.closed:
            raise self.gone()
        if not tickets:
            time.sleep(seconds)
            return []
        self._wait(tickets, seconds)
        told = [_end(ticket, seconds) for ticket in tickets if ticket.status != "pending"]
        return [end for end in told if end is not None]

    def _wait(self, tickets: Collection[Ticket], seconds: float) -> None:
        from distributed import wait

        # Lost calls are raised here and told by their status.
        with self._client.as_current(), suppress(TimeoutError, CancelledError):
            wait(list(tickets), timeout=seconds, return_when="FIRST_COMPLETED")

    def drop(self, tickets: Collection[Ticket]) -> None:
        """Forget calls; those that run end unheard."""
        if not self.closed:
            self._client.cancel(list(tickets))

    def gone(self) -> DittoError:
        """Return the error of a scheduler that does not answer any more."""
        return DittoError(
            "the dask scheduler is gone",
            where=self.name,
            todo="What is finished is kept; start the scheduler and its workers, then resume",
        )

    def close(self) -> None:
        """End the connection, and the workers if they were started here."""
        self._owned.close()


def connect(spec: object = "local", workers: int | None = None) -> Cluster:
    """Connect to dask workers.

    Parameters
    ----------
    spec : str or distributed.Client
        ``"local"``, ``"local:4"`` (processes on this machine), the address of a scheduler
        (``"tcp://host:8786"``), the path of a scheduler file, or a connection, which is left open.
    workers : int, optional
        Processes for ``"local"``; one per core by default.

    Raises
    ------
    DittoError
        If dask.distributed is not installed, `spec` is none of these, or nobody answers.
    """
    _check_installed()
    if not isinstance(spec, (str, Path)):
        return _given(spec)
    text = str(spec)
    kind, _, count = text.partition(":")
    if kind == "local" and (not count or count.isdigit()):
        return _local(int(count or 0) or workers)
    if "://" in text:
        return _remote(text, text)
    if text.endswith(".json"):
        return _remote(_address_in(Path(text)), text)
    raise _no_workers(spec)


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise DittoError(
            "dask.distributed is not installed", todo='pip install "napari-ditto[cluster]"'
        ) from error


def _no_workers(spec: object) -> DittoError:
    return DittoError(
        f"{spec!r} names no dask workers",
        todo="Use local, local:4, tcp://host:8786, or the path of a scheduler file (.json)",
    )


def _given(client: object) -> Cluster:
    from distributed import Client

    if not isinstance(client, Client):
        raise _no_workers(client)
    return Cluster(client, "dask", ExitStack())


def _local(workers: int | None) -> Cluster:
    """Start processes that nobody else can use: they speak TLS with keys made for them."""
    import dask
    from dask.system import CPU_COUNT
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        stack.enter_context(_environment_restored())
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="napari-ditto-", ignore_cleanup_errors=True)
        )
        with dask.config.set({"distributed.nanny.pre-spawn-environ": _ENVIRONMENT}):
            cluster = LocalCluster(
                n_workers=workers or CPU_COUNT,
                threads_per_worker=1,
                security=True,
                dashboard_address="127.0.0.1:0",  # None takes port 8787, or warns that it is taken
                scheduler_kwargs={"dashboard": False},
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
            )
        stack.enter_context(cluster)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        return Cluster(client, "dask on this machine", stack.pop_all())


@contextmanager
def _environment_restored() -> Iterator[None]:
    """Run a block after which the environment is as it was: dask sets it here for its workers."""
    before = {name: os.environ.get(name) for name in (*_ENVIRONMENT, "PYTHONHASHSEED")}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _remote(address: str, name: str) -> Cluster:
    from distributed import Client

    with ExitStack() as stack:
        try:
            client = Client(address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # nobody there; no such address
            raise DittoError(
                "no dask scheduler answers",
                where=name,
                todo="Start it (dask scheduler), check the address and the firewall",
            ) from error
        stack.enter_context(client)
        return Cluster(client, f"dask at {name}", stack.pop_all())


def _address_in(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DittoError(
            "this is no scheduler file of dask",
            where=str(file),
            todo=f"Start the scheduler with: dask scheduler --scheduler-file {file}",
        ) from error


def _end(ticket: Ticket, seconds: float) -> Ended | None:
    """Return how a call ended; None if its result was lost, and dask makes it again."""
    from distributed import KilledWorker

    if ticket.status in ("cancelled", "lost"):
        return Ended(ticket, "lost")
    try:
        return Ended(ticket, "returned", ticket.result(timeout=seconds))
    except TimeoutError:
        return None
    except CancelledError:
        return Ended(ticket, "lost")
    except KilledWorker:
        error = DittoError(
            "every worker that tried it died", todo="Give the workers more memory, see their logs"
        )
        return Ended(ticket, "killed", error=error)
    except Exception as error:  # noqa: BLE001 - whatever dask raises, told to the caller
        return Ended(ticket, "refused", error=_refused(error))


def _refused(error: Exception) -> DittoError:
    cause = " ".join(str(error.__cause__ or error).split())[:200]
    return DittoError(
        f"the dask workers cannot run napari-ditto: {cause}",
        todo="Install the same napari-ditto where the scheduler and the workers run",
    )
