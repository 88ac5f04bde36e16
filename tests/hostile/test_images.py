"""Bad input through the command line: a right result or one line that helps, never a traceback."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys

import pytest
import tifffile
import zarr

from napari_ditto.cli.program import main
from tests.hostile import images, stores

OK, REFUSED = 0, 2

PEAK = 1 << 30
"""Bytes of memory that all bombs together may take, the program included."""

BOMBS = ("bomb", "bytes", "gigapixel", "laughs", "billion", "endless", "circle")


@contextlib.contextmanager
def file_limit(limit):
    """Let no file grow over a limit, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if limit is None else limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run(argv, limit):
    """Return the exit status of the command."""
    with file_limit(limit):
        try:
            return main(argv)
        except SystemExit as end:  # from argparse
            return end.code


def problem(case, folder, capsys):
    """Return what is wrong with the outcome of a case, empty if nothing is."""
    argv = case.make(folder)
    capsys.readouterr()
    status = run(argv, case.file_limit)
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if line.startswith("napari-ditto: ")]
    if any("Traceback" in line for line in lines) or (folder / "canary").exists():
        return f"it ran code or left a traceback: {lines}"
    if case.expected in (images.RIGHT, images.ANSWERED):
        answered = status == OK or (status == REFUSED and case.expected == images.ANSWERED)
        if not answered or len(told) != (status == REFUSED):
            return f"status {status}: {lines}"
        return wrong_result(folder) if case.expected == images.RIGHT else ""
    if status != REFUSED or len(told) != 1 or lines[-1:] != told:
        return f"status {status}: {lines}"
    return "" if case.expected in told[0] and 20 < len(told[0]) < 500 else f"it says {told[0]!r}"


def wrong_result(folder):
    """Return by how much the label misses the disc."""
    if (folder / "out.zarr").exists():
        found = zarr.open_array(folder / "out.zarr" / "0", mode="r")[:, : images.SHAPE[1]]
    else:
        found = tifffile.imread(folder / "out.tif")
    if found.shape != images.SHAPE:
        return f"labels of shape {found.shape}"
    found = found > 0
    iou = (found & images.TRUTH).sum() / (found | images.TRUTH).sum()
    return "" if iou > 0.9 else f"IoU {iou:.2f}"


def test_every_bad_input_ends_in_a_result_or_one_line(tmp_path, capsys):
    wrong = {}
    for number, (name, case) in enumerate(images.CASES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()

        try:
            found = problem(case, folder, capsys)
        except Exception as error:  # noqa: BLE001 - a corpus that cannot be made is a fault as well
            found = f"a traceback: {error!r}"
        if found:
            wrong[name] = found
    count = len(images.CASES)
    with capsys.disabled():
        print(f"\n{count - len(wrong)} of {count} bad inputs end well")
        for k, v in wrong.items():
            print(k, "->", v)
    assert not wrong
    assert count >= 80


# Not ru_maxrss: it counts what the parent held when it forked.
READER = """
import json, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
from napari_ditto.cli.program import main
statuses = [main(argv) for argv in json.load(sys.stdin)]
status = pathlib.Path("/proc/self/status").read_text().splitlines()
print(json.dumps([statuses, int(dict(s.split(":") for s in status)["VmHWM"].split()[0])]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bombs_do_not_fill_the_memory(tmp_path, capsys):
    argvs = []
    for number, (name, case) in enumerate(images.CASES.items()):
        if any(word in name for word in BOMBS):
            (tmp_path / str(number)).mkdir()
            argvs.append(case.make(tmp_path / str(number)))
    for name, (make, _) in stores.STORES.items():
        if any(word in name for word in BOMBS):
            (tmp_path / name).mkdir()
            path = make(tmp_path / name, tmp_path / "canary")
            argvs.append(["info", str(path), "--model", "classic"])
    done = subprocess.run(
        [sys.executable, "-c", READER], input=json.dumps(argvs), capture_output=True, text=True
    )
    statuses, peak = json.loads(done.stdout.splitlines()[-1])
    with capsys.disabled():
        print(f"\n{len(argvs)} bombs, a peak of {peak / 2**10:.0f} MiB")
    assert "Traceback" not in done.stderr
    assert set(statuses) <= {OK, REFUSED}
    assert len(argvs) >= 20
    assert peak * 2**10 < PEAK
