"""Consent, the lock file, the hub's cache, and one whole download of a hub repository."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_ditto.errors import ModelNotFoundError, StoreError, WeightsError
from napari_ditto.models import weights
from napari_ditto.models.manifest import FileInfo, find, manifest
from napari_ditto.models.registry import available_models, load_model
from napari_ditto.models.weights import LOCK, download, folder_of, locate, read_lock, remove

REPO = "someone/tiny-sam"


class Hub(SimpleHTTPRequestHandler):
    """Serves ``/owner/name/resolve/<revision>/<file>`` as the hub does, from one folder."""

    def do_GET(self):
        self.server.asked.append(self.path)
        self.path = "/" + self.path.rsplit("/", 1)[1]
        super().do_GET()

    def end_headers(self):
        self.send_header("X-Repo-Commit", "0123456789abcdef")
        super().end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def hub(checkpoints, models_folder, monkeypatch):
    handler = partial(Hub, directory=str(checkpoints.sam))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.asked = []
    httpd.handle_error = lambda *_args: None
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{httpd.server_port}")
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def drain(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_nothing_is_fetched_without_consent(hub):
    entry = find("sam", REPO)
    for agree in (False, lambda _entry: False):
        with pytest.raises(ModelNotFoundError, match=f"models get sam:{REPO}"):
            drain(download(entry, agree=agree))
    with pytest.raises(ModelNotFoundError, match=f"models get sam:{REPO}"):
        load_model(f"sam:{REPO}")
    assert hub.asked == []


def test_a_hub_repository_is_fetched_pinned_locked_and_loaded(hub, tile):
    entry = find("sam", REPO)
    shown = []
    found = drain(download(entry, agree=lambda e: shown.append(e.id) or True))
    assert shown == [f"sam:{REPO}"]
    # the branch is pinned at the first file, so that all files are of one commit
    assert [p.split("/")[4] for p in hub.asked] == ["main", *["0123456789abcdef"] * 2]
    lock = json.loads((found.path / LOCK).read_text())
    assert lock["revision"] == "0123456789abcdef"
    assert set(lock["files"]) == {"config.json", "model.safetensors"}
    assert not lock["files"]["model.safetensors"]["published"]
    model = load_model(f"sam:{REPO}", device="cpu")
    expected = hashlib.sha256((found.path / "model.safetensors").read_bytes()).hexdigest()
    assert model.spec.weights_sha256 == lock["files"]["model.safetensors"]["sha256"] == expected
    assert len(model.encode(tile(32, 32)[None])) == 1


def test_a_second_download_asks_nobody(hub):
    entry = find("sam", REPO)
    drain(download(entry, agree=True))
    asked = len(hub.asked)
    assert drain(download(entry)) == locate(entry)
    assert len(hub.asked) == asked


def test_an_interrupted_download_keeps_the_finished_files(hub):
    entry = find("sam", REPO)
    steps = download(entry, agree=True)
    while not (folder_of(entry) / "config.json").is_file():
        next(steps)
    steps.close()
    assert set(read_lock(folder_of(entry))) <= {"config.json"}
    drain(download(entry, agree=True))
    assert sum("config.json" in p for p in hub.asked) <= 3


def test_the_first_download_binds_later_loads(hub):
    entry = find("sam", REPO)
    found = drain(download(entry, agree=True))
    config = found.path / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(WeightsError, match="first fetched"):
        load_model(f"sam:{REPO}")
    assert remove(entry) > 0
    assert not found.path.exists()
    assert locate(entry) is None


def test_a_published_hash_binds_the_download(hub):
    entry = find("sam", REPO)
    files = {**entry.files, "model.safetensors": FileInfo("f" * 64)}
    with pytest.raises(WeightsError, match="not the published one"):
        drain(download(replace(entry, files=files), agree=True))
    assert locate(entry) is None


def test_weights_in_the_hub_cache_are_used(checkpoints, tmp_path, models_folder):
    """As huggingface_hub lays it out: links from the snapshot to the blobs of the repository."""
    repo = tmp_path / "hf" / "hub" / "models--someone--tiny-sam"
    snapshot = repo / "snapshots" / "c1"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("c1")
    for name in ("config.json", "model.safetensors"):
        (repo / "blobs").mkdir(exist_ok=True)
        shutil.copy(checkpoints.sam / name, repo / "blobs" / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    assert load_model(f"sam:{REPO}", device="cpu").spec.family == "sam"
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(checkpoints.sam / "model.safetensors")
    with pytest.raises(WeightsError, match="leads out of its folder"):
        load_model(f"sam:{REPO}", device="cpu")


def test_a_folder_that_cannot_be_made(hub, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="NAPARI_DITTO_MODELS"):
        drain(download(find("sam", REPO), agree=True))


def test_every_known_model_is_described_and_none_is_here(models_folder):
    listed = {m.id: m for m in available_models()}
    assert listed["classic"].installed
    for name, entry in manifest().items():
        assert name.startswith(f"{entry.family}:")
        assert find(entry.family, name.split(":", 1)[1]) == entry
        assert entry.source.startswith("https://")
        assert entry.size > 0
        assert entry.licence
        assert entry.citation
        assert not listed[name].installed
        for info in entry.files.values():
            assert info.sha256 is None or len(bytes.fromhex(info.sha256)) == 32
    assert listed["sam:vit_b"].hash_known
    assert not listed["sam:facebook/sam-vit-base"].hash_known


def test_no_two_models_share_a_folder(models_folder):
    folders = [folder_of(e) for e in manifest().values()]
    assert len(set(folders)) == len(folders)
    assert all(f.is_relative_to(weights.models_dir()) for f in folders)


@pytest.mark.parametrize("name", ["../../etc", "a/../b", "a/b/c", "", "a b/c"])
def test_names_that_are_no_repository(name, models_folder):
    entry = find("sam", name)
    assert entry is None or folder_of(entry).parent == weights.models_dir() / "sam"
