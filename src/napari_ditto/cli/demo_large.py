"""Label a slide of 30,000 x 30,000 pixels, kill the process on the way, go on, print the figures.

The slide is put together from real pictures when it is read: islands of tissue on empty glass. A
process of its own labels it with the default model; after a third of the tiles it is killed
(SIGKILL), and another one goes on. Then the labels are compared with the truth, if the pictures
have masks, above all where the seams of tiles cross objects. On one core it takes about half an
hour.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ditto.cli import options
from napari_ditto.cli.console import Console, duration, table
from napari_ditto.cli.demo import fresh
from napari_ditto.cli.demo_large_figures import STRAIGHT
from napari_ditto.errors import DittoError

if TYPE_CHECKING:
    from napari_ditto.cli.demo_large_figures import Quality
    from napari_ditto.cli.demo_large_mosaic import Mosaic
    from napari_ditto.core.run_plan import Plan

CHILD = "napari_ditto.cli.demo_large_child"
MARKER = "made by `napari-ditto demo-large`"

Told = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="folder with images/ and masks/ (ids, same names); default: a picture of scikit-image",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-large-output"),
        help="folder; default: demo-large-output",
    )
    parser.add_argument(
        "--side", type=options.positive, default=30_000, help="pixels; default: 30000"
    )
    parser.add_argument(
        "--cover", type=float, default=0.08, help="part of the slide with tissue; default: 0.08"
    )
    parser.add_argument(
        "--tile", type=options.positive, default=0, metavar="PIXELS", help="side of a tile"
    )
    parser.add_argument("--model", help="see 'models'; default: the default model")
    parser.add_argument(
        "--workers", type=options.positive, default=1, help="tiles at once; default: 1"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    from napari_ditto.cli.demo_large_mosaic import Mosaic, Recipe
    from napari_ditto.engine.whole.run import open_plan
    from napari_ditto.models.names import DEFAULT_MODEL

    images = str(args.images.absolute()) if args.images else ""
    recipe, model = Recipe(args.side, args.cover, images), args.model or DEFAULT_MODEL
    mosaic = Mosaic(recipe)
    folder = fresh(args.output, MARKER)
    write_readme(folder, "It is being made.")
    target = folder / "mosaic.zarr"
    words = [str(target), recipe.to_json(), model, str(args.workers), str(args.tile)]
    told = [_followed(words, console, killed=first) for first in (True, False)]
    console.note("comparing the labels with the truth")
    document = report(folder, mosaic, open_plan(target), told[0], told[1], model)
    text = table(list(document["figures"].items()))
    console.result({"output": folder, **document}, f"\n{text}\n\nLook at {folder.absolute()}")
    return 0


# --- the two processes -------------------------------------------------------------------------


def _followed(words: Sequence[str], console: Console, *, killed: bool) -> list[Told]:
    """Let one process work, the first one until it is killed. Return the lines that it wrote."""
    console.note("labelling" if killed else "killed; another process goes on")
    command = [sys.executable, "-m", CHILD, *words]
    # S603: this Python, our module.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603
        try:
            told = list(_lines(child, console, killed=killed))
        finally:
            # The only end that a process cannot prepare for: no handler, no flush, no clean-up.
            child.kill()
    if not killed and (not told or told[-1]["event"] != "end"):
        raise DittoError("the process that labels has failed", todo="See what it says above")
    return told


def _lines(child: subprocess.Popen[str], console: Console, *, killed: bool) -> Iterator[Told]:
    """Yield what a process says; of one to be killed only until a third of the tiles are done."""
    done, tiles = 0, 0
    for line in child.stdout or ():
        told = json.loads(line)
        yield told
        tiles = told.get("tiles", tiles)
        if told["event"] == "tile":
            done += 1
            if done % 10 == 0:
                console.note(told["text"])
            if killed and done >= max(1, tiles // 3):
                return


# --- the report --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Work:
    """What both processes have measured together.

    Attributes
    ----------
    seconds, cpu : float
        Without starting Python and loading the model.
    model_seconds, model_cpu : mapping of str to float
        By call; 1 thread each.
    drawing_cpu : float
        For putting the mosaic together, which a stored image would not need.
    """

    seconds: float
    cpu: float
    model_seconds: Mapping[str, float]
    model_cpu: Mapping[str, float]
    drawing_cpu: float

    @classmethod
    def of(cls, ends: Sequence[Told]) -> Work:
        """Add up the last lines of the processes."""
        calls = {name for end in ends for name in end["model_seconds"]}

        def added(key: str) -> dict[str, float]:
            return {name: sum(end[key].get(name, 0.0) for end in ends) for name in sorted(calls)}

        return cls(
            sum(end["seconds"] for end in ends),
            sum(end["cpu"] for end in ends),
            added("model_seconds"),
            added("model_cpu"),
            sum(end["drawing_cpu"] for end in ends),
        )

    def outside(self) -> tuple[float, float]:
        """Return the share of the processor's time outside of the model, and of the encoder."""
        own = self.cpu - self.drawing_cpu
        return 1 - sum(self.model_cpu.values()) / own, 1 - self.model_cpu.get("encode", 0.0) / own


def report(
    folder: Path, mosaic: Mosaic, plan: Plan, first: list[Told], second: list[Told], model: str
) -> Told:
    """Write figures and pictures; return all that was measured."""
    from napari_ditto.cli import demo_large_pictures as pictures
    from napari_ditto.cli.demo_large_figures import lines_beside, meetings, quality, seams, straight
    from napari_ditto.cli.pictures import save
    from napari_ditto.data.pyramid_labels import PyramidLabels

    levels = PyramidLabels.open(folder / "mosaic.zarr").levels
    met = meetings(levels[0], mosaic, plan)
    found = quality(met, plan) if mosaic.pictures.masks is not None else None
    beside = [straight(levels[0], lines) for lines in lines_beside(plan)]
    cuts = (straight(levels[0], seams(plan)), sum(beside) / len(beside))
    save(folder / "overview.png", pictures.overview(levels, mosaic, plan))
    crops = pictures.seam_crops(levels[0], mosaic, plan, met)
    for number, crop in enumerate(crops, 1):
        save(folder / f"seam-{number}.png", crop)
    if crops:
        save(folder / "seams.png", pictures.sheet(crops))
    work = Work.of([first[-1], second[-1]])
    figures = figure_rows(mosaic, first[-1], second, work, found, cuts, sizes(folder))
    document = {
        "model": model,
        "recipe": asdict(mosaic.recipe),
        "pictures": len(mosaic.pictures.names),
        "work": asdict(work),
        "quality": None if found is None else asdict(found),
        "straight_edges": {"on_seams": cuts[0], "elsewhere": beside},
        "ends": [first[-1], second[-1]],
        "figures": figures,
    }
    (folder / "figures.json").write_text(json.dumps(document, indent=2) + "\n")
    write_readme(folder, f"```text\n{table(list(figures.items()))}\n```")
    return document


def figure_rows(
    mosaic: Mosaic,
    killed: Told,
    second: list[Told],
    work: Work,
    found: Quality | None,
    cuts: tuple[int, float],
    disk: tuple[int, int],
) -> dict[str, str]:
    """Return the figures for people."""
    end, side = second[-1], mosaic.recipe.side
    covered = float((mosaic.shown >= 0).sum()) * mosaic.pictures.pixels[0].size
    outside, besides_encoder = work.outside()
    reads = [told["reads"] for told in (killed, end)]
    peaks = [told["peak"] for told in (killed, end) if told["peak"]]
    rows = {
        "slide": f"{side} x {side} pixels, {covered / side**2:.1%} tissue, "
        f"of {len(mosaic.pictures.names)} pictures",
        "tiles": f"{end['tiles']}, {end['skipped']} of them empty",
        "killed, and gone on with": f"{end['reused']} tiles were there, {end['done']} were done",
        "failed tiles": f"{end['failed']}",
        "labels": f"{end['objects']}",
        "time": f"{duration(work.seconds)} ({duration(work.cpu)} of one core)",
        "speed, per second of one core": f"{side**2 / work.cpu / 1e6:.2f} Mpx of slide, "
        f"{covered / work.cpu / 1e6:.3f} Mpx of tissue",
        "outside of the model": f"{outside:.1%} of the processor's time",
        "outside of the encoder": f"{besides_encoder:.1%}",
        "most memory": ", ".join(f"{peak / 1e6:.0f} MB" for peak in peaks),
        "reads per chunk of the image": ", ".join(f"{all_ / max(1, n):.3f}" for all_, n in reads),
        "disk": f"{disk[0] / 1e6:.1f} MB of labels, {disk[1] / 1e6:.1f} MB of records",
        f"straight edges of {STRAIGHT} px or more": f"{cuts[0]} on seams, "
        f"{cuts[1]:.1f} on lines beside them",
    }
    return rows | ({} if found is None else _quality_rows(found))


def _quality_rows(found: Quality) -> dict[str, str]:
    groups = {
        "that a seam crosses": found.crossed,
        "that a line beside the seams crosses": found.beside,
        "in all": found.every,
    }

    def of(name: str) -> str:
        told = ((getattr(group, name), group.objects, where) for where, group in groups.items())
        return ", ".join(f"{n} of {of} {where} ({n / max(1, of):.1%})" for n, of, where in told)

    return {
        "F1 at IoU 0.5": f"{found.f1:.3f}",
        "found, IoU 0.5": of("found"),
        "in pieces, or twice": of("pieces"),
        "merged with another": of("merged"),
    }


def sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of the labels, and of the records of the run beside them."""
    from napari_ditto.data.run_folder import FOLDER

    files = [p for p in (folder / "mosaic.zarr").rglob("*") if p.is_file()]
    records = sum(p.stat().st_size for p in files if FOLDER in p.parts)
    return sum(p.stat().st_size for p in files) - records, records


def write_readme(folder: Path, text: str) -> None:
    """Say what each file is."""
    (folder / "README.md").write_text(
        f"""# What is here

This folder was {MARKER}; the next one replaces it.

| file | what |
|---|---|
| `mosaic.zarr` | the labels, OME-Zarr with a pyramid; the records of the run are inside |
| `overview.png` | the whole slide; dashed lines are the seams between tiles |
| `seams.png`, `seam-*.png` | places where seams cross objects, at full resolution |
| `figures.json` | the figures below, and more |

{text}
"""
    )
