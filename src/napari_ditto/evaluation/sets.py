"""What is evaluated on: the named sets of this project, or any folder of images and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EvalSet:
    """Images with masks, and how the masks are to be read.

    Attributes
    ----------
    name : str
        For tables and file names.
    images, masks : Path
        Folders; a mask has its image's stem. A mask of three axes is a stack of planes.
    pair : (str, str) or None
        File names of the only image and its mask, where their stems differ.
    semantic : bool
        Mask values are classes; otherwise they are objects.
    target : int or None
        The class that counts; None for all.
    merged : bool
        In semantic evaluation all mask values are one class.
    largest : bool
        Only the largest component of each image is an object.
    nested : bool
        Each object lies inside another labelled one, so a click is ambiguous.
    exhaustive : bool
        Every object of any kind is labelled, so "segment everything" can be scored.
    planes : int
        Every how many-th plane of a stack is read.
    tone : {"any", "dark", "bright"}
        Dark is grey with a mean of at most 100 of 255, bright is all the rest.
    bands : tuple of int, or None
        Channels shown as red, green, blue; the first three by default.
    ignore : int or None
        Mask value of pixels that are not scored.
    shrink : int
        In semantic evaluation images are reduced so many times first.
    side : int
        In semantic evaluation images are cut into tiles of at most this side.
    """

    name: str
    images: Path
    masks: Path
    pair: tuple[str, str] | None = None
    semantic: bool = False
    target: int | None = None
    merged: bool = False
    largest: bool = False
    nested: bool = False
    exhaustive: bool = False
    planes: int = 1
    tone: Literal["any", "dark", "bright"] = "any"
    bands: tuple[int, ...] | None = None
    ignore: int | None = None
    shrink: int = 1
    side: int = 512


def folder_set(
    folder: Path | None,
    images: Path | None = None,
    masks: Path | None = None,
    *,
    semantic: bool = False,
    target: int | None = None,
    ignore: int | None = None,
) -> EvalSet:
    """Return the set of a user's folder ``images/`` and ``masks/``, or of two given folders."""
    base = folder or Path()
    name = (folder or images or base).resolve().name
    return EvalSet(
        name,
        images or base / "images",
        masks or base / "masks",
        semantic=semantic,
        target=target,
        exhaustive=not semantic,
        ignore=ignore,
    )


def prompt_sets(root: Path) -> dict[str, EvalSet]:
    """Return the named sets for prompts; `root` holds a folder per data set."""
    mito = ("raw_stack.tif", "mito_instances_3dcc.tif")
    found = (
        _named(root, "dsb_fluo", "dsb2018", tone="dark", exhaustive=True),
        _named(root, "dsb_bright", "dsb2018", tone="bright", exhaustive=True),
        _named(root, "usiigaci_phase", exhaustive=True),
        _named(root, "sstem_mito", "sstem_vnc", pair=mito, planes=4),
        _named(root, "oam_buildings_fair"),
        _named(root, "sunnybrook_cmr", semantic=True),
        _named(root, "wbc_nucleus", "wbc", semantic=True, target=2, largest=True, nested=True),
    )
    return {one.name: one for one in found}


def semantic_sets(root: Path) -> dict[str, EvalSet]:
    """Return the named sets for examples of classes: "the seven", and cytoplasm beside nuclei."""
    mito = ("raw_stack.tif", "mito_instances_3dcc.tif")
    chip = ("S2.tif", "S2.tif")
    infrared = (7, 3, 2)  # near infrared, red, green: water is dark in the first
    found = (
        _semantic(root, "wbc_nucleus", "wbc", target=2),
        _semantic(root, "wbc_cytoplasm", "wbc", target=1),
        _semantic(root, "sunnybrook_cmr"),
        _semantic(root, "sstem_mito", "sstem_vnc", pair=mito, merged=True, planes=4),
        _semantic(root, "fives_vessels", shrink=2),
        _semantic(root, "massachusetts_roads"),
        _semantic(root, "detectree_canopy"),
        _semantic(
            root,
            "sen1floods11",
            "sen1floods11_sample",
            pair=chip,
            bands=infrared,
            ignore=65535,
            side=128,
        ),
    )
    return {one.name: one for one in found}


def _named(root: Path, name: str, folder: str = "", **how: object) -> EvalSet:
    base = root / (folder or name)
    return EvalSet(name, base / "images", base / "masks", **how)  # type: ignore[arg-type]


def _semantic(root: Path, name: str, folder: str = "", **how: object) -> EvalSet:
    return _named(root, name, folder, semantic=True, **how)
