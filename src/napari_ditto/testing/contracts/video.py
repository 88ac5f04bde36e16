"""What every video model must do, on top of what every prompt model must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import MemoryFrame, VideoModel
from napari_ditto.testing.contracts.models import disc, make_tile

SHAPE = (48, 56)
Memories = list[list[MemoryFrame]]


def masks() -> NDArray[np.bool_]:
    """Return two objects, shape (2, 48, 56)."""
    whole = disc(SHAPE)
    return np.stack([whole & (np.indices(SHAPE)[1] < 24), whole & (np.indices(SHAPE)[1] >= 24)])


class VideoModelContract:
    """Override `model`; its encoder must take tiles of 48 x 56 pixels."""

    @pytest.fixture
    def model(self) -> VideoModel:
        raise NotImplementedError

    @pytest.fixture
    def embedding(self, model: VideoModel) -> Embedding:
        return model.encode(make_tile(SHAPE)[None])[0]

    @pytest.fixture
    def memories(self, model: VideoModel, embedding: Embedding) -> Memories:
        """Return the user's plane three frames back and the two since, of two objects."""
        kept = [model.memorize(embedding, masks())]
        found: Memories = []
        for at in (1, 2, 3):
            found = [
                [
                    MemoryFrame({k: a[n] for k, a in arrays.items()}, at - i, is_anchor=i == 0)
                    for i, arrays in enumerate(kept)
                ]
                for n in range(2)
            ]
            if at < 3:
                kept.append(dict(model.track(embedding, found).memory))
        return found

    def test_it_says_how_far_each_array_reaches(
        self, model: VideoModel, embedding: Embedding
    ) -> None:
        assert isinstance(model, VideoModel)
        assert model.reach.keys() == model.memorize(embedding, masks()).keys()
        assert min(model.reach.values()) > 0

    def test_shapes_and_types(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        found = model.track(embedding, memories)
        assert found.logits.shape == (2, *SHAPE)
        assert found.scores.shape == found.present.shape == (2,)
        for values in (found.scores, found.present):
            assert ((values >= 0) & (values <= 1)).all()
        for array in (found.logits, found.scores, found.present):
            assert array.dtype == np.float32
        assert not (found.logits[found.present < 0.5] > 0).any()

    def test_memories_of_the_users_masks_and_of_its_own_are_alike(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        users, own = model.memorize(embedding, masks()), model.track(embedding, memories).memory
        assert users.keys() == own.keys()
        for name, array in users.items():
            assert array.dtype in (np.float16, np.float32)
            assert (own[name].dtype, own[name].shape) == (array.dtype, array.shape)
            assert len(array) == 2

    def test_the_same_question_gets_the_same_answer(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        for memory in memories:
            for frame in memory:
                for array in frame.arrays.values():
                    array.flags.writeable = False
        first, second = (model.track(embedding, memories) for _ in range(2))
        assert np.array_equal(first.logits, second.logits)
        assert all(np.array_equal(first.memory[n], second.memory[n]) for n in first.memory)

    def test_objects_do_not_know_of_each_other(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        together = model.track(embedding, memories)
        for i, memory in enumerate(memories):
            alone = model.track(embedding, [memory])
            assert np.array_equal(alone.logits[0], together.logits[i])
            for name, array in alone.memory.items():
                assert np.array_equal(array[0], together.memory[name][i])
        users = model.memorize(embedding, masks())
        for name, array in model.memorize(embedding, masks()[1:]).items():
            assert np.array_equal(array[0], users[name][1])

    def test_the_order_of_memories_does_not_matter(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        there = model.track(embedding, memories)
        back = model.track(embedding, [memory[::-1] for memory in memories])
        assert np.array_equal(there.logits, back.logits)

    def test_what_is_out_of_reach_is_not_read(
        self, model: VideoModel, embedding: Embedding, memories: Memories
    ) -> None:
        full = model.track(embedding, memories).logits
        far = max(model.reach.values()) + 1
        more = [[*memory, replace(memory[-1], distance=far)] for memory in memories]
        assert np.array_equal(model.track(embedding, more).logits, full)

    def test_nothing_to_track(self, model: VideoModel, embedding: Embedding) -> None:
        found = model.track(embedding, [])
        assert found.logits.shape == (0, *SHAPE)
        assert {len(array) for array in found.memory.values()} == {0}

    def test_refusals_in_one_line(self, model: VideoModel, embedding: Embedding) -> None:
        foreign = replace(embedding, model="another")
        for ask in (
            lambda: model.memorize(foreign, masks()),
            lambda: model.track(foreign, []),
            lambda: model.track(embedding, [[]]),
        ):
            with pytest.raises(ModelError) as caught:
                ask()
            assert "\n" not in str(caught.value)
