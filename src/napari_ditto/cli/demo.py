"""Label real images, print the figures, and say where to look.

Two pictures that come with scikit-image are labelled by clicks and boxes, one of them whole. Coins
are found after one coin, and the nuclei of one plane are followed through a generated stack. A
generated raster of 60,000 x 60,000 pixels, which exists only chunk by chunk, gets one click. The
default model does it first, then `classic` what needs no example, for comparison. With a display
napari opens on the results of the default model.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from napari_ditto.cli import demo_window
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.cli.demo_examples import DemoModel, Found, by_example
from napari_ditto.cli.demo_scenes import SCENES, Figures, click_on_raster, label_scene
from napari_ditto.errors import StoreError

MARKER = "made by `napari-ditto demo`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="folder; default: demo-output"
    )
    parser.add_argument("--no-window", action="store_true", help="do not open napari")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.models.names import DEFAULT_MODEL, FALLBACK_MODEL
    from napari_ditto.models.registry import load_model

    folder = fresh(args.output)
    figures = label_all(DEFAULT_MODEL, folder, console)
    found = by_example(cast("DemoModel", load_model(DEFAULT_MODEL)), folder, console)
    figures += label_all(FALLBACK_MODEL, folder / FALLBACK_MODEL, console)
    tables = f"{figures_table(figures)}\n\n{found_table(found)}"
    document = {
        "figures": [asdict(f) for f in figures],
        "by_example": [asdict(f) for f in found],
    }
    write_report(folder, {"model": DEFAULT_MODEL, **document}, tables, FALLBACK_MODEL)
    console.result({"output": folder, **document}, f"\n{tables}\n\nLook at {folder.absolute()}")
    if not args.no_window and not console.json:
        demo_window.show(folder, SCENES, console)
    return 0


def label_all(name: str, folder: Path, console: Console) -> list[Figures]:
    """Label every image with one model, write the results, and return what was measured."""
    from napari_ditto.models.registry import load_model

    folder.mkdir(exist_ok=True)
    model = load_model(name)
    figures = []
    for scene in SCENES:
        console.note(f"{name}: labelling {scene.name}")
        figures.append(label_scene(scene, model, folder, console))
    console.note(f"{name}: clicking on a raster of 60,000 x 60,000 pixels")
    return [*figures, click_on_raster(model, folder, console)]


def fresh(folder: Path, marker: str = MARKER) -> Path:
    """Return an empty folder; only one whose README.md says who has made it is emptied."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "README.md").exists() or marker not in (folder / "README.md").read_text():
            raise StoreError(
                "the folder is not empty", where=str(folder), todo="Choose another with --output"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def figures_table(figures: Sequence[Figures]) -> str:
    """Return the figures for a person."""
    head = (
        "model",
        "image",
        "first mask",
        "next prompt",
        "encoder calls",
        "prompted",
        "everything",
        "objects",
        "pixels read",
        "IoU with truth",
    )
    return table([[_cell(value) for value in row(f)] for f in figures], head)


def row(figures: Figures) -> tuple[object, ...]:
    """Return the cells of one image."""
    return (
        figures.model,
        figures.image,
        duration(figures.first_mask),
        duration(figures.second_prompt),
        figures.encoder_calls,
        figures.prompted,
        None if figures.everything is None else duration(figures.everything),
        figures.found,
        figures.pixels_read,
        None if figures.iou is None else f"{figures.iou:.2f}",
    )


def found_table(found: Sequence[Found]) -> str:
    """Return what was done by example for a person."""
    head = ("model", "image", "given", "objects", "time", "IoU with truth")
    rows = [
        (
            *(f.model, f.image, f.shown, f.objects, duration(f.seconds)),
            "-" if f.iou is None else f"{f.iou:.2f}",
        )
        for f in found
    ]
    return table(rows, head)


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def write_report(folder: Path, document: Mapping[str, object], tables: str, other: str) -> None:
    """Write the figures, and what each file is; the other model's are in a folder of its own."""
    (folder / "figures.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "README.md").write_text(
        f"""# What is here

This folder was {MARKER} with the model `{document["model"]}`; the next demo replaces it.

| file | what |
|---|---|
| `*-prompts.png` | objects labelled by clicks and boxes; dots are clicks (red: not here) |
| `*-prompts.zarr` | the same labels, OME-Zarr |
| `coins-everything.png`, `.zarr` | the whole picture, prompted by the model itself |
| `coins-like.png`, `.zarr` | the coins found after one of them, which was clicked |
| `stack-follow.png`, `.zarr` | planes of a stack, nuclei followed both ways from one plane |
| `raster-prompts.png` | two objects of a raster of 60,000 x 60,000 pixels |
| `{other}/` | the same by the model `{other}` |
| `figures.json` | the figures below |

```text
{tables}
```

`napari coins-everything.zarr` opens it as an image; right-click the layer, Convert to Labels.

"""
    )
