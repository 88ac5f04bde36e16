"""What every prompt model and every context model must do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, MaskPrompt, PointPrompt, PromptSet, ScribblePrompt
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.protocols import (
    UNKNOWN,
    ContextModel,
    Example,
    MaskLogits,
    Memory,
    ModelSpec,
    PromptModel,
)

CENTER = (30, 24)


def disc(shape: tuple[int, int] = (64, 72), radius: float = 12.0) -> NDArray[np.bool_]:
    """Return a disc round `CENTER`."""
    y, x = np.indices(shape)
    return np.asarray((y - CENTER[0]) ** 2 + (x - CENTER[1]) ** 2 <= radius**2)


def make_tile(shape: tuple[int, int] = (64, 72), seed: int = 0) -> NDArray[np.float32]:
    """Return a bright disc on a dark, slightly noisy ground, shape (h, w, 3)."""
    noise = 0.02 * np.random.default_rng(seed).standard_normal(shape)
    grey = np.clip(np.where(disc(shape), 0.8, 0.2) + noise, 0, 1)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def prompt_mixtures() -> Iterator[PromptSet]:
    """Yield every combination of the kinds of prompt that says where the disc is."""
    y, x = CENTER
    box = Box(y - 10, x - 10, y + 11, x + 11)
    parts: list[PromptSet] = [
        PromptSet(points=(PointPrompt(y, x),)),
        PromptSet(points=(PointPrompt(5, 60, positive=False),)),
        PromptSet(scribbles=(ScribblePrompt(((y - 4, x), (y + 4, x + 2))),)),
        PromptSet(scribbles=(ScribblePrompt(((50, 60), (60, 60)), positive=False),)),
        PromptSet(box=BoxPrompt(y - 12.5, x - 12.5, y + 12.5, x + 12.5)),
        PromptSet(mask=MaskPrompt(box, np.ones(box.shape, bool))),
    ]
    for count in range(1, len(parts) + 1):
        for chosen in combinations(parts, count):
            mixed = _merge(chosen)
            if mixed.has_positive:
                yield mixed


def _merge(parts: tuple[PromptSet, ...]) -> PromptSet:
    return PromptSet(
        points=tuple(p for part in parts for p in part.points),
        scribbles=tuple(s for part in parts for s in part.scribbles),
        box=next((part.box for part in parts if part.box), None),
        mask=next((part.mask for part in parts if part.mask), None),
    )


def usable(prompts: PromptSet, spec: ModelSpec) -> bool:
    """Whether a model reads all the kinds of prompt in a set."""
    needs = {
        "points": bool(prompts.points),
        "scribbles": bool(prompts.scribbles),
        "box": prompts.box is not None,
        "mask": prompts.mask is not None,
    }
    return all(kind in spec.capabilities for kind, needed in needs.items() if needed)


def close(a: Embedding, b: Embedding, tolerance: float) -> bool:
    """Whether two embeddings hold the same arrays up to `tolerance`."""
    pairs = [(a.arrays[name], b.arrays[name]) for name in a.arrays]
    return set(a.arrays) == set(b.arrays) and all(
        x.dtype == y.dtype and np.allclose(x, y, rtol=0, atol=tolerance) for x, y in pairs
    )


class PromptModelContract:
    """Subclass and override the fixture `model`."""

    tolerance = 0.0
    """How far one tile alone and the same tile in a batch may differ."""

    seeks_objects = True
    """False for a network without trained weights: then nothing is asked of its masks."""

    @pytest.fixture
    def model(self) -> PromptModel:
        """Return the model under test."""
        raise NotImplementedError

    @pytest.fixture
    def embedding(self, model: PromptModel) -> Embedding:
        """Return the standard tile, encoded."""
        return model.encode(make_tile()[None])[0]

    def test_spec_says_who_it_is(self, model: PromptModel) -> None:
        spec = model.spec
        assert isinstance(model, PromptModel)
        assert spec.id
        assert spec.family
        assert spec.version
        assert len(spec.weights_sha256) == 64
        assert spec.licence
        assert spec.input_size > 0

    def test_embedding_is_small_floats_of_this_model(
        self, model: PromptModel, embedding: Embedding
    ) -> None:
        assert embedding.model == model.spec.key
        assert embedding.tile_shape == (64, 72)
        assert {a.dtype for a in embedding.arrays.values()} <= {np.dtype("f2"), np.dtype("f4")}
        assert all(np.isfinite(a).all() for a in embedding.arrays.values())

    def test_batch_is_the_same_as_one_by_one(self, model: PromptModel) -> None:
        tiles = np.stack([make_tile(seed=s) for s in range(3)])
        together = model.encode(tiles)
        for tile, found in zip(tiles, together, strict=True):
            assert close(found, model.encode(tile[None])[0], self.tolerance)

    def test_same_tile_same_embedding_in_any_thread(self, model: PromptModel) -> None:
        tile = make_tile()[None]
        expected = model.encode(tile)[0]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: model.encode(tile)[0], range(4)))
        assert all(close(e, expected, self.tolerance) for e in found)

    def test_same_prompts_same_answer_in_any_thread(
        self, model: PromptModel, embedding: Embedding
    ) -> None:
        prompts = [p for p in prompt_mixtures() if usable(p, model.spec)][:8]
        expected = model.decode(embedding, prompts)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: model.decode(embedding, prompts), range(4)))
        for answer in found:
            assert np.allclose(answer.logits, expected.logits, rtol=0, atol=self.tolerance)
            assert np.allclose(answer.scores, expected.scores, rtol=0, atol=self.tolerance)

    def test_every_mixture_of_prompts_is_answered(
        self, model: PromptModel, embedding: Embedding
    ) -> None:
        prompts = [p for p in prompt_mixtures() if usable(p, model.spec)]
        answer = model.decode(embedding, prompts)
        self.check_shapes(answer, len(prompts), embedding.tile_shape)
        if self.seeks_objects:
            for i, asked in enumerate(prompts):
                assert iou(answer.logits[i, answer.best[i]] > 0, disc()) > 0.5, asked

    def check_shapes(self, answer: MaskLogits, count: int, shape: tuple[int, int]) -> None:
        """Check shapes, dtypes and ranges of an answer."""
        choices = answer.logits.shape[1]
        assert answer.logits.shape == (count, choices, *shape)
        assert answer.scores.shape == (count, choices)
        assert answer.logits.dtype == answer.scores.dtype == np.float32
        assert np.isfinite(answer.logits).all()
        assert ((answer.scores >= 0) & (answer.scores <= 1)).all()
        assert answer.best.shape == (count,)
        assert ((answer.best >= 0) & (answer.best < choices)).all()

    def test_clicks_are_respected(self, model: PromptModel, embedding: Embedding) -> None:
        if not self.seeks_objects:
            pytest.skip("no trained weights")
        inside, outside = PointPrompt(28, 22), PointPrompt(10, 60, positive=False)
        answer = model.decode(embedding, [PromptSet((inside, outside))])
        mask = answer.logits[0, answer.best[0]] > 0
        assert mask[28, 22]
        assert not mask[10, 60]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 17), (8, 8), (33, 5)])
    def test_small_tiles(self, model: PromptModel, shape: tuple[int, int]) -> None:
        found = model.encode(np.full((1, *shape, 3), 0.5, np.float32))[0]
        answer = model.decode(found, [PromptSet((PointPrompt(0, 0),))])
        self.check_shapes(answer, 1, shape)

    @pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
    def test_constant_tiles(self, model: PromptModel, value: float) -> None:
        found = model.encode(np.full((1, 40, 40, 3), value, np.float32))[0]
        answer = model.decode(found, [PromptSet((PointPrompt(20, 20),))])
        self.check_shapes(answer, 1, (40, 40))

    def test_nothing_positive_is_refused(self, model: PromptModel, embedding: Embedding) -> None:
        with pytest.raises(PromptError):
            model.decode(embedding, [PromptSet()])

    def test_foreign_embedding_is_refused(self, model: PromptModel, embedding: Embedding) -> None:
        foreign = replace(embedding, model="someone@1#0000000000000000")
        with pytest.raises(ModelError):
            model.decode(foreign, [PromptSet((PointPrompt(*CENTER),))])

    def test_no_prompts_no_masks(self, model: PromptModel, embedding: Embedding) -> None:
        assert len(model.decode(embedding, []).logits) == 0


class ContextModelContract:
    """Subclass and override the fixture `model`."""

    seeks_objects = True
    """False for a network without trained weights: then nothing is asked of what it finds."""

    @pytest.fixture
    def model(self) -> ContextModel:
        """Return the model under test."""
        raise NotImplementedError

    def example(self, model: ContextModel, seed: int = 0, label: int = 5) -> Example:
        """Return an encoded tile with its disc labelled."""
        tile = make_tile(seed=seed)
        return Example(model.encode(tile[None])[0], np.where(disc(), label, 0))

    def test_finds_more_of_the_same(self, model: ContextModel) -> None:
        memory = model.remember([self.example(model)])
        query = model.encode(make_tile(seed=9)[None])[0]
        found = model.recall(query, memory)
        assert memory.classes == (5,)
        assert found.probability.shape == (1, 64, 72)
        assert found.probability.dtype == np.float32
        assert found.probability.min() >= 0
        assert found.probability.sum(axis=0).max() <= 1 + 1e-5
        if self.seeks_objects:
            assert iou(found.probability[0] > 0.5, disc()) > 0.8

    def test_memory_does_not_grow(self, model: ContextModel) -> None:
        one = model.remember([self.example(model)])
        many = model.remember([self.example(model, seed) for seed in range(4)])
        assert size(many) == size(one)

    def test_classes_are_kept(self, model: ContextModel) -> None:
        example = self.example(model)
        labels = np.asarray(example.labels).copy()
        labels[:8, 40:] = 2
        memory = model.remember([replace(example, labels=labels)])
        assert memory.classes == (2, 5)
        assert len(model.recall(example.embedding, memory).probability) == 2

    def test_tuning_keeps_what_was_learnt(self, model: ContextModel) -> None:
        example = self.example(model)
        before = model.remember([example])
        after = model.tune(before, [example], steps=3)
        assert after.classes == before.classes
        found = model.recall(example.embedding, after).probability[0]
        if self.seeks_objects:
            assert iou(found > 0.5, disc()) > 0.8

    def test_examples_without_objects_are_refused(self, model: ContextModel) -> None:
        example = self.example(model, label=0)
        with pytest.raises(ModelError):
            model.remember([example])
        with pytest.raises(ModelError):
            model.remember([])

    def test_the_order_of_examples_does_not_matter(self, model: ContextModel) -> None:
        examples = [self.example(model, seed, label) for seed, label in ((0, 5), (1, 2), (2, 5))]
        query = model.encode(make_tile(seed=9)[None])[0]
        found = [model.recall(query, model.remember(e)) for e in (examples, examples[::-1])]
        assert np.allclose(found[0].probability, found[1].probability, rtol=0, atol=1e-3)

    def test_other_names_of_classes_change_nothing_else(self, model: ContextModel) -> None:
        example = self.example(model)
        labels = np.asarray(example.labels).copy()
        labels[:8, 40:] = 2
        renamed = np.select([labels == 2, labels == 5], [70_000, 3])
        query = model.encode(make_tile(seed=9)[None])[0]
        memories = [model.remember([replace(example, labels=x)]) for x in (labels, renamed)]
        assert [m.classes for m in memories] == [(2, 5), (3, 70_000)]
        before, after = (model.recall(query, m).probability for m in memories)
        assert np.allclose(before, after[::-1], rtol=0, atol=1e-3)

    def test_nothing_is_learnt_from_what_is_unknown(self, model: ContextModel) -> None:
        example = self.example(model)
        query = model.encode(make_tile(seed=9)[None])[0]
        blank = replace(self.example(model, seed=3), labels=np.full((64, 72), UNKNOWN))
        found = [model.recall(query, model.remember(e)) for e in ([example], [example, blank])]
        assert np.allclose(found[0].probability, found[1].probability, rtol=0, atol=1e-5)

    def test_a_part_of_the_labels_is_enough(self, model: ContextModel) -> None:
        example = self.example(model)
        near = disc(radius=20)
        partial = replace(example, labels=np.where(near, example.labels, UNKNOWN))
        memory = model.remember([partial])
        assert memory.classes == (5,)
        query = model.encode(make_tile(seed=9)[None])[0]
        assert iou(model.recall(query, memory).probability[0] > 0.5, disc()) > 0.8

    def test_unknown_is_no_class(self, model: ContextModel) -> None:
        example = self.example(model)
        with pytest.raises(ModelError):
            model.remember([replace(example, labels=np.where(disc(), 0, UNKNOWN))])

    def test_foreign_memory_is_refused(self, model: ContextModel) -> None:
        example = self.example(model)
        memory = replace(model.remember([example]), model="someone@1#0000000000000000")
        with pytest.raises(ModelError):
            model.recall(example.embedding, memory)


def size(memory: Memory) -> int:
    """Return the bytes of a memory's arrays."""
    return sum(a.nbytes for a in memory.arrays.values())


def iou(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))
