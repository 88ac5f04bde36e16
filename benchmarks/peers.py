"""Other people's programs to race against: there or not, and never needed.

`make bench` puts those that it can get into `.peers/`, without their own requirements. They are
the group "peers" of pyproject.toml.
"""

from __future__ import annotations

import sys
import types
import warnings
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / ".peers"


def package(name: str) -> Any:
    """Return a module of a peer; None, said in one line, where the peer is not there."""
    if FOLDER.is_dir() and str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    if find_spec(name.partition(".")[0]) is None:
        print(f"\nno peer: {name.partition('.')[0]} is not installed; `make .peers` fetches it")
        return None
    try:
        with without_torchvision(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs
            return import_module(name)
    except ImportError as error:
        print(f"\nno peer: {name} cannot be imported: {error}")
        return None


@contextmanager
def without_torchvision():
    """Let packages be imported that import torchvision for what is not raced, and to resize."""
    if find_spec("torchvision") is not None:
        yield
        return
    from PIL import Image

    def resize(image, shape):
        return image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)

    needed = {
        "torchvision": {},
        "torchvision.ops": {},
        "torchvision.ops.boxes": {"batched_nms": None, "box_area": None},
        "torchvision.transforms": {},
        "torchvision.transforms.functional": {"resize": resize, "to_pil_image": Image.fromarray},
    }
    try:
        for name, members in needed.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(members)
        yield
    finally:
        for name in needed:
            sys.modules.pop(name, None)


def segment_anything() -> Any:
    """Return Meta's own package with the networks of SAM."""
    return package("segment_anything")


class MicroSam:
    """What micro-sam does with a network: embeddings ahead, then one prompt after the other."""

    def __init__(self, network: Any) -> None:
        self.util = package("micro_sam.util")
        self.prompts = package("micro_sam.prompt_based_segmentation")
        self.predictor = package("segment_anything").SamPredictor(network)
        self.predictor.model_type = self.predictor.model_name = "vit_b"

    def encode(self, pixels):
        """Return embeddings of an image, or of a stack of them, uint8."""
        return self.util.precompute_image_embeddings(
            self.predictor, pixels, ndim=pixels.ndim, verbose=False
        )

    def click(self, embeddings, points):
        """Return the mask of clicks of which the first is positive, (n, 2) as (row, column)."""
        import numpy as np

        labels = np.array([1] + [0] * (len(points) - 1))
        return self.prompts.segment_from_points(self.predictor, points, labels, embeddings)

    def carry(self, embeddings, plane, masks):
        """Return what each mask becomes in a plane."""
        ask = self.prompts.segment_from_mask
        return [ask(self.predictor, mask, embeddings, plane) for mask in masks]


def micro_sam(network: Any) -> MicroSam | None:
    """Return micro-sam with Meta's network, None without either."""
    if network is None or package("micro_sam.util") is None:
        return None
    return MicroSam(network)
