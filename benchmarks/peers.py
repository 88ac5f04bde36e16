"""Other people's programs to race against: there or not, and never needed.

`make bench` puts those that it can get into `.peers/`, without their own requirements. They are
the group "peers" of pyproject.toml.
"""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".peers"
NEEDED = {
    "torchvision": (),
    "torchvision.ops": (),
    "torchvision.ops.boxes": ("batched_nms", "box_area"),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": ("resize", "to_pil_image"),
}
"""What `segment_anything` imports of torchvision, for parts that are not raced."""


def segment_anything() -> types.ModuleType | None:
    """Return Meta's own package with the networks of SAM; None, said in one line, without it."""
    if FOLDER.is_dir() and str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    if find_spec("segment_anything") is None:
        print("\nno peer: segment-anything is not installed; `make .peers` fetches it")
        return None
    with without_torchvision():
        return import_module("segment_anything")


@contextmanager
def without_torchvision():
    """Let a package be imported that imports torchvision for what is not called here."""
    if find_spec("torchvision") is not None:
        yield
        return
    try:
        for name, members in NEEDED.items():
            module = sys.modules[name] = types.ModuleType(name)
            for member in members:
                setattr(module, member, None)
        yield
    finally:
        for name in NEEDED:
            del sys.modules[name]
