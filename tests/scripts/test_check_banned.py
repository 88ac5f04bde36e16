"""The check of banned calls sees each of them, and lets the safe forms pass."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_banned.py"
main = runpy.run_path(str(SCRIPT))["main"]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "from pickle import PicklingError, Unpickler",
        "import dill, os",
        "numpy.load(path, allow_pickle=True)",
        "requests.get(url, verify=False)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "loader(path, weights_only=False)",
        "ssl._create_unverified_context()",
        "tarfile.open(path).extractall(folder)",
        "shutil.unpack_archive(path)",
        "eval(text)",
        "exec(text)",
        "import zipfile",
        "from zipfile import ZipFile",
        "from shutil import unpack_archive",
        "from tarfile import open",
        "tarfile.open(path).extractall",
        "ssl._create_default_https_context = make",
        "from ssl import _create_unverified_context as make",
        "context.verify_mode = ssl.CERT_NONE",
        "context.verify_mode = 0",
        "context.check_hostname = False",
        "make(check_hostname=False)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
        "from os import system",
        "os.popen(line)",
        "tempfile.mktemp()",
        "torch.jit.load(path)",
        "torch.hub.load(name)",
        "numpy.load(path, None, True)",
        "getattr(ssl, '_create_unverified_context')()",
    ],
)
def test_a_banned_line_is_found(line: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(f"x = 1\n{line}\n")
    assert main([str(bad)]) == 1
    assert f"{bad}:2: banned: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, weights_only=True)",
        "from pickle import UnpicklingError",
        "numpy.load(path, allow_pickle=False)",
        "network.eval()",
        "np.load(path, mmap_mode='r')",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.safe_load(text)",
        "tempfile.mkstemp()",
        "subprocess.run(words, shell=False)",
        "context.check_hostname = True",
        "ssl.create_default_context()",
        "from zipfile import BadZipFileError",
        "# pickle.load(path)",
        "'torch.load(path)'",
    ],
)
def test_a_safe_line_passes(line: str, tmp_path: Path) -> None:
    good = tmp_path / "good.py"
    good.write_text(line)
    assert main([str(good)]) == 0


def test_the_package_is_clean() -> None:
    assert main([]) == 0
