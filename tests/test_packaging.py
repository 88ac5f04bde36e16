"""What a user installs: the wheel, the sdist, and the manifest in both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MANIFEST = "napari_ditto/napari.yaml"
DITTO = "napari_ditto/models/ditto"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def run(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"napari_ditto-{VERSION}-py3-none-any.whl")


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own, without its requirements."""
    target = tmp_path_factory.mktemp("installed")
    wheel = str(next(dist.glob("*.whl")))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", str(target), wheel)
    return target


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert top == {"napari_ditto", f"napari_ditto-{VERSION}.dist-info"}
    assert "napari_ditto/py.typed" in wheel.namelist()


def test_the_wheel_brings_the_default_model(wheel: zipfile.ZipFile) -> None:
    weights = wheel.read(f"{DITTO}/weights.safetensors")
    card = json.loads(wheel.read(f"{DITTO}/weights.json"))
    assert len(weights) <= 8_000_000
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    notice = wheel.read(f"{DITTO}/NOTICE").decode()
    assert all(name in notice for name in ("FIB-25", "CC BY 3.0", "BSD-3-Clause", "Apache-2.0"))


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    megabytes = sum(entry.compress_size for entry in wheel.infolist()) / 1e6
    print(f"wheel: {megabytes:.2f} MB")
    assert megabytes < 10, "the weights may take 8 MB of it"


def test_the_wheel_has_the_manifest_as_a_regular_file(wheel: zipfile.ZipFile) -> None:
    kind = wheel.getinfo(MANIFEST).external_attr >> 16 & 0o170000
    assert kind == 0o100000
    assert wheel.read(MANIFEST) == (ROOT / "src" / MANIFEST).read_bytes()


def test_the_sdist_can_be_built_and_tested(dist: Path) -> None:
    with tarfile.open(dist / f"napari_ditto-{VERSION}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "Makefile",
        "constraints.txt",
        "LICENSE",
        "README.md",
        "napari.yaml",
        "pyproject.toml",
    }
    wanted |= {f"src/{MANIFEST}", "tests/test_packaging.py", "scripts/run_tests.py"}
    assert wanted <= names


def test_the_manifest_on_top_is_a_link_to_the_packaged_one() -> None:
    top = ROOT / "napari.yaml"
    if not top.is_symlink():
        pytest.skip("this checkout has no symbolic links")
    assert os.readlink(top) == f"src/{MANIFEST}"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_keeps_the_manifest_on_top_as_a_link() -> None:
    assert run("git", "ls-files", "-s", "napari.yaml").startswith("120000 ")


FIND = """
import hashlib
import json
from npe2 import PluginManifest
from importlib.metadata import distribution
manifest = PluginManifest.from_distribution("napari-ditto")
print(json.dumps([manifest.name, manifest.display_name, str(distribution("napari-ditto")._path)]))
"""


def test_napari_finds_the_plugin_in_an_installed_wheel(installed: Path) -> None:
    found = run(sys.executable, "-c", FIND, env={"PYTHONPATH": str(installed)})
    name, title, place = json.loads(found)
    assert (name, title) == ("napari-ditto", "Ditto")
    assert Path(place).is_relative_to(installed)


def test_napari_finds_the_plugin_in_an_editable_install(installed: Path) -> None:
    name, title, place = json.loads(run(sys.executable, "-c", FIND))
    assert (name, title) == ("napari-ditto", "Ditto")
    assert not Path(place).is_relative_to(installed)


def test_the_installed_command_runs_from_the_wheel(installed: Path) -> None:
    env = {"PYTHONPATH": str(installed)}
    where = run(sys.executable, "-c", "import napari_ditto; print(napari_ditto.__file__)", env=env)
    assert Path(where.strip()).is_relative_to(installed)
    said = run(sys.executable, "-m", "napari_ditto.cli", "--version", env=env)
    assert said.strip() == f"napari-ditto {VERSION}"


def test_the_manifest_is_valid_and_every_command_can_be_imported() -> None:
    npe2 = shutil.which("npe2", path=os.path.dirname(sys.executable))
    assert npe2 is not None
    run(npe2, "validate", "napari-ditto", "--imports", env={"QT_QPA_PLATFORM": "offscreen"})


def test_versions_agree() -> None:
    import napari_ditto

    assert napari_ditto.__version__ == VERSION
