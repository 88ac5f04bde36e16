"""What is found in a frame equals what the library's own session finds, whatever the walk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_ditto.core.prompts import BoxPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import MemoryFrame
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.video import VideoModelContract
from tests.models.sam2.library import Session, processor

SHAPE = (90, 120)
TOLERANCE = 1e-4  # of logits of up to 14; see `test_everything_remembered_matters`


def disc_masks():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack(
        [
            (y - 30) ** 2 + (x - 30) ** 2 < 150,
            (y - 60) ** 2 + (x - 80) ** 2 < 300,
            (abs(y - 20) < 8) & (abs(x - 95) < 12),
        ]
    )


@pytest.fixture(scope="module", params=["lively", "shy"])
def pair(request, network, tmp_path_factory):
    """Our model and the library's; a shy one believes that objects come and go."""
    theirs = network("sam2_video")
    if request.param == "shy":
        with torch.no_grad():
            theirs.mask_decoder.pred_obj_score_head.proj_out.bias -= 0.855
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    return load_model(f"sam2:{folder}", device="cpu"), theirs


@pytest.fixture(scope="module")
def ours(checkpoints):
    return load_model(f"sam2:{checkpoints.sam2_video}", device="cpu")


@pytest.fixture(scope="module")
def theirs(network):
    return network("sam2_video")


@pytest.fixture(scope="module")
def frames(tile):
    return [tile(*SHAPE, seed=seed) for seed in range(20)]


class Walk:
    """Follows objects with our model as a caller would: it keeps what it is told to keep."""

    def __init__(self, model, frames):
        self.model, self.kept = model, {}
        self.embeddings = [model.encode(f[None])[0] for f in frames]

    def show(self, at, masks):
        self.kept[at] = (self.model.memorize(self.embeddings[at], masks), True)

    def memories(self, at, way=1):
        """Each object's memories for a walk through `at` in one direction."""
        count = len(next(iter(self.kept.values()))[0]["pointer"])
        return [
            [
                MemoryFrame({k: a[n] for k, a in arrays.items()}, way * (at - i), is_anchor)
                for i, (arrays, is_anchor) in self.kept.items()
                if is_anchor or way * (at - i) > 0
            ]
            for n in range(count)
        ]

    def go(self, at, way=1):
        found = self.model.track(self.embeddings[at], self.memories(at, way))
        self.kept[at] = (found.memory, False)
        return found


def assert_same(found, expected):
    logits, scores, present = expected
    np.testing.assert_allclose(found.logits, logits, atol=TOLERANCE)
    np.testing.assert_allclose(found.scores, scores, atol=TOLERANCE)
    np.testing.assert_allclose(found.present, present, atol=TOLERANCE)


def test_eighteen_frames_of_three_objects(pair, frames):
    """Beyond the reach of features (six frames) and of pointers (fifteen)."""
    model, network = pair
    session, walk, present = Session(network, 128, SHAPE), Walk(model, frames), []
    session.add_masks(0, disc_masks())
    walk.show(0, disc_masks())
    session.see(model._prepare(frames[0]))
    for at in range(1, 18):
        expected, found = session.see(model._prepare(frames[at])), walk.go(at)
        assert_same(found, expected)
        present += (found.present > 0.5).tolist()
        for name in ("features", "pointer"):  # bfloat16 has 8 bits: one flips now and then
            kept, other = found.memory[name].astype(np.float32), session.memory(at, name)
            close = np.isclose(kept, other, rtol=2**-7, atol=TOLERANCE)
            assert close.all()
            assert np.mean(np.abs(kept - other) > TOLERANCE) < 1e-2
    if "lively" in model.spec.source:
        assert all(present)
    else:
        assert 0.1 < np.mean(present) < 0.9


def test_the_users_mask_is_remembered_as_the_library_does(pair, frames):
    model, network = pair
    masks = np.concatenate([disc_masks(), np.zeros((1, *SHAPE), bool)])  # the last one is not there
    session = Session(network, 128, SHAPE)
    session.add_masks(0, masks)
    logits, _, present = session.see(model._prepare(frames[0]))
    kept = model.memorize(model.encode(frames[0][None])[0], masks)
    assert {name: array.dtype for name, array in kept.items()} == {
        "features": np.float16,
        "pointer": np.float32,
    }
    for name, array in kept.items():
        np.testing.assert_allclose(
            array, session.memory(0, name, conditioning=True), rtol=2**-7, atol=TOLERANCE
        )
    # What the library answers on a user's own frame is the mask: nothing to be tracked there.
    assert np.mean((logits > 0) != masks) < 0.02
    assert (present[:3] > 0.99).all()
    assert present[3] < 0.01


def test_backwards_from_the_middle(ours, theirs, frames):
    video = torch.from_numpy(np.stack([ours._prepare(f) for f in frames]))
    session, walk = Session(theirs, 128, SHAPE, video), Walk(ours, frames)
    session.add_masks(12, disc_masks())
    walk.show(12, disc_masks())
    session.see(index=12)
    for at in range(11, 2, -1):
        assert_same(walk.go(at, way=-1), session.see(index=at, reverse=True))
    for at in range(13, 17):  # then the other way: what lies behind is not looked at
        assert_same(walk.go(at), session.see(index=at))


def test_an_anchor_ahead_is_seen_but_not_pointed_to(ours, theirs, frames):
    session, walk = Session(theirs, 128, SHAPE), Walk(ours, frames)
    for at, masks in ((0, disc_masks()), (8, disc_masks()[::-1])):
        session.add_masks(at, masks)
        walk.show(at, masks)
        session.see(ours._prepare(frames[at]), index=at)
    for at in range(1, 8):
        assert_same(walk.go(at), session.see(ours._prepare(frames[at]), index=at))


# --- traps of the library -----------------------------------------------------------------


def test_frames_have_no_numbers(ours, theirs, frames):
    """A stream counts its frames from 0; a mask given at 40 waits there, and nobody says so."""
    lost, session = Session(theirs, 128, SHAPE), Session(theirs, 128, SHAPE)
    walk = Walk(ours, frames)
    for each in (lost, session):
        each.add_masks(40, disc_masks())
    walk.show(0, disc_masks())
    wrong, *_ = lost.see(ours._prepare(frames[0]))
    right, *_ = session.see(ours._prepare(frames[0]), index=40)
    assert np.mean((wrong > 0) != disc_masks()) > 0.1
    assert np.mean((right > 0) != disc_masks()) < 0.02
    for at in range(1, 4):
        assert_same(walk.go(at), session.see(ours._prepare(frames[at]), index=40 + at))


def test_a_short_video_is_not_told_by_its_length(ours, theirs, frames):
    """With all frames at hand the library scales the pointers' ages by the number of frames.

    The answer for a frame would depend on how many come after it. We do as its stream does.
    """
    video = torch.from_numpy(np.stack([ours._prepare(f) for f in frames[:5]]))
    whole, stream = Session(theirs, 128, SHAPE, video), Session(theirs, 128, SHAPE)
    walk = Walk(ours, frames)
    walk.show(0, disc_masks())
    for session in (whole, stream):
        session.add_masks(0, disc_masks())
    whole.see(index=0)
    stream.see(ours._prepare(frames[0]))
    expected, other = stream.see(ours._prepare(frames[1])), whole.see(index=1)
    assert_same(walk.go(1), expected)
    assert np.abs(expected[0] - other[0]).max() > 10 * TOLERANCE


@pytest.mark.parametrize("boxes", [[[60.0, 10, 110, 40]], [[[[60.0, 10, 110, 40]]]]])
def test_boxes_of_a_video_are_nested_three_deep(theirs, boxes):
    session = Session(theirs, 128, SHAPE)
    with pytest.raises(ValueError, match="nested list with 3 levels"):
        session.processor.process_new_points_or_boxes_for_video_frame(
            session.state, 0, [1], input_boxes=boxes
        )


def test_a_box_means_the_same_in_a_video(ours, theirs, frames):
    session = Session(theirs, 128, SHAPE)
    processor(128).process_new_points_or_boxes_for_video_frame(
        session.state, 0, [1], input_boxes=[[[60.0, 10, 110, 40]]]
    )
    logits, scores, _ = session.see(ours._prepare(frames[0]))
    embedding = ours.encode(frames[0][None])[0]
    found = ours.decode(embedding, [PromptSet(box=BoxPrompt(10, 60, 40, 110))])
    np.testing.assert_allclose(found.logits[0, 0], logits[0], atol=TOLERANCE)
    np.testing.assert_allclose(found.scores[0, 0], scores[0], atol=TOLERANCE)


# --- a pure function ------------------------------------------------------------------------


class TestContract(VideoModelContract):
    @pytest.fixture
    def model(self, ours):
        return ours


@pytest.fixture(scope="module")
def walked(ours, frames):
    walk = Walk(ours, frames)
    walk.show(0, disc_masks())
    for at in range(1, 9):
        walk.go(at)
    return walk


def test_what_is_out_of_reach_may_be_missing(walked, ours):
    """Of a frame seven or eight back only the pointer is read."""
    (memory, *_), embedding = walked.memories(9), walked.embeddings[9]
    bare = [
        replace(f, arrays={"pointer": f.arrays["pointer"]}) if 6 < f.distance < 9 else f
        for f in memory
    ]
    full = ours.track(embedding, [memory]).logits
    assert np.array_equal(ours.track(embedding, [bare]).logits, full)


def test_everything_remembered_matters(walked, ours):
    """Or the equalities above would say little."""
    (memory, *_), embedding = walked.memories(9), walked.embeddings[9]
    full = ours.track(embedding, [memory]).logits
    anchor, *rest = memory
    others = {
        "no neighbour": memory[:-1],
        "no anchor": rest,
        "one pointer less": [anchor, *rest[1:]],
        "all one further": [replace(f, distance=f.distance + 1) for f in memory],
        "anchor as any other": [replace(anchor, is_anchor=False), *rest],
        "anchor ahead": [replace(anchor, distance=-9), *rest],
        "another object": walked.memories(9)[1],
    }
    changes = {n: np.abs(ours.track(embedding, [m]).logits - full).max() for n, m in others.items()}
    assert min(changes.values()) > 100 * TOLERANCE, changes


def test_masks_of_another_tile_and_pointers_alone_are_refused(ours, frames):
    embedding = ours.encode(frames[0][None])[0]
    with pytest.raises(ModelError, match="for a tile of"):
        ours.memorize(embedding, disc_masks()[:, :-1])
    kept = {name: array[0] for name, array in ours.memorize(embedding, disc_masks()).items()}
    far = MemoryFrame(kept, 7)
    for frame in (far, MemoryFrame({"pointer": kept["pointer"]}, 1)):
        with pytest.raises(ModelError, match="nothing is remembered"):
            ours.track(embedding, [[frame]])


def test_the_published_geometry(network, tile, tmp_path):
    """1024 pixels and 64 x 64 places to remember; only the width is small."""
    theirs = network("sam2_video", size=1024)
    theirs.save_pretrained(tmp_path)
    model = load_model(f"sam2:{tmp_path}", device="cpu")
    images = [tile(*SHAPE, seed=seed) for seed in range(2)]
    session, walk = Session(theirs, 1024, SHAPE), Walk(model, images)
    session.add_masks(0, disc_masks()[:1])
    walk.show(0, disc_masks()[:1])
    session.see(model._prepare(images[0]))
    assert_same(walk.go(1), session.see(model._prepare(images[1])))
    assert walk.kept[1][0]["features"].nbytes == 1 << 19
