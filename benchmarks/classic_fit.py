"""Fit the constants of `classic` on the training images in ``../shared/data/train``.

``python benchmarks/classic_fit.py [--out ranker.json] [--share 1.0]`` writes the two regressions on
regions and prints the weights of the box's vote, to be copied into ``boxes.BOX_WEIGHTS``. Tiles
whose number divides by `FOLDS` are held out: what is printed is measured on them. ``--share`` takes
a part of the images only, to try the script.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile  # noqa: TID253
import torch  # noqa: TID253
from scipy import ndimage as ndi  # noqa: TID253
from skimage import io  # noqa: TID253

from classic_accuracy import components, iou, scaled
from napari_ditto.core.geometry import Box
from napari_ditto.models.classic import boxes
from napari_ditto.models.classic.features import compute_filters
from napari_ditto.models.classic.forest import KINDS, Layer, grow_forest
from napari_ditto.models.classic.model import ClassicModel
from napari_ditto.models.classic.proposals import Scene
from napari_ditto.models.classic.regions import COLUMNS
from napari_ditto.models.classic.scores import CLIP

TRAIN = Path(__file__).parents[1] / "../shared/data/train"
FOLDS, HIDDEN, STEPS, OBJECTS = 4, 24, 4000, 8
MOST = {"fluorescence": 40, "stained": 40, "bbbc039": 12, "phase": 26, "neurons": 20, "heart": 40}
WHOLE = ("fluorescence", "stained", "bbbc039", "phase")
"""Sets where every object is labelled: only there can a region be called none."""


def tiles(share: float, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield set, tile (h, w, 3) and instance labels."""
    for name, (folder, keep) in SOURCES.items():
        paths = [p for p in sorted((TRAIN / folder / "images").iterdir()) if keep(io.imread(p))]
        for k in sorted(rng.permutation(len(paths))[: int(np.ceil(MOST[name] * share))]):
            path = paths[k]
            labels = io.imread(next((TRAIN / folder / "masks").glob(f"{path.stem}.*")))
            yield name, *crop(scaled(io.imread(path)), labels.astype(np.int32), rng)
    stack = tifffile.imread(next((TRAIN / "fib25_neuroproof/images").iterdir()))
    truth = tifffile.imread(next((TRAIN / "fib25_neuroproof/masks").iterdir()))
    for z in np.linspace(0, len(stack) - 1, int(np.ceil(MOST["neurons"] * share))).astype(int):
        yield "neurons", scaled(stack[z]), components(truth[z])


def dark(image: np.ndarray) -> bool:
    """Whether an image of dsb2018 is fluorescence."""
    return image.ndim == 2 and image.mean() <= 100


SOURCES = {
    "fluorescence": ("dsb2018", dark),
    "stained": ("dsb2018", lambda image: not dark(image)),
    "bbbc039": ("bbbc039", lambda _: True),
    "phase": ("usiigaci_phase", lambda _: True),
    "heart": ("sunnybrook_cmr", lambda _: True),
}


def crop(image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple:
    """Return one random window of at most 512 x 512."""
    window = tuple(slice(s := int(rng.integers(0, max(1, n - 511))), s + 512) for n in labels.shape)
    return image[window], labels[window]


@dataclass
class Rows:
    """Samples of one regression: inputs, targets, and whose they are."""

    x: list[np.ndarray] = field(default_factory=list)
    y: list[np.ndarray] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    tile: list[int] = field(default_factory=list)

    def add(self, x: np.ndarray, y: np.ndarray, name: str, tile: int) -> None:
        """Append samples of one tile."""
        self.x.append(x)
        self.y.append(y)
        self.names += [name] * len(y)
        self.tile += [tile] * len(y)

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return inputs, targets, weights (every set counts the same) and held-out rows."""
        _, place, count = np.unique(self.names, return_inverse=True, return_counts=True)
        weight = len(self.names) / len(count) / count[place]
        held = np.array(self.tile) % FOLDS == 0
        return np.concatenate(self.x), np.concatenate(self.y), weight, held


def one_hot(kind: int, count: int) -> np.ndarray:
    """Return the indicator of a kind of tree for `count` rows."""
    return np.repeat(np.eye(len(KINDS))[kind][None], count, axis=0)


def click_rows(rows: Rows, layers: list[Layer], objects: list, name: str, tile: int, rng) -> None:
    """Add the nested regions under random clicks, with their IoU."""
    for truth, _ in objects:
        depth = ndi.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
        spots = np.argwhere(depth >= min(2, depth.max()))
        for y, x in spots[rng.integers(len(spots), size=3)]:
            for k, layer in enumerate(layers):
                nodes = layer.tree.chain(
                    int(layer.tree.image[y // layer.stride, x // layer.stride])
                )
                size = layer.columns[nodes, 0]
                nodes = nodes[(np.diff(size, prepend=-1) > 0.02) & (size > np.log(12))]
                x_ = np.hstack([layer.columns[nodes], one_hot(k, len(nodes))])
                rows.add(x_, region_iou(layer, truth)[nodes], name, tile)


def region_iou(layer: Layer, truth: np.ndarray) -> np.ndarray:
    """Return the IoU of every region of a tree with one object."""
    small = truth[:: layer.stride, :: layer.stride].astype(float)
    common, area = layer.tree.gather(small), layer.tree.gather()
    return common / np.maximum(area + small.sum() - common, 1)


def object_rows(rows: Rows, layers: list[Layer], labels: np.ndarray, name: str, tile: int) -> None:
    """Add regions that stand out, and whether each is an object."""
    rng = np.random.default_rng(tile)
    for k, layer in enumerate(layers):
        small = labels[:: layer.stride, :: layer.stride]
        area, sizes = layer.tree.gather(), np.bincount(small.ravel(), minlength=2)
        good = (layer.prior >= 0.4) & (area <= area[0] / 4)
        nodes = np.flatnonzero(good & (layer.prior >= layer.prior[layer.tree.parent]))
        nodes = rng.permutation(nodes)[:120]
        best = []
        for node in nodes:
            common = np.bincount(small[layer.tree.mask(node)], minlength=len(sizes))[1:]
            best.append((common / np.maximum(area[node] + sizes[1:] - common, 1)).max())
        x = np.hstack([layer.columns[nodes], layer.prior[nodes, None], one_hot(k, len(nodes))])
        rows.add(x, np.array(best) > 0.5, name, tile)


def vote_rows(rows: Rows, scene: Scene, objects: list, name: str, tile: int, rng) -> None:
    """Add pixels round boxes, exact and 7 % off, with all opinions on them."""
    for truth, where in objects:
        exact = np.array([s.start for s in where] + [s.stop for s in where])
        sides = np.tile(exact[2:] - exact[:2], 2)
        for jitter in (0.0, 0.07):
            off = np.rint(exact + rng.uniform(-jitter, jitter, 4) * sides).astype(int)
            box = Box(*off.tolist()).intersect(Box.of_shape(truth.shape))
            if min(box.shape) < 3:
                continue
            window = boxes.neighbourhood(box, truth.shape)
            radius = boxes.ellipse_radius(box, window)
            maps = boxes.opinions(scene.layers, scene.features(window), radius, box, window)
            every = max(1, window.area // 400)
            inside = truth[window.slices].ravel()[::every]
            rows.add(maps.reshape(len(maps), -1)[:, ::every].T, inside, name, tile)


def fit_rank(rows: Rows) -> dict[str, object]:
    """Fit the expected IoU: one hidden layer, Adam, squared error, good regions count more."""
    x, y, weight, held = rows.table()
    width = len(COLUMNS)
    mean, scale = x[:, :width].mean(axis=0), x[:, :width].std(axis=0)
    x = np.hstack([np.clip((x[:, :width] - mean) / scale, -CLIP, CLIP), x[:, width:]])
    data, goal = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    cost = torch.tensor(weight * (0.1 + y), dtype=torch.float32)
    torch.manual_seed(0)
    first, last = torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, 1)
    net = torch.nn.Sequential(first, torch.nn.Tanh(), last, torch.nn.Sigmoid())
    adam = torch.optim.Adam(net.parameters())
    pace = torch.optim.lr_scheduler.OneCycleLR(adam, 1e-2, STEPS)
    rest = torch.tensor(np.flatnonzero(~held))
    for _ in range(STEPS):
        batch = rest[torch.randint(len(rest), (4096,))]
        loss = (cost[batch] * (net(data[batch])[:, 0] - goal[batch]) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        pace.step()
    with torch.no_grad():
        error = np.abs(net(data[held])[:, 0].numpy() - y[held])
    print(
        f"expected IoU: mean error on held-out tiles {np.average(error, weights=weight[held]):.3f}"
    )
    return {
        "mean": rounded(mean),
        "scale": rounded(scale),
        "hidden": rounded(first.weight.T),
        "hidden_bias": rounded(first.bias),
        "out": rounded(last.weight[0]),
        "out_bias": rounded(last.bias)[0],
    }


def fit_objects(rows: Rows, penalty: float = 5.0) -> dict[str, object]:
    """Fit the chance of being an object: ridge on the columns and their squares."""
    x, y, weight, held = rows.table()
    width = len(COLUMNS) + 1
    mean, scale = x[:, :width].mean(axis=0), x[:, :width].std(axis=0)
    z = np.clip((x[:, :width] - mean) / scale, -CLIP, CLIP)
    design = np.hstack([z, z**2, x[:, width:]])
    a = design[~held] * weight[~held, None]
    gram = design[~held].T @ a + penalty * np.eye(design.shape[1])
    solution = np.linalg.solve(gram, a.T @ y[~held])
    right = ((design[held] @ solution > 0.5) == y[held]).mean()
    print(f"being an object: right for {right:.3f} of the held-out regions")
    return {
        "mean": rounded(mean),
        "scale": rounded(scale),
        "linear": rounded(solution[:width]),
        "square": rounded(solution[width : 2 * width]),
        "kind": rounded(solution[2 * width :]),
    }


def fit_vote(rows: Rows) -> np.ndarray:
    """Fit the vote in a box: logistic regression by Newton's method."""
    x, y, _, held = rows.table()
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        chance = 1 / (1 + np.exp(-x[~held] @ weights))
        slope = x[~held].T @ (y[~held] - chance) - 1e-2 * weights
        curve = (x[~held] * (chance * (1 - chance))[:, None]).T @ x[~held]
        weights += np.linalg.solve(curve + 1e-2 * np.eye(len(weights)), slope)
    print(f"vote: IoU of held-out pixels {iou(x[held] @ weights > 0, y[held]):.3f}")
    return weights


def rounded(values: np.ndarray | torch.Tensor) -> list:
    """Return plain numbers of four digits after the point."""
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else values
    return np.round(array.astype(float), 4).tolist()


def objects_of(labels: np.ndarray, rng: np.random.Generator) -> list:
    """Return masks and boxes of some objects that the tile does not cut."""
    found = []
    for i, where in enumerate(ndi.find_objects(labels), 1):
        inner = where and all(
            s.start > 0 and s.stop < n for s, n in zip(where, labels.shape, strict=True)
        )
        if inner and (labels[where] == i).sum() >= 30:
            found.append((i, where))
    return [(labels == found[k][0], found[k][1]) for k in rng.permutation(len(found))[:OBJECTS]]


def main() -> None:
    """Fit everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=1.0)
    asked = parser.parse_args()
    rng, model = np.random.default_rng(0), ClassicModel()
    ranks, objects, votes = Rows(), Rows(), Rows()
    for k, (name, tile, labels) in enumerate(tiles(asked.share, rng)):
        chosen, layers = objects_of(labels, rng), grow_forest(compute_filters(tile))
        click_rows(ranks, layers, chosen, name, k, rng)
        vote_rows(votes, Scene(model.encode(tile[None])[0]), chosen, name, k, rng)
        if name in WHOLE:
            object_rows(objects, layers, labels, name, k)
    constants = {
        "kinds": [kind.name for kind in KINDS],
        "rank": fit_rank(ranks),
        "object": fit_objects(objects),
    }
    print("BOX_WEIGHTS =", tuple(rounded(fit_vote(votes))))
    asked.out.write_text(json.dumps(constants, indent=1), "utf-8")


if __name__ == "__main__":
    main()
