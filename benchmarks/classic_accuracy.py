"""IoU of `classic` with one point and with one box, next to Otsu and an inscribed ellipse.

``python benchmarks/classic_accuracy.py [--max-objects N]`` reads the evaluation images in
``../shared/data/eval``, prints a table and writes ``docs/explain/classic-accuracy.md``. Every
method gets the same prompts. Nothing was tuned on these images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile  # noqa: TID253
from scipy import ndimage as ndi  # noqa: TID253
from skimage import io  # noqa: TID253
from skimage.filters import threshold_otsu  # noqa: TID253

from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.models.classic.model import ClassicModel

ROOT = Path(__file__).parents[1]
EVAL = ROOT / "../shared/data/eval"
TILE = 512
DISC_RADIUS = 11.6  # median of sqrt(area / pi) over the training objects
LEAST_AREA = 30
SETS = ("dsb2018", "usiigaci_phase", "oam_buildings_fair", "sstem_vnc")
PROMPTS = ("centre point", "random point", "exact box", "box 7 % off")
METHODS = ("classic", "Otsu", "ellipse or disc")


@dataclass
class Case:
    """One object in its tile, with the prompts that all methods get."""

    image: str
    tile: np.ndarray
    truth: np.ndarray
    points: tuple[tuple[int, int], tuple[int, int]]
    boxes: tuple[tuple[float, ...], tuple[float, ...]]


def scaled(image: np.ndarray) -> np.ndarray:
    """Return the image as the product shows it to a model: one window per channel, RGB."""
    image = image if image.ndim == 3 else image[..., None]
    image = image[..., :3].astype(np.float64)
    low, high = np.percentile(image.reshape(-1, image.shape[-1]), [0.5, 99.5], axis=0)
    mapped = np.clip((image - low) / np.maximum(high - low, 1e-9), 0, 1).astype(np.float32)
    return np.broadcast_to(mapped, (*mapped.shape[:2], 3)).copy()


def planes(name: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, image and instance labels of every plane of a set."""
    folder = EVAL / name
    if name == "sstem_vnc":
        stack = tifffile.imread(folder / "images/raw_stack.tif")
        truth = tifffile.imread(folder / "masks/mito_instances_3dcc.tif")
        for z in range(0, len(stack), 4):
            yield f"z{z}", stack[z], components(truth[z])
        return
    for path in sorted((folder / "images").iterdir()):
        mask = next((folder / "masks").glob(f"{path.stem}.*"))
        yield path.stem, io.imread(path), io.imread(mask)


def components(labels: np.ndarray) -> np.ndarray:
    """Return 2D components of a slice of 3D objects as objects of their own."""
    out, count = np.zeros(labels.shape, np.int32), 0
    for value in np.unique(labels)[1:]:
        parts, found = ndi.label(labels == value)
        out[parts > 0] = parts[parts > 0] + count
        count += found
    return out


def cases(
    name: str,
    most: int,
    rng: np.random.Generator,
    read: Callable[[str], Iterator[tuple[str, np.ndarray, np.ndarray]]] = planes,
) -> Iterator[Case]:
    """Yield objects of a set, spread evenly over its planes."""
    everything = list(read(name))
    each = max(1, -(-most // len(everything)))
    left = most
    for title, image, labels in everything:
        rgb = scaled(image)
        slots = [
            (i, s)
            for i, s in enumerate(ndi.find_objects(labels), 1)
            if s is not None and (labels[s] == i).sum() >= LEAST_AREA
        ]
        for k in rng.permutation(len(slots))[: min(each, left)]:
            left -= 1
            yield _case(f"{name}/{title}", rgb, labels == slots[k][0], slots[k][1], rng)


def _case(
    title: str,
    rgb: np.ndarray,
    truth: np.ndarray,
    where: tuple[slice, slice],
    rng: np.random.Generator,
) -> Case:
    window = tuple(
        slice(
            start := int(np.clip((s.start + s.stop - TILE) // 2, 0, max(0, n - TILE))), start + TILE
        )
        for s, n in zip(where, truth.shape, strict=True)
    )
    tile, mask = rgb[window], truth[window]
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    centre = np.unravel_index(np.argmax(depth), depth.shape)
    rows, cols = np.nonzero(depth >= min(2, depth.max()))
    k = rng.integers(len(rows))
    inside = np.nonzero(mask)
    y0, x0, y1, x1 = (f(inside[a]) + d for f, d in ((np.min, -0.5), (np.max, 0.5)) for a in (0, 1))
    sides = np.array([y1 - y0, x1 - x0] * 2)
    off = np.array([y0, x0, y1, x1]) + rng.uniform(-0.07, 0.07, 4) * sides
    return Case(
        title,
        tile,
        mask,
        ((int(centre[0]), int(centre[1])), (int(rows[k]), int(cols[k]))),
        ((y0, x0, y1, x1), tuple(off.tolist())),
    )


def otsu_point(case: Case, at: tuple[int, int]) -> np.ndarray:
    """Return the Otsu component under the click, of the click's own side."""
    grey = case.tile.mean(axis=-1)
    above = grey > threshold_otsu(grey) if np.ptp(grey) else np.ones(grey.shape, bool)
    parts, _ = ndi.label(above == above[at])
    return parts == parts[at]


def pixels(box: tuple[float, ...], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the pixels whose centre lies in a box."""
    y0, x0 = max(0, int(np.ceil(box[0]))), max(0, int(np.ceil(box[1])))
    return slice(y0, min(shape[0], int(box[2]) + 1)), slice(x0, min(shape[1], int(box[3]) + 1))


def otsu_box(case: Case, box: tuple[float, ...]) -> np.ndarray:
    """Return Otsu's threshold inside the box, on the side that is more like the ellipse."""
    mask, where = np.zeros(case.truth.shape, bool), pixels(box, case.truth.shape)
    grey = case.tile.mean(axis=-1)[where]
    above = grey > threshold_otsu(grey) if np.ptp(grey) else np.ones(grey.shape, bool)
    middle = ellipse_box(case, box)[where]
    mask[where] = above if above[middle].mean() >= above[~middle].mean() else ~above
    return mask


def ellipse_box(case: Case, box: tuple[float, ...]) -> np.ndarray:
    """Return the ellipse inscribed in the box."""
    y, x = np.indices(case.truth.shape)
    cy, cx, h, w = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    return np.asarray((2 * (y - cy) / h) ** 2 + (2 * (x - cx) / w) ** 2 <= 1)


def disc_point(case: Case, at: tuple[int, int]) -> np.ndarray:
    """Return a disc of the training objects' median radius round the click."""
    r = DISC_RADIUS
    return ellipse_box(case, (at[0] - r, at[1] - r, at[0] + r, at[1] + r))


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Return intersection over union."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def measure(case: Case, model: ClassicModel) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU by prompt and method, shape (4, 3), and the model's own scores, shape (4,)."""
    embedding = model.encode(case.tile[None])[0]
    prompts = [PromptSet((PointPrompt(*map(float, at)),)) for at in case.points]
    prompts += [PromptSet(box=BoxPrompt(*box)) for box in case.boxes]
    answer = model.decode(embedding, prompts)
    best = np.arange(len(prompts)), answer.best
    ours = answer.logits[best] > 0
    rivals: list[tuple[Callable[..., np.ndarray], Callable[..., np.ndarray], tuple[float, ...]]]
    rivals = [(otsu_point, disc_point, at) for at in case.points]
    rivals += [(otsu_box, ellipse_box, box) for box in case.boxes]
    rows = [
        [iou(m, case.truth) for m in (mine, otsu(case, at), shape(case, at))]
        for mine, (otsu, shape, at) in zip(ours, rivals, strict=True)
    ]
    return np.array(rows), answer.scores[best]


@dataclass
class Result:
    """Everything measured on one set."""

    images: list[str]
    ious: np.ndarray  # (objects, prompts, methods)
    scores: np.ndarray  # (objects, prompts)

    def interval(self, values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
        """Return a 95 % bootstrap interval of a mean, images drawn with replacement."""
        names, place = np.unique(self.images, return_inverse=True)
        sums = np.bincount(place, values)
        counts = np.bincount(place)
        picks = np.random.default_rng(0).integers(len(names), size=(draws, len(names)))
        means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        return float(low), float(high)


def evaluate(name: str, most: int, seed: int = 0) -> Result:
    """Measure all methods on a set."""
    model, rng = ClassicModel(), np.random.default_rng(seed)
    found = [(case.image, *measure(case, model)) for case in cases(name, most, rng)]
    images, ious, scores = zip(*found, strict=True)
    return Result(list(images), np.stack(ious), np.stack(scores))


def table(results: dict[str, Result]) -> str:
    """Return the Markdown table: a row per set and prompt, then the means over sets."""
    lines = [
        "| set | prompt | objects | " + " | ".join(METHODS) + " |",
        "|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for p, prompt in enumerate(PROMPTS):
            cells = [cell(result, result.ious[:, p, m]) for m in range(len(METHODS))]
            lines.append(f"| {name} | {prompt} | {len(result.ious)} | " + " | ".join(cells) + " |")
    means = np.mean([r.ious.mean(axis=0) for r in results.values()], axis=0)
    for prompt, row in zip(PROMPTS, means, strict=True):
        cells = [f"{v:.3f}" for v in row]
        cells[0] = f"**{cells[0]}**"
        lines.append(f"| **mean of sets** | {prompt} | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(result: Result, values: np.ndarray) -> str:
    """Return a mean with its interval; none where a set is one image."""
    if len(set(result.images)) < 3:
        return f"{values.mean():.3f}"
    low, high = result.interval(values)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def calibration(results: dict[str, Result]) -> str:
    """Return rank correlation and mean of estimated against true IoU, by prompt."""
    from scipy.stats import spearmanr

    true = np.concatenate([r.ious[:, :, 0] for r in results.values()])
    said = np.concatenate([r.scores for r in results.values()])
    lines = ["| prompt | Spearman | mean estimate | mean true IoU |", "|---|---|---|---|"]
    for p, prompt in enumerate(PROMPTS):
        rho = spearmanr(said[:, p], true[:, p])[0]
        lines.append(
            f"| {prompt} | {rho:.2f} | {said[:, p].mean():.2f} | {true[:, p].mean():.2f} |"
        )
    return "\n".join(lines)


PAGE = """# How accurate is `classic`?

Measured by `benchmarks/classic_accuracy.py` (at most {most} objects a set, seed 0) on images that
nothing was tuned on. Numbers are mean IoU over objects; brackets are 95 % bootstrap intervals over
images, left out where a set has fewer than three images. A point is the pixel furthest from the
object's border ("centre"), or any pixel at least two pixels inside ("random"). The same prompts
went to every method: *Otsu* is the component under the click on the click's side of Otsu's
threshold of the tile, or Otsu's threshold inside the box; *ellipse or disc* is the ellipse
inscribed in the box, or a disc round the click with the median radius of the training objects
({radius:g} px). Tiles are {tile} x {tile} windows at native scale round the object. `sstem_vnc` are
mitochondria, 2D components of every fourth slice.

{table}

How far the model's own score can be trusted, all sets together:

{calibration}
"""


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-objects", type=int, default=150, help="objects per set")
    most = parser.parse_args().max_objects
    results = {name: evaluate(name, most) for name in SETS}
    page = PAGE.format(
        most=most,
        radius=DISC_RADIUS,
        tile=TILE,
        table=table(results),
        calibration=calibration(results),
    )
    print(page)
    (ROOT / "docs/explain/classic-accuracy.md").write_text(page, "utf-8")


if __name__ == "__main__":
    main()
