"""The SLURM scripts of the docs, tested as text: there is no SLURM here."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from napari_ditto.cli import main

HOWTO = Path(__file__).parents[1] / "docs/howto"
SCRIPT, BATCH = HOWTO / "slurm_run.py", HOWTO / "slurm_run.sbatch"


@pytest.fixture(scope="module")
def script() -> dict:
    """Return what the script defines; it starts nothing when it is imported."""
    return runpy.run_path(str(SCRIPT))


def test_the_jobs_are_as_described(script: dict, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with script["slurm"](tmp_path, "gpu") as cluster:
        text = cluster.job_script()
    for line in ("-p gpu", "--cpus-per-task=1", "--mem=6G", "-t 04:00:00", "--requeue"):
        assert f"\n#SBATCH {line}" in text
    assert f"{sys.executable} -m distributed.cli.dask_worker tls://" in text
    assert "--nthreads 1" in text
    assert "export MALLOC_MMAP_THRESHOLD_=" in text
    keys = re.findall(r"--tls-(?:key|cert|ca-file) (\S+)", text)
    assert len(keys) == 3
    assert all(Path(key).parent == tmp_path for key in keys)


def test_every_name_of_ours_is_there() -> None:
    tree = ast.parse(SCRIPT.read_text())
    used = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    ours = {name.removeprefix("nd.") for name in used if name.startswith("nd.")}
    assert ours == {"load_model", "open_source", "segment_all"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("napari_ditto"):
            module = import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)


def test_every_option_of_ours_is_there() -> None:
    from napari_ditto.engine.everything import segment_all
    from napari_ditto.engine.whole.launch import RunOptions

    call = next(
        node
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "nd.segment_all"
    )
    given = {keyword.arg for keyword in call.keywords}
    assert given <= {*RunOptions.__annotations__, *segment_all.__annotations__}


def test_the_run_asks_dask(
    script: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    asked = {}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["slurm_run.py", "in.zarr", "out.zarr", "--jobs", "3"])
    names = script["main"].__globals__
    monkeypatch.setitem(names, "slurm", lambda *_: Recorder(asked, "cluster"))
    monkeypatch.setitem(names, "Client", lambda _: Recorder(asked, "client"))
    monkeypatch.setitem(names, "nd", Recorder(asked, "nd"))
    monkeypatch.setenv("NAPARI_DITTO_PATIENCE", "1")
    assert script["main"]() == 0
    assert asked["cluster.scale"] == {"jobs": 3}
    assert asked["nd.segment_all"]["resume"] is True
    assert asked["nd.segment_all"]["dask"].name == "client"


class Recorder:
    """Whatever is called on it is written down."""

    def __init__(self, asked: dict, name: str) -> None:
        self.asked, self.name, self.shape = asked, name, (1, 2)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, method: str) -> Callable:
        def note(*_: object, **options: object) -> Recorder:
            self.asked[f"{self.name}.{method}"] = options
            return self

        return note


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_batch_file_is_bash() -> None:
    subprocess.run(["bash", "-n", str(BATCH)], check=True)
    text = BATCH.read_text()
    assert text.startswith("#!/bin/bash\n")
    for option in ("ntasks", "cpus-per-task", "mem-per-cpu", "time", "requeue"):
        assert f"\n#SBATCH --{option}" in text


def test_the_batch_file_calls_what_there_is(capsys: pytest.CaptureFixture) -> None:
    text = BATCH.read_text().replace("\\\n", " ")
    with pytest.raises(SystemExit):
        main(["all", "--help"])
    known = capsys.readouterr().out
    [ours] = re.findall(r"^napari-ditto all .*$", text, re.MULTILINE)
    assert all(option in known for option in re.findall(r"(?<= )--?[a-z]+", ours))
    for command in ("scheduler", "worker"):
        [line] = re.findall(rf" ?dask {command} .*", text)
        told = subprocess.run(
            [sys.executable, "-m", "distributed.cli.dask_" + command, "--help"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert all(option in told for option in re.findall(r"--[a-z-]+", line))
