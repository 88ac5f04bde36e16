"""One file from the network to the disk: resumed, verified, never half there.

The bytes go to ``<name>.part``; it becomes the file only when the size and the hash are right.
TLS is always verified, and no redirect may lead away from https (plain http is for this machine
only, which is how it is tested). Nothing is fetched in offline mode.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, cast

from napari_ditto.core.progress import Progress
from napari_ditto.errors import ModelNotFoundError, StoreError, WeightsError
from napari_ditto.models.manifest import FileInfo
from napari_ditto.models.online import require_online

BLOCK = 1 << 20
PARTS = (".part", ".part.etag")
"""What the names end in that a download makes beside its target."""

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_RETRIED = {408, 429, 500, 502, 503, 504}
_MAX_WAIT = 30.0
_LICENCE = "Accept its licence on the page first"
_NEXT = "Check the network and try again; it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A finished download: its hash, and the hub commit it came from (empty elsewhere)."""

    sha256: str
    size: int
    commit: str = ""


def fetch(
    url: str,
    target: Path,
    info: FileInfo = FileInfo(),  # noqa: B008  # frozen
    *,
    tries: int = 5,
    timeout: float = 30.0,
    pause: float = 0.5,
) -> Generator[Progress, None, Fetched]:
    """Download one file; each ``yield`` is progress and a place to stop (the part file stays).

    Parameters
    ----------
    url : str
        ``https://...``
    target : Path
        Where the file shall be; replaced as a whole, at the end.
    info : FileInfo
        Expected hash and size, checked where they are known.
    tries : int
        Attempts in a row that may bring no new byte.
    timeout, pause : float
        Seconds without a byte before an attempt is given up, and before the next one starts.

    Yields
    ------
    Progress
        ``done`` and ``total`` in bytes, stage ``"download"``.

    Raises
    ------
    ModelNotFoundError
        Offline, no such file, or the network failed.
    WeightsError
        The bytes are not those expected; nothing is kept.
    StoreError
        The disk is full or not writable.
    """
    require_online(target.name)
    part = target.with_name(target.name + ".part")
    failed = 0
    while True:
        before = _size(part)
        try:
            commit = yield from _attempt(url, part, info, timeout)
            break
        except _Interrupted as stop:
            failed = 0 if _size(part) > before else failed + 1
            if failed >= tries:
                raise ModelNotFoundError(
                    f"the download failed: {stop}", where=url, todo=_NEXT
                ) from stop
            time.sleep(min(_MAX_WAIT, max(stop.wait, pause * 2.0**failed)))
    fetched = Fetched(_verify(part, info), part.stat().st_size, commit)
    _tag(part).unlink(missing_ok=True)
    os.replace(part, target)
    return fetched


class _Interrupted(Exception):
    """The attempt failed in a way that may pass."""

    def __init__(self, reason: object, wait: float = 0.0) -> None:
        super().__init__(str(reason))
        self.wait = wait


def _attempt(
    url: str, part: Path, info: FileInfo, timeout: float
) -> Generator[Progress, None, str]:
    """Add what is missing to `part`; return the hub commit of the answer."""
    try:
        with _open(url, part, timeout) as response:
            start = _start(response, part)
            length = int(response.headers.get("Content-Length") or 0)
            total = start + length if length else info.size or 0
            _check_room(part, info, total, length)
            _remember_tag(part, response)
            yield from _copy(response, part, start, total)
            return str(getattr(response, "commit", ""))
    except urllib.error.HTTPError as error:
        error.close()
        raise _http_problem(error, url, part) from error
    except urllib.error.URLError as error:
        raise _network_problem(error, url) from error
    except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
        raise _Interrupted(error) from error
    except TimeoutError as error:
        raise _Interrupted("no answer in time") from error
    except OSError as error:
        raise disk_problem(error, part) from error


def _open(url: str, part: Path, timeout: float) -> http.client.HTTPResponse:
    _require_safe(url)
    request = urllib.request.Request(url, headers={"User-Agent": "napari-ditto"})  # noqa: S310
    tag = _tag(part)
    if part.is_file() and tag.is_file():
        request.add_header("Range", f"bytes={_size(part)}-")
        # If the file behind the address has changed, the server must send it from the start.
        request.add_header("If-Range", tag.read_text(encoding="utf-8"))
    return cast(http.client.HTTPResponse, _opener().open(request, timeout=timeout))


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows http and https and nothing else (no file:, no ftp:)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        # A context of our own: another plugin may have switched checks off for the process.
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirect(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,  # noqa: ANN401
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            _require_safe(newurl, came_from=req.full_url)
        except ModelNotFoundError:
            fp.close()
            raise
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            # Only the hub's own answer names the commit, not that of the store it points to.
            request.commit = headers.get("X-Repo-Commit", "")  # type: ignore[attr-defined]
        return request

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        commit = getattr(request, "commit", "") or response.headers.get("X-Repo-Commit", "")
        response.commit = commit  # type: ignore[attr-defined]
        return response

    https_response = http_response


def _require_safe(url: str, came_from: str = "") -> None:
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in _LOCAL
    if came_from:
        # Another server must not send us to a service of this machine, nor any from https to http.
        before = urllib.parse.urlsplit(came_from)
        local = local and before.scheme == "http" and before.hostname in _LOCAL
    if not (parts.scheme == "https" or local):
        raise ModelNotFoundError(f"weights are not fetched from {url!r}", todo="Use https")


def _start(response: http.client.HTTPResponse, part: Path) -> int:
    """Return where the answer begins in the file: 0, or the end of what is there."""
    have = _size(part)
    if response.status != 206:
        return 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    _forget(part)
    raise _Interrupted("the server resumed at the wrong place")


def _check_room(part: Path, info: FileInfo, total: int, length: int) -> None:
    if info.size and total != info.size:
        _forget(part)
        raise WeightsError(
            f"the server offers {total:,} bytes, {info.size:,} were expected", where=part.stem
        )
    free = shutil.disk_usage(part.parent).free
    if length > free:
        raise _disk_full(part, f"{length / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} free")


def _copy(
    response: http.client.HTTPResponse, part: Path, start: int, total: int
) -> Generator[Progress, None, None]:
    done = start
    with part.open("ab" if start else "wb") as file:
        while block := response.read1(BLOCK):
            done += len(block)
            if total and done > total:
                _forget(part)
                raise WeightsError("the server sent more than it announced", where=part.stem)
            file.write(block)
            yield Progress("download", done, total, f"downloading {part.stem}")
    if total and done < total:
        raise _Interrupted(f"the connection ended after {done:,} of {total:,} bytes")


def _verify(part: Path, info: FileInfo) -> str:
    digest = sha256_of(part)
    if info.sha256 and digest != info.sha256:
        _forget(part)
        raise WeightsError(
            f"the downloaded file is not the published one: SHA-256 {digest[:12]}..., "
            f"expected {info.sha256[:12]}...",
            where=part.stem,
            todo="Nothing was kept; try again, and tell us if it stays so",
        )
    return digest


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _http_problem(error: urllib.error.HTTPError, url: str, part: Path) -> Exception:
    if error.code == 416:  # what is there is not a beginning of this file
        _forget(part)
        return _Interrupted("the part file did not fit")
    if error.code in _RETRIED:
        return _Interrupted(f"HTTP {error.code} {error.reason}", _retry_after(error.headers))
    advice = {401: _LICENCE, 403: _LICENCE, 404: "Check the name"}.get(error.code, "")
    reason = " ".join(str(error.reason).split())
    return ModelNotFoundError(f"HTTP {error.code} {reason}", where=url, todo=advice)


def _network_problem(error: urllib.error.URLError, url: str) -> Exception:
    if isinstance(error.reason, (ssl.SSLCertVerificationError, socket.gaierror)):
        return ModelNotFoundError(f"no safe connection: {error.reason}", where=url, todo=_NEXT)
    return _Interrupted(error.reason)


def _retry_after(headers: Message) -> float:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdigit() else 0.0


def disk_problem(error: OSError, path: Path) -> StoreError:
    """Return the error for a folder that cannot be written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _disk_full(path, "no space left")
    return StoreError(
        f"cannot write weights: {error.strerror or error}",
        where=str(path.parent),
        todo="Choose another folder with NAPARI_DITTO_MODELS",
    )


def _disk_full(path: Path, detail: str) -> StoreError:
    return StoreError(
        f"the disk is full: {detail}",
        where=str(path.parent),
        todo="Free some space, or choose another folder with NAPARI_DITTO_MODELS",
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _remember_tag(part: Path, response: http.client.HTTPResponse) -> None:
    tag = response.headers.get("ETag", "")
    # A weak tag does not promise equal bytes, so it cannot be used to resume.
    if tag and not tag.startswith("W/"):
        _tag(part).write_text(tag, encoding="utf-8")
    else:
        _tag(part).unlink(missing_ok=True)


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag(part).unlink(missing_ok=True)
