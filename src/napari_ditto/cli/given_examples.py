"""The options that name examples: images with labels, and sets that were saved."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_ditto.cli import options
from napari_ditto.cli.console import Console
from napari_ditto.errors import LabelsError, ModelError

if TYPE_CHECKING:
    from napari_ditto.core.geometry import PlaneAddress
    from napari_ditto.data.protocols import EmbeddingStore, Source
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.models.protocols import ContextModel

CHOSEN = re.compile(r"(?P<path>.+):(?P<ids>\d+(,\d+)*)$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name examples."""
    files = {"nargs": 2, "action": "append", "default": [], "metavar": ("IMAGE", "LABELS[:IDS]")}
    parser.add_argument(
        "--example",
        help="an image and its labels, all ids or e.g. :3,5; repeatable",
        **files,  # type: ignore[arg-type]
    )
    parser.add_argument(
        "--negative",
        help="an image and labels of what is not meant; repeatable",
        **files,  # type: ignore[arg-type]
    )
    parser.add_argument(
        "--example-plane",
        type=options.indices,
        action="append",
        default=[],
        metavar="AXIS=INDEX",
        help="the plane of the example; none, or one for each --example in their order",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="not every object is labelled in the examples: learn only near the labelled ones",
    )
    parser.add_argument(
        "--sharpen",
        action="store_true",
        help="the labels are rough (strokes, boxes, polygons): outline them first",
    )
    parser.add_argument(
        "--examples", action="append", default=[], metavar="FILE", help="a saved set of examples"
    )


def load_model(args: argparse.Namespace) -> ContextModel:
    """Return the chosen model, which must learn from examples."""
    from napari_ditto.models import registry
    from napari_ditto.models.protocols import ContextModel

    model = registry.load_model(args.model, args.device, args.precision)
    if not isinstance(model, ContextModel):
        raise ModelError(f"{args.model} does not learn from examples", todo="Use --model ditto")
    return model


def read(
    args: argparse.Namespace, model: ContextModel, cache: EmbeddingStore, console: Console
) -> list[PlaneExample]:
    """Return all examples, sharpened if wished; there may be none."""
    from napari_ditto.data.example_file import load_examples
    from napari_ditto.engine.examples import sharpen_steps

    planes = args.example_plane or [{}] * len(args.example)
    if len(planes) != len(args.example):
        raise LabelsError(
            f"{len(planes)} --example-plane for {len(args.example)} --example",
            todo="Give one for each, or none",
        )
    found = [
        replace(_read_example(image, labels, index), partial=args.partial)
        for (image, labels), index in zip(args.example, planes, strict=True)
    ]
    found += [replace(_read_example(i, labels, {}), negative=True) for i, labels in args.negative]
    if args.sharpen:
        found = [console.follow(sharpen_steps(example, model, cache)) for example in found]
    found += [example for path in args.examples for example in load_examples(path).examples]
    return found


def _read_example(image: str, labels: str, index: dict[str, int]) -> PlaneExample:
    from napari_ditto.data.source import open_source
    from napari_ditto.engine.examples import PlaneExample

    chosen = None if Path(labels).exists() else CHOSEN.match(labels)
    path = Path(chosen["path"] if chosen else labels).expanduser()
    ids = tuple(int(i) for i in chosen["ids"].split(",")) if chosen else None
    source = open_source(image)
    address = source.plane(index)
    shown = _read_labels(path, source, address, index)
    return PlaneExample(source, address, shown, name=Path(image).name, ids=ids)


def _check_plane(path: Path, source: Source, index: dict[str, int]) -> None:
    sizes = zip(source.axes[:-2], source.shape[:-2], strict=True)
    missing = [name for name, n in sizes if n > 1 and name not in index]
    if missing:
        raise LabelsError(
            f"it is not said which plane of {source.name} these labels are of",
            where=str(path),
            todo=f"Give --example-plane {','.join(f'{name}=NUMBER' for name in missing)}",
        )


def _read_labels(
    path: Path, source: Source, address: PlaneAddress, index: dict[str, int]
) -> NDArray[Any]:
    """Return labels of a plane from a file of that plane, or of the whole image."""
    from napari_ditto.data.label_planes import read_label_plane, read_label_planes
    from napari_ditto.data.source import open_source

    if not path.exists():
        raise LabelsError("there are no such labels", where=str(path))
    if len(source.axes) == 2:
        return read_label_plane(path)
    if len(open_source(path).shape) == 2:
        _check_plane(path, source, index)
        return read_label_plane(path)
    found = dict(read_label_planes(path, source.axes, source.shape, [address]))
    if address not in found:
        raise LabelsError(f"there is no label in the {address}", where=str(path))
    return found[address]
