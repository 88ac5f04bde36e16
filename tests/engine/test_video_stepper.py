"""Video models as steppers: what they are told, what they hand on, and that only that matters."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.jobs import drain
from napari_ditto.core.propagation import Gate, PlaneDone, Seen
from napari_ditto.data.blocks import pack as to_bytes
from napari_ditto.data.blocks import unpack as from_bytes
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.data.steps import DiskSteps, MemorySteps
from napari_ditto.engine.propagate import propagate, propagate_steps
from napari_ditto.engine.steppers import choose_stepper
from napari_ditto.engine.video_stepper import VideoStepper
from napari_ditto.models.protocols import MemoryFrame
from napari_ditto.models.registry import load_model
from napari_ditto.testing.contracts.video import VideoModelContract
from napari_ditto.testing.fakes import TRUTH_WINDOW, paint_truth
from napari_ditto.testing.scenes import drifting, truth_stack
from napari_ditto.testing.video import PerfectVideoModel
from tests.models.conftest import make_network

ANYTHING = Gate(0, 0, 0, np.inf)
SHAPE = (72, 96)


class Walk:
    """The loop at its simplest: what is found is believed and painted, six planes are read."""

    def __init__(self, stepper, source, axis="z", pins=False):
        self.stepper, self.source, self.axis, self.pins = stepper, source, axis, pins
        self.labels, self.carry, self.steps, self.users = {}, {}, {}, {}

    def show(self, at, labels):
        self.labels[at] = self.users[at] = np.asarray(labels, np.uint32)

    def address(self, at):
        return self.source.plane({self.axis: at})

    def seen(self, at, to):
        is_users = at in self.users
        carry = {} if is_users else self.carry[at]
        return Seen(self.address(at), self.labels[at], is_users, abs(at - to), carry)

    def go(self, at, way=1, doubted=()):
        before = [i for i in range(at - way, at - 7 * way, -way) if i in self.labels]
        seen = [self.seen(i, at) for i in before]
        step = drain(
            self.stepper.step(self.address(at), seen, [self.seen(i, at) for i in self.users])
        )
        labels = np.zeros(self.source.plane_shape(self.address(at)), np.uint32)
        for found in step.objects:
            if found.label not in doubted:
                labels[found.mask.box.slices][found.mask.mask] = found.label
        if self.pins:  # so that no object is covered wholly
            labels[0, : len(step.objects)] = [c.label for c in step.objects]
        self.labels[at], self.carry[at], self.steps[at] = labels, step.carry, step
        return step


def perfect(truth, tile=64, levels=1, **options):
    """Return a walk through the truth; coarser levels keep every second pixel."""
    stored = [paint_truth(truth[:, :: 2**i, :: 2**i]) for i in range(levels)]
    source = open_source(stored, axes="zyxc", window=TRUTH_WINDOW)
    stepper = VideoStepper(PerfectVideoModel(tile), source, **options)
    return Walk(stepper, source)


def distances(frames: list[MemoryFrame]) -> list[tuple[int, bool, bool]]:
    """Distance, whether a user's, whether with places; sorted."""
    return sorted((f.distance, f.is_anchor, "features" in f.arrays) for f in frames)


class TestThePerfectModel(VideoModelContract):
    @pytest.fixture
    def model(self):
        return PerfectVideoModel()


# --- what the model is told ---------------------------------------------------------------------


def test_objects_are_followed_both_ways_with_their_ids():
    truth = drifting(20)
    source = truth_stack(truth)
    stepper = VideoStepper(PerfectVideoModel(), source)
    found = propagate(source, {9: truth[9]}, stepper=stepper)
    assert np.array_equal(found.labels, truth)
    assert (found.confidence > 0.5).all()
    assert found.review == ()


def test_memories_are_made_once_and_reach_as_far_as_they_may():
    truth = drifting(20)
    walk = perfect(truth)
    walk.show(0, truth[0])
    for at in range(1, 20):
        walk.go(at)
    model = walk.stepper.model
    assert model.memorized == 3  # the user's masks; all others are handed on
    assert walk.stepper.encoder.counts.read == walk.stepper.encoder.counts.encoded == 20
    # Six planes with places, nine more by what they looked like, and the user's for ever.
    recent = [(d, False, d <= 6) for d in range(1, 16)]
    assert distances(model.asked[-1]) == [*recent, (19, True, True)]
    assert distances(model.asked[3 * 6]) == [*recent[:6], (7, True, True)]


def test_a_doubted_mask_is_not_remembered():
    truth = drifting(14)
    walk = perfect(truth)
    walk.show(0, truth[0])
    for at in range(1, 14):
        walk.go(at, doubted=[2] if at in {5, 6} else [])
    told = {frames[0].arrays["pointer"].item(): frames for frames in walk.stepper.model.asked[-3:]}
    assert {d for d, *_ in distances(told[1.0])} == set(range(1, 14))
    assert {d for d, *_ in distances(told[2.0])} == set(range(1, 14)) - {13 - 5, 13 - 6}


def test_an_anchor_on_the_far_side_lies_ahead():
    truth = drifting(12)
    walk = perfect(truth)
    for at in (0, 11):
        walk.show(at, truth[at])
    for at in range(1, 6):
        walk.go(at)
    assert (-6, True, True) in distances(walk.stepper.model.asked[-1])
    for at in range(10, 5, -1):
        walk.go(at, way=-1)
    assert (-6, True, True) in distances(walk.stepper.model.asked[-1])
    # A plane between two runs has nothing ahead of it.
    del walk.labels[5]
    both = [walk.seen(4, 5), walk.seen(6, 5), walk.seen(3, 5), walk.seen(7, 5)]
    anchors = [walk.seen(i, 5) for i in (0, 11)]
    step = drain(walk.stepper.step(walk.address(5), both, anchors))
    told = distances(walk.stepper.model.asked[-1])
    assert told[0] == (1, False, True)
    assert (6, True, True) in told
    assert Counter(d for d, _, _ in told)[1] == 2
    assert len(step.objects) == 3


def test_an_object_that_is_gone_is_said_to_be():
    truth = drifting(8, count=2)
    truth[5:][truth[5:] == 2] = 0
    walk = perfect(truth)
    walk.show(0, truth[0])
    for at in range(1, 6):
        step = walk.go(at)
    gone = step.objects[1]
    assert (gone.label, gone.mask.area, gone.mask.score) == (2, 0, 0.0)
    assert gone.expected.area > 0
    assert [c.label for c in walk.go(6).objects] == [1, 2]  # it may come back


def test_a_mask_is_expected_where_the_image_has_moved_it():
    """Or the gate would think that an object is lost when the stage has drifted."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 30, (20, 20)), np.ones((8, 8), int))
    scene[60:84, 60:84] = 200
    shifts = ((0, 0), (6, -9), (14, -1))
    truth = np.stack([np.roll(scene, s, (0, 1))[20:140, 20:140] for s in shifts])
    walk = perfect(truth, tile=128)
    walk.show(0, np.where(truth[0] == 200, 200, 0))
    for at in (1, 2):
        (found,) = walk.go(at).objects
        assert found.quality.overlap > 0.85
        assert np.count_nonzero((truth[at] == 200) & (truth[at - 1] == 200)) < 0.6 * 24**2


def test_nothing_to_look_for():
    truth = drifting(3)
    walk = perfect(truth)
    walk.show(0, np.zeros((40, 48)))
    step = walk.go(1)
    assert step.objects == ()
    assert dict(step.carry) == {}
    assert not walk.stepper.encoder.counts.read


# --- planes larger than a tile ------------------------------------------------------------------


def moving_disc(depth, step, shape=(80, 240), radius=10):
    y, x = np.mgrid[: shape[0], : shape[1]]
    discs = [(y - 40) ** 2 + (x - 20 - step * z) ** 2 <= radius**2 for z in range(depth)]
    return np.stack(discs).astype(int)


@pytest.mark.parametrize("step", [5, 12, 20])
def test_an_object_takes_its_tile_along(step):
    """A margin is 8 pixels: what moves faster leads out, and is looked for once more."""
    depth = 1 + 180 // step
    truth = moving_disc(depth, step)
    walk = perfect(truth)
    walk.show(0, truth[0])
    for at in range(1, depth):
        walk.go(at)
        assert np.array_equal(walk.labels[at], truth[at])
    tiles = [tuple(walk.carry[at]["tiles"][0].tolist()) for at in range(1, depth)]
    moves = sum(a != b for a, b in pairwise(tiles))
    assert 4 <= moves <= 6  # it stays as long as it is well inside
    # Each move memorizes the plane before anew, and the user's mask where that tile shows it.
    assert walk.stepper.model.memorized <= 2 + 2 * moves
    assert walk.stepper.encoder.counts.read <= depth + 3 * moves


def test_objects_share_tiles():
    truth = np.zeros((6, 64, 400), int)
    for n, x in enumerate((10, 30, 200, 220, 380)):
        truth[:, 20:32, x - 6 : x + 6] = n + 1
    walk = perfect(truth)
    walk.show(0, truth[0])
    for at in range(1, 6):
        walk.go(at)
        assert np.array_equal(walk.labels[at], truth[at])
    assert walk.stepper.encoder.counts.read == 6 * 4  # of 13 tiles


def test_an_object_larger_than_a_tile_is_seen_from_further_away():
    truth = np.zeros((4, 256, 256), int)
    truth[:, 30:220, 20:230] = 255
    walk = perfect(truth, levels=3)
    walk.show(0, truth[0])
    for at in range(1, 4):
        walk.go(at)
        shared = np.count_nonzero((walk.labels[at] == 255) & (truth[at] == 255))
        assert shared / np.count_nonzero(truth[at]) > 0.9
    assert walk.carry[3]["tiles"][0, 0] == 2


def test_a_hair_that_no_pixel_of_its_level_shows_ends():
    truth = np.zeros((3, 256, 256), int)
    truth[:, 9, 3:250] = 7
    walk = perfect(truth, levels=3)
    walk.show(0, truth[0])
    step = walk.go(1)
    assert [c.mask.area for c in step.objects] == [0]


# --- with the network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam2")
    make_network("sam2_video").save_pretrained(folder)
    return load_model(f"sam2:{folder}", device="cpu")


def movie(depth, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    planes = [
        np.sin(y / 9 + z / 5) + np.cos(x / 7 - z / 4) + 0.3 * rng.standard_normal(SHAPE)
        for z in range(depth)
    ]
    return (127 + 50 * np.stack(planes)).clip(0, 255).astype(np.uint8)


def two_objects():
    labels = np.zeros(SHAPE, np.uint32)
    labels[10:30, 10:40], labels[40:60, 50:80] = 3, 70000
    return labels


def network_walk(model, pixels, **options):
    source = open_source(pixels, axes="zyx", window=(0, 255))
    return Walk(VideoStepper(model, source, **options), source, pins=True)


def test_steps_are_what_the_model_says(model):
    """The walk of tests/models/sam2, which equals the library's, by way of planes and carries."""
    pixels = movie(18)
    walk = network_walk(model, pixels)
    walk.show(0, two_objects())
    shown = [two_objects() == n for n in (3, 70000)]
    source = walk.source
    embeddings = [
        model.encode(source.read(walk.address(z), Box.of_shape(SHAPE))[None])[0] for z in range(18)
    ]
    kept = [(model.memorize(embeddings[0], np.stack(shown)), True)]
    for at in range(1, 18):
        step = walk.go(at)
        memories = [
            [
                MemoryFrame({k: a[n] for k, a in arrays.items()}, at - i, is_anchor)
                for i, (arrays, is_anchor) in enumerate(kept)
            ]
            for n in range(2)
        ]
        found = model.track(embeddings[at], memories)
        kept.append((found.memory, False))
        for n, carried in enumerate(step.objects):
            whole = carried.mask.in_box(Box.of_shape(SHAPE))
            assert np.array_equal(whole, found.logits[n] > 0)
            assert carried.mask.score == pytest.approx(float(found.scores[n] * found.present[n]))
        for name, array in found.memory.items():
            assert np.array_equal(step.carry[f"memory.{name}"], array)


def assert_equal_steps(a, b):
    for one, other in zip(a.objects, b.objects, strict=True):
        assert (one.label, one.mask.box, one.mask.score) == (
            other.label,
            other.mask.box,
            other.mask.score,
        )
        assert np.array_equal(one.mask.mask, other.mask.mask)
    assert a.carry.keys() == b.carry.keys()
    assert all(np.array_equal(a.carry[n], b.carry[n]) for n in a.carry)


def test_a_step_resumed_from_what_was_stored_is_the_same_bit_for_bit(model):
    pixels = movie(13)
    walk = network_walk(model, pixels)
    walk.show(0, two_objects())
    for at in range(1, 13):
        walk.go(at)
    later = network_walk(model, pixels)
    later.show(0, two_objects())
    for at in range(1, 10):
        later.labels[at] = walk.labels[at]
        later.carry[at] = from_bytes(to_bytes({}, walk.carry[at]))[1]
    for at in range(10, 13):
        assert_equal_steps(later.go(at), walk.steps[at])
    # Only what was still to be done, and the user's plane.
    assert later.stepper.encoder.counts.encoded == 4


def test_forgetting_costs_time_only(model):
    """No room for embeddings, nor for what is remembered of the user's masks."""
    pixels = movie(4)
    walk = network_walk(model, pixels)
    poor = network_walk(model, pixels, cache=EmbeddingCache(0, directory=None), mask_bytes=0)
    for each in (walk, poor):
        each.show(0, two_objects())
    for at in range(1, 4):
        assert_equal_steps(poor.go(at), walk.go(at))


def test_a_mirrored_stack_gives_the_mirrored_result(model):
    pixels = movie(9)
    results = []
    for turned in (pixels, pixels[::-1]):
        source = open_source(np.ascontiguousarray(turned), axes="zyx", window=(0, 255))
        stepper = VideoStepper(model, source)
        examples = {0: two_objects(), 8: two_objects()[::-1]}
        examples = examples if turned is pixels else {8 - z: a for z, a in examples.items()}
        results.append(propagate(source, examples, stepper=stepper, gate=ANYTHING))
    forth, back = results
    assert np.array_equal(forth.labels, back.labels[::-1])
    assert np.array_equal(forth.confidence, back.confidence[:, ::-1], equal_nan=True)


def test_an_interrupted_propagation_goes_on_bit_for_bit(model, tmp_path):
    pixels = movie(8)
    source = open_source(pixels, axes="zyx", window=(0, 255))
    whole = propagate(
        source, {3: two_objects()}, stepper=VideoStepper(model, source), gate=ANYTHING
    )
    assert set(np.unique(whole.labels)) > {0}
    kept = DiskSteps(tmp_path)
    first = propagate_steps(
        source,
        {3: two_objects()},
        stepper=VideoStepper(model, source),
        gate=ANYTHING,
        steps=kept,
    )
    done = 0
    while done < 5:
        done += isinstance(next(first).partial, PlaneDone)
    first.close()
    stepper, planes = VideoStepper(model, source), []
    rest = propagate_steps(
        source, {3: two_objects()}, stepper=stepper, gate=ANYTHING, steps=DiskSteps(tmp_path)
    )
    result = drain(_noting(rest, planes))
    assert [p.reused for p in planes if p.address.index["z"] != 3].count(True) == 4
    assert np.array_equal(result.labels, whole.labels)
    assert np.array_equal(result.confidence, whole.confidence, equal_nan=True)
    assert stepper.encoder.counts.encoded <= 4 + 1


def _noting(steps, planes):
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            return end.value
        if isinstance(progress.partial, PlaneDone):
            planes.append(progress.partial)
        yield progress


def test_a_corrected_plane_is_a_new_anchor(model):
    """What depends on it is done again, what does not is not."""
    pixels = movie(7)
    source = open_source(pixels, axes="zyx", window=(0, 255))
    kept = MemorySteps()
    examples = {0: two_objects()}
    propagate(source, examples, stepper=VideoStepper(model, source), gate=ANYTHING, steps=kept)
    fixed = {**examples, 4: np.roll(two_objects(), 3, axis=1)}
    planes = []
    again = drain(
        _noting(
            propagate_steps(
                source, fixed, stepper=VideoStepper(model, source), gate=ANYTHING, steps=kept
            ),
            planes,
        )
    )
    fresh = propagate(source, fixed, stepper=VideoStepper(model, source), gate=ANYTHING)
    assert np.array_equal(again.labels, fresh.labels)
    assert np.array_equal(again.labels[4], fixed[4])


class LazyMovie:
    """Makes each plane when it is read, and counts."""

    def __init__(self, depth):
        self.shape, self.dtype, self.ndim = (depth, *SHAPE), np.dtype(np.uint8), 3
        self.reads = Counter()

    def __getitem__(self, key):
        z = key[0].start
        self.reads[z] += 1
        rng = np.random.default_rng(int(z))
        return rng.integers(0, 255, (1, *SHAPE), dtype=np.uint8)[(slice(None), *key[1:])]


def test_each_plane_is_read_once_and_memory_stays_flat(model):
    import dask.array as da

    movie, depth = LazyMovie(30), 30
    stack = da.from_array(
        movie, chunks=(1, *SHAPE), asarray=False, name=False, meta=np.zeros((0,) * 3, np.uint8)
    )
    source = open_source(stack, axes="zyx", window=(0, 255))
    stepper = VideoStepper(model, source, EmbeddingCache(2 << 20, directory=None))
    walk = Walk(stepper, source)
    walk.show(0, two_objects())
    movie.reads.clear()
    peaks = []
    tracemalloc.start()
    for at in range(1, depth):
        walk.go(at)
        for old in [i for i in walk.labels if 0 < i < at - 6]:  # as the loop, which keeps few
            del walk.labels[old], walk.carry[old], walk.steps[old]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
    tracemalloc.stop()
    assert len(movie.reads) == depth
    assert stepper.encoder.counts.read == depth
    assert max(peaks[20:]) < max(peaks[10:20]) + (1 << 20)


def test_its_key_tells_the_model(model):
    source = open_source(movie(2), axes="zyx", window=(0, 255))
    assert VideoStepper(model, source).key == f"video 2 {model.spec.key}"
    assert isinstance(choose_stepper(model, source), VideoStepper)
