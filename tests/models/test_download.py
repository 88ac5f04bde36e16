"""Downloads against a server that misbehaves: resumed, verified, or refused in one line."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_ditto.errors import ModelNotFoundError, StoreError, WeightsError
from napari_ditto.models import download
from napari_ditto.models.download import fetch
from napari_ditto.models.manifest import FileInfo

BODY = bytes(range(256)) * 20_000  # 5 MB
SHA = hashlib.sha256(BODY).hexdigest()
GOOD = FileInfo(SHA, len(BODY))


class Handler(BaseHTTPRequestHandler):
    """Answers with the next fault of ``server.faults``; with none left it behaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        fault = self.server.faults.pop(0) if self.server.faults else "good"
        getattr(self, f"_{fault}")()

    def log_message(self, *_args):
        pass

    def _start(self, code, length, **headers):
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _good(self, body=None):
        body = body or self.server.body
        tag = '"' + hashlib.md5(body, usedforsecurity=False).hexdigest() + '"'
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == tag:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            span = f"bytes {first}-{len(body) - 1}/{len(body)}"
            self._start(206, len(body) - first, ETag=tag, Content_Range=span)
            self.wfile.write(body[first:])
        else:
            self._start(200, len(body), ETag=tag, X_Repo_Commit="c0ffee")
            self.wfile.write(body)

    def _busy(self):
        self._start(503, 0, Retry_After="0")

    def _missing(self):
        self._start(404, 0)

    def _forbidden(self):
        self._start(403, 0)

    def _half(self):
        tag = '"' + hashlib.md5(self.server.body, usedforsecurity=False).hexdigest() + '"'
        self._start(200, len(self.server.body), ETag=tag)
        self.wfile.write(self.server.body[: len(self.server.body) // 2])
        self.wfile.flush()
        self.close_connection = True

    def _half_untagged(self):
        self._start(200, len(self.server.body))
        self.wfile.write(self.server.body[:1000])
        self.close_connection = True

    def _wrong(self):
        self._good(b"\0" * len(self.server.body))

    def _short(self):
        self._good(self.server.body[:-1])

    def _endless(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body + b"more")
        self.close_connection = True

    def _to_file(self):
        self._start(302, 0, Location="file:///etc/passwd")

    def _to_ftp(self):
        self._start(302, 0, Location="ftp://127.0.0.1/x")

    def _to_plain(self):
        self._start(302, 0, Location="http://example.org/x")

    def _to_plain_here(self):
        self._start(302, 0, Location="http://127.0.0.1:9/x")

    def _to_itself(self):
        self._start(302, 0, Location=self.path, X_Repo_Commit="abc123")

    def _slow(self):
        self._start(200, len(self.server.body))
        self.wfile.flush()
        time.sleep(1.0)
        self.close_connection = True

    def _not_satisfiable(self):
        self._start(416, 0)

    def _elsewhere(self):
        self._start(206, 10, Content_Range="bytes 5-14/99")
        self.wfile.write(b"0" * 10)


@pytest.fixture
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.faults, httpd.requests, httpd.body = [], [], BODY
    httpd.handle_error = lambda *_args: None  # a client that hangs up is what is tested
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/model.safetensors"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def target(tmp_path, models_folder):
    return tmp_path / "model.safetensors"


def drain(steps):
    """Return the progress and the result of a generator."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return seen, end.value


def get(server, target, info=GOOD, **options):
    return drain(fetch(server.url, target, info, pause=0.0, **options))


def test_a_download_arrives_whole_and_leaves_nothing_else(server, target):
    seen, fetched = get(server, target)
    assert target.read_bytes() == BODY
    assert (fetched.sha256, fetched.size, fetched.commit) == (SHA, len(BODY), "c0ffee")
    assert {p.stage for p in seen} == {"download"}
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == len(BODY)
    assert os.listdir(target.parent) == [target.name]


def test_busy_servers_are_asked_again(server, target):
    server.faults = ["busy", "busy"]
    get(server, target)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 3


def test_a_cut_connection_is_resumed_where_it_ended(server, target):
    server.faults = ["half", "busy"]
    get(server, target)
    assert target.read_bytes() == BODY
    assert server.requests[-1][1] == f"bytes={len(BODY) // 2}-"


def test_cancel_keeps_the_part_and_the_next_run_goes_on(server, target):
    steps = fetch(server.url, target, GOOD)
    next(steps)
    steps.close()
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size
    assert not target.exists()
    get(server, target)
    assert target.read_bytes() == BODY
    assert server.requests[-1][1] == f"bytes={have}-"


def test_a_file_that_changed_in_between_is_taken_from_the_start(server, target):
    server.faults = ["half"]
    steps = fetch(server.url, target, FileInfo())
    while next(steps).done < len(BODY) // 2:
        pass
    steps.close()
    server.body = BODY[::-1]
    get(server, target, FileInfo())
    assert target.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("fault", ["not_satisfiable", "elsewhere"])
def test_a_part_that_does_not_fit_is_thrown_away(server, target, fault):
    part = target.with_name(target.name + ".part")
    part.write_bytes(b"x" * 100)
    target.with_name(target.name + ".part.etag").write_text('"old"')
    server.faults = [fault]
    get(server, target)
    assert target.read_bytes() == BODY


def test_without_a_strong_tag_nothing_is_resumed(server, target):
    server.faults = ["half_untagged"]
    get(server, target)
    assert target.read_bytes() == BODY
    assert [r for _, r in server.requests] == [None, None]


@pytest.mark.parametrize("fault", ["wrong", "short", "endless"])
def test_other_bytes_are_refused_and_not_kept(server, target, fault):
    server.faults = [fault] * 9
    info = GOOD if fault != "endless" else FileInfo(None, len(BODY))
    with pytest.raises(WeightsError):
        get(server, target, info)
    assert os.listdir(target.parent) == []


def test_a_server_that_stays_busy_ends_in_one_line(server, target):
    server.faults = ["busy"] * 99
    with pytest.raises(ModelNotFoundError, match=r"HTTP 503 .* goes on where it stopped") as caught:
        get(server, target, tries=3)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 3


def test_a_server_that_stops_talking(server, target):
    server.faults = ["slow"] * 2
    with pytest.raises(ModelNotFoundError, match="no answer in time"):
        get(server, target, tries=2, timeout=0.2)


@pytest.mark.parametrize(("fault", "advice"), [("missing", "name"), ("forbidden", "licence")])
def test_a_plain_no_is_not_repeated(server, target, fault, advice):
    server.faults = [fault] * 9
    with pytest.raises(ModelNotFoundError, match=advice):
        get(server, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["to_file", "to_ftp", "to_plain"])
def test_redirects_lead_nowhere_but_to_https(server, target, fault):
    server.faults = [fault] * 9
    with pytest.raises(ModelNotFoundError, match=r"not fetched from|not allowed"):
        get(server, target)
    assert os.listdir(target.parent) == []


def test_the_hubs_commit_survives_its_redirect(server, target):
    server.faults = ["to_itself"]
    _, fetched = get(server, target)
    assert fetched.commit == "abc123"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://example.org/x", "ftp://example.org/x", "/etc/passwd"]
)
def test_only_https_is_asked(target, url):
    with pytest.raises(ModelNotFoundError, match="Use https"):
        drain(fetch(url, target))


def test_no_server_at_all(target):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    with pytest.raises(ModelNotFoundError, match="download failed"):
        drain(fetch(url, target, tries=2, pause=0.0))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return a function that makes a certificate signed by nobody but itself."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("certificates")

    def make(subject):
        path = folder / "certificate.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        names = ["-subj", "/CN=test", "-addext", f"subjectAltName={subject}"]
        key = folder / "key.pem"
        files = ["-keyout", key, "-out", path]
        subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
        path.write_text(path.read_text() + key.read_text())
        return path

    return make


@pytest.fixture
def tls(server, certificates):
    """Return a function that puts the server behind TLS with a certificate for a name."""

    def start(subject):
        path = certificates(subject)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.url = server.url.replace("http:", "https:")
        return path

    return start


def switch_off_checks(monkeypatch):
    """Do what other programs in the same process have been seen to do."""
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    for name in ("PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "0" if name.startswith("P") else "")
    monkeypatch.setenv("HF_HUB_DISABLE_SSL_VERIFICATION", "1")


@pytest.mark.parametrize("switched_off", [False, True], ids=["as it is", "switched off elsewhere"])
def test_a_certificate_that_nobody_signed_is_refused_at_once(
    server, target, tls, monkeypatch, switched_off
):
    tls("IP:127.0.0.1")
    if switched_off:
        switch_off_checks(monkeypatch)
    with pytest.raises(ModelNotFoundError, match=r"no safe connection: .*self.signed"):
        get(server, target)
    assert server.requests == []
    assert os.listdir(target.parent) == []


def test_a_certificate_that_the_user_trusts_is_taken(server, target, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls("IP:127.0.0.1")))
    get(server, target)
    assert target.read_bytes() == BODY


def test_a_certificate_of_another_host_is_refused(server, target, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls("DNS:example.org")))
    with pytest.raises(ModelNotFoundError, match="no safe connection"):
        get(server, target)
    assert server.requests == []


@pytest.mark.parametrize("fault", ["to_plain", "to_file", "to_plain_here"])
def test_nothing_leads_from_https_to_less(server, target, tls, monkeypatch, fault):
    monkeypatch.setenv("SSL_CERT_FILE", str(tls("IP:127.0.0.1,DNS:localhost")))
    server.faults = [fault] * 9
    with pytest.raises(ModelNotFoundError, match=r"not fetched from|not allowed"):
        get(server, target)
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["NAPARI_DITTO_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_mode_touches_no_socket(server, target, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(ModelNotFoundError, match="offline mode is on"):
        get(server, target)
    assert server.requests == []


def test_a_disk_without_room_is_seen_before_the_download(server, target, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StoreError, match="the disk is full: 5 MB are needed"):
        get(server, target)


def test_a_disk_that_fills_up_on_the_way(server, target, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(StoreError, match="NAPARI_DITTO_MODELS"):
        get(server, target)


def test_a_folder_that_cannot_be_written(server, tmp_path):
    with pytest.raises(StoreError, match="cannot write weights"):
        get(server, tmp_path / "missing" / "model.safetensors")
