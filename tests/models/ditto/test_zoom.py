"""Where ditto looks first, and how it compares what it sees at several zooms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.prompts import BoxPrompt, PointPrompt, PromptSet
from napari_ditto.models.device import threads
from napari_ditto.models.ditto import zoom
from napari_ditto.models.ditto.dialogue import closer_view, near
from napari_ditto.models.ditto.model import load_ditto
from napari_ditto.models.ditto.network import DittoNetwork
from napari_ditto.models.ditto.views import View, render
from napari_ditto.models.ditto.zoom import LADDER, overlap

SHAPE = (300, 420)


@given(y=st.floats(0, SHAPE[0] - 1), x=st.floats(0, SHAPE[1] - 1), span=st.floats(0, 200))
def test_first_looks_show_all_that_is_meant(y: float, x: float, span: float) -> None:
    for view in zoom.ladder((y, x), span, SHAPE):
        for at, start, extent in ((y, view.y0, SHAPE[0]), (x, view.x0, SHAPE[1])):
            low, high = max(at - span / 2, 0), min(at + span / 2, extent - 1)
            assert start <= low + 0.5
            assert high + 0.5 <= start + view.side


def test_clicks_near_each_other_share_their_first_looks() -> None:
    first = zoom.ladder((147.0, 211.0), 0, SHAPE)
    near = zoom.ladder((150.0, 214.0), 0, SHAPE)
    far = zoom.ladder((190.0, 260.0), 0, SHAPE)
    assert [v.side for v in first] == [*LADDER, max(SHAPE)]
    assert near[0] != first[0]
    assert near[1:] == first[1:]
    assert not set(far[:2]) & set(first)


def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many views each call to the network encodes from now on."""
    seen: list[int] = []
    encode = DittoNetwork.encode

    def counted(self: DittoNetwork, image: torch.Tensor) -> object:
        seen.append(len(image))
        return encode(self, image)

    monkeypatch.setattr(DittoNetwork, "encode", counted)
    return seen


def test_a_click_nearby_encodes_one_or_two_views(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(0).random((1, 256, 256, 1), np.float32).repeat(3, -1)
    model = load_ditto("cpu")
    embedding = model.encode(grey)[0]
    seen = encoded(monkeypatch)
    with threads(1):
        for place in ((128, 128), (130, 129)):
            seen.clear()
            model.decode(embedding, [PromptSet((PointPrompt(*place),))])
    assert sum(seen) <= 2


@given(
    y=st.floats(0, SHAPE[0] - 1), x=st.floats(0, SHAPE[1] - 1),
    far=st.floats(0, 12), angle=st.floats(0, 7),
)  # fmt: skip
def test_what_is_near_are_the_first_looks_of_all_clicks_near(
    y: float, x: float, far: float, angle: float
) -> None:
    views = zoom.nearby((y, x), SHAPE, 12.001)
    assert len(views) == len(set(views)) <= 60
    own = zoom.ladder((y, x), 0, SHAPE)
    assert set(views[: len(own)]) == set(own)
    other = (y + far * np.sin(angle), x + far * np.cos(angle))
    assert set(zoom.ladder(other, 0, SHAPE)) <= set(views)


def test_a_prepared_place_has_the_same_answer_and_less_to_encode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grey = np.random.default_rng(0).random((1, 256, 256, 1), np.float32).repeat(3, -1)
    fresh, ready = load_ditto("cpu"), load_ditto("cpu")
    embedding = ready.encode(grey)[0]
    click, near = (PromptSet((PointPrompt(*p),)) for p in ((128.0, 128.0), (134.0, 121.0)))
    seen = encoded(monkeypatch)
    steps = 0
    while ready.prepare(embedding, click):
        steps += 1
    assert 5 < steps <= 60
    assert seen == [1] * steps, "each step is one view, so that it can be broken off"
    seen.clear()
    found = ready.decode(embedding, [near])
    assert sum(seen) <= 1, "at most the closer look is new"
    expected = fresh.decode(fresh.encode(grey)[0], [near])
    assert (found.logits == expected.logits).all()
    assert (found.scores == expected.scores).all()


@given(
    y=st.floats(0, 1), x=st.floats(0, 1), height=st.integers(20, 512), width=st.integers(20, 512)
)
def test_the_wide_views_of_a_tile_are_those_of_all_clicks(
    y: float, x: float, height: int, width: int
) -> None:
    known = zoom.wide((height, width))
    first = zoom.ladder((y * (height - 1), x * (width - 1)), 0, (height, width))
    assert {view for view in first if view.side >= zoom.WIDE} <= set(known)
    assert all(view.side >= zoom.WIDE for view in known)
    assert len(known) == len(set(known)) <= 37


def test_a_tile_that_was_looked_around_in_knows_half_of_any_click(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grey = np.random.default_rng(0).random((1, 512, 512, 1), np.float32).repeat(3, -1)
    model = load_ditto("cpu")
    embedding = Embedding({"pixels": grey[0].astype(np.float16)}, (512, 512), model.spec.key)
    while model.prepare(embedding, PromptSet((PointPrompt(40.0, 40.0),))):
        pass
    seen = encoded(monkeypatch)
    next(steps := model.decode_steps(embedding, [PromptSet((PointPrompt(400.0, 300.0),))]))
    next(steps)
    assert seen == [2], "of four first looks"


def test_the_closer_look_takes_a_view_that_is_known_if_one_serves() -> None:
    shape = (512, 512)
    views = [View(100, 100, side, 128) for side in (48.0, 104.0, 232.0)]
    box = BoxPrompt(125, 125, 185, 185)
    assert closer_view(box, views, shape) == views[1]
    cut = BoxPrompt(80, 125, 140, 185)
    assert closer_view(cut, views, shape) == near(cut, shape)
    assert closer_view(box, [views[0], views[2]], shape) == near(box, shape)
    assert near(box, shape).side == pytest.approx(102)


def test_an_answer_can_be_broken_off_and_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grey = np.random.default_rng(0).random((1, 256, 256, 1), np.float32).repeat(3, -1)
    model = load_ditto("cpu")
    embedding, click = model.encode(grey)[0], PromptSet((PointPrompt(128.0, 128.0),))
    steps = model.decode_steps(embedding, [click])
    next(steps)
    next(steps)
    steps.close()
    assert not torch.is_inference_mode_enabled()
    seen: list[int] = []
    encode = DittoNetwork.encode
    monkeypatch.setattr(DittoNetwork, "encode", lambda s, x: seen.append(len(x)) or encode(s, x))
    found = model.decode(embedding, [click])
    assert sum(seen) <= 1, "the first looks were encoded before"
    assert (found.logits == load_ditto("cpu").decode(embedding, [click]).logits).all()


@pytest.mark.parametrize(
    "prompts",
    [
        PromptSet((PointPrompt(9, 9), PointPrompt(5, 5, False))),
        PromptSet((PointPrompt(9, 9),), diameter=20.0),
        PromptSet(box=BoxPrompt(2, 2, 9, 9)),
    ],
    ids=["further click", "known size", "box"],
)
def test_only_a_lone_click_is_prepared(prompts: PromptSet) -> None:
    model = load_ditto("cpu")
    embedding = model.encode(np.zeros((1, 64, 64, 3), np.float32))[0]
    assert not model.prepare(embedding, prompts)


def test_a_grey_tile_is_rendered_from_one_channel() -> None:
    grey = torch.rand(1, 60, 70, generator=torch.Generator().manual_seed(0))
    view = View(5.5, -3.0, 55.0, 128)
    assert torch.equal(render(grey, view), render(grey.expand(3, -1, -1), view))


def test_masks_of_two_zooms_are_compared_where_both_see() -> None:
    fine, wide = View(8, 8, 16, 32), View(0, 0, 32, 32)
    small = np.zeros((2, 16, 16), np.float32)
    small[0, 4:12, 4:12] = 1  # rows 12 to 20 of the tile
    small[1, :2] = 1
    large = np.zeros((3, 16, 16), np.float32)
    large[0, 6:10, 6:10] = 1  # the same square
    large[1] = 1
    table = overlap(small, fine, large, wide)
    assert table.shape == (2, 3)
    assert table[0, 0] == 1
    assert table[0, 1] == pytest.approx(64 / 1024)  # what the wide view shows beyond counts
    assert table[0, 2] == table[1, 0] == 0


def test_a_finer_view_that_reaches_out_sees_nothing_there() -> None:
    fine, wide = View(24, 0, 16, 32), View(0, 0, 32, 32)
    ones = np.ones((1, 16, 16), np.float32)
    assert overlap(ones, fine, ones, wide)[0, 0] == pytest.approx(128 / (256 + 1024 - 128))
