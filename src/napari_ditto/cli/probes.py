"""What doctor asks in processes of their own, so that a crash there is only an answer.

Each probe is a program that prints one JSON object. A broken OpenGL driver ends its process with a
signal, and a torchvision of the wrong build fails while torch loads it; neither may end doctor.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

TIMEOUT_SECONDS = 120

TORCH = """
import json, torch
mps = getattr(torch.backends, "mps", None)
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
mps_ready = bool(mps and mps.is_available())
print(json.dumps({"cuda": names, "mps": mps_ready, "threads": torch.get_num_threads()}))
"""

TRANSFORMERS = """
import json
from transformers import SamModel, SamHQModel, Sam2Model
print(json.dumps({}))
"""

TORCHVISION = """
import json, torchvision
print(json.dumps({}))
"""

QT = """
import json
from qtpy import QtWidgets, API_NAME, QT_VERSION
print(json.dumps({"binding": API_NAME, "qt": QT_VERSION}))
"""

OPENGL = """
import json
from qtpy import API_NAME
from vispy import app, gloo
app.use_app(API_NAME.lower())
canvas = app.Canvas(size=(16, 16), show=False)
canvas.set_current()
read = gloo.gl.glGetParameter
print(json.dumps({"version": read(gloo.gl.GL_VERSION), "renderer": read(gloo.gl.GL_RENDERER)}))
"""


@dataclass(frozen=True)
class Answer:
    """What a probe found.

    Attributes
    ----------
    facts : dict
        What it printed; empty if it failed.
    fault : str
        Why it failed, one line; empty if it did not.
    """

    facts: dict[str, object] = field(default_factory=dict)
    fault: str = ""


def start(program: str) -> subprocess.Popen[str]:
    """Start a probe away from the current folder, which may shadow a package."""
    return subprocess.Popen(  # noqa: S603 - our own program in our own interpreter
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(sys.prefix),
    )


def finish(process: subprocess.Popen[str]) -> Answer:
    """Wait for a probe and read its answer."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Answer(fault=f"no answer within {TIMEOUT_SECONDS} s")
    if process.returncode == 0 and out.strip():
        return Answer(json.loads(out.strip().splitlines()[-1]))
    if process.returncode < 0:
        return Answer(fault=f"crashed with signal {-process.returncode}")
    said = err.strip().splitlines()
    return Answer(fault=said[-1] if said else f"ended with status {process.returncode}")


def ask_all(programs: dict[str, str]) -> dict[str, Answer]:
    """Run several probes side by side."""
    running = {name: start(program) for name, program in programs.items()}
    return {name: finish(process) for name, process in running.items()}
