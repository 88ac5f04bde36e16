"""Sets of examples on disk: what is saved comes back, what is damaged is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save

from napari_ditto.core.geometry import Box
from napari_ditto.data.example_file import CONTEXT, load_examples, save_examples
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.errors import SourceError, StoreError


def make_example(dtype=np.uint16, shape=(90, 110), channels=0, **flags):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 200, (*shape, channels) if channels else shape).astype(dtype)
    source = open_source(pixels, axes="yxc" if channels else "yx", window=(10, 180))
    labels = np.zeros(shape, np.int32)
    labels[20:30, 40:52], labels[50:60, 60:70] = 3, 70_000
    return PlaneExample(source, source.plane(), labels, name="cells", **flags)


def plane(example):
    """The pixels under the labels as a model sees them."""
    return example.source.read(example.address, example.where)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i4", "f4", ">f8", "g", "?"])
@pytest.mark.parametrize("channels", [0, 2, 3])
def test_pixels_and_labels_come_back(tmp_path, dtype, channels):
    example = make_example(np.dtype(dtype), channels=channels)
    save_examples(tmp_path / "a.ditto-examples", [example], "ditto@1#0")
    loaded = load_examples(tmp_path / "a.ditto-examples")
    (found,) = loaded.examples
    assert loaded.model == "ditto@1#0"
    assert np.array_equal(found.labels, example.labels)
    assert np.array_equal(plane(found), plane(example))
    assert found.source.window == example.source.window
    assert found.source.channels == max(1, channels)


@settings(max_examples=25, deadline=None)
@given(
    labels=arrays(np.int64, st.tuples(st.integers(1, 20), st.integers(1, 20)),
                  elements=st.integers(-1, 1 << 40)),
    flags=st.tuples(*[st.booleans()] * 3),
    ids=st.none() | st.lists(st.integers(1, 1 << 40), max_size=3).map(tuple),
    corner=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    name=st.text(min_size=1, max_size=20),
    scale=st.tuples(*[st.floats(0.01, 100)] * 3),
)  # fmt: skip
def test_every_example_comes_back(tmp_path_factory, labels, flags, ids, corner, name, scale):
    stack = np.random.default_rng(1).integers(0, 255, (3, 60, 60), dtype=np.uint8)
    source = open_source(stack, axes="zyx", scale=scale)
    box = Box(0, 0, *labels.shape).shift(*corner)
    given_one = PlaneExample(source, source.plane({"z": 2}), labels, box, name, *flags, ids)
    path = tmp_path_factory.mktemp("sets") / "a.ditto-examples"
    save_examples(path, [given_one, given_one])
    for found in load_examples(path).examples:
        kept = (found.enabled, found.negative, found.partial, found.ids, found.name)
        assert kept == (*flags, ids, name)
        assert found.source.scale == scale[1:]
        if not (given_one.partial or given_one.negative):
            assert np.array_equal(found.labels, labels)
            assert np.array_equal(plane(found), plane(given_one))


def test_partial_examples_are_cut_out(tmp_path):
    whole = np.zeros((2000, 2000), np.uint8)
    labels = np.zeros(whole.shape, np.uint8)
    labels[1000:1020, 1000:1030] = 1
    source = open_source(whole, axes="yx", window=(0, 255))
    save_examples(tmp_path / "a", [PlaneExample(source, source.plane(), labels, partial=True)])
    (found,) = load_examples(tmp_path / "a").examples
    assert found.labels.sum() == 600
    assert max(found.source.shape) < 30 + 4 * CONTEXT + 1
    assert (tmp_path / "a").stat().st_size < 200_000


def test_large_planes_are_cut_to_what_is_labelled(tmp_path):
    labels = np.zeros((5000, 5000), np.uint8)
    labels[:9, :9] = 1
    source = open_source(np.zeros(labels.shape, np.uint8), axes="yx", window=(0, 255))
    save_examples(tmp_path / "a", [PlaneExample(source, source.plane(), labels)])
    assert (tmp_path / "a").stat().st_size < 100_000
    labels[-9:, -9:] = 1
    with pytest.raises(StoreError, match="too large"):
        save_examples(tmp_path / "b", [PlaneExample(source, source.plane(), labels)])


def test_composed_channels_are_kept_raw(tmp_path):
    rng = np.random.default_rng(2)
    parts = [open_source(rng.integers(0, 999, (30, 40)).astype(t), "yx", window=(5, 900))
             for t in (np.uint16, np.float32)]  # fmt: skip
    source = compose_sources(parts)
    example = PlaneExample(source, source.plane(), np.ones((30, 40), int))
    save_examples(tmp_path / "a", [example])
    (found,) = load_examples(tmp_path / "a").examples
    assert np.array_equal(plane(found), plane(example))


def test_a_memory_may_be_kept(tmp_path):
    moments = {"moments": np.arange(8.0).reshape(2, 4)}
    save_examples(tmp_path / "a", [], "classic@1#0", moments, (5,))
    found = load_examples(tmp_path / "a")
    assert found.examples == ()
    assert found.classes == (5,)
    assert np.array_equal(found.memory["moments"], moments["moments"])


def test_damage_is_found(tmp_path):
    path = tmp_path / "a.ditto-examples"
    save_examples(path, [make_example()])
    raw = path.read_bytes()
    rng = np.random.default_rng(3)
    places = [*range(10), *rng.integers(10, len(raw), 80).tolist()]
    for at in places:
        damaged = bytearray(raw)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="cannot be read"):
            load_examples(path)
    for length in [0, 1, 7, 8, 9, 500, len(raw) // 2, len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(StoreError, match="cannot be read"):
            load_examples(path)
    path.write_bytes(raw)
    assert len(load_examples(path).examples) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"not a tensor file at all, but a long line of text",
        b"\xff" * 64,
        save({"x": np.zeros(3)}),
        save({"x": np.zeros(3)}, {"format": "napari-ditto examples", "version": "99"}),
        save({"x": np.zeros(3)}, {"format": "napari-ditto examples", "version": "1"}),
    ],
)
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "a.ditto-examples"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        load_examples(path)


@pytest.mark.parametrize("fault", ["labels", "box", "window", "missing", "scale"])
def test_content_that_makes_no_sense_is_refused(tmp_path, fault):
    from napari_ditto.data.example_file import FORM

    facts = {"name": "a", "enabled": True, "negative": False, "partial": False, "ids": None,
             "box": [0, 0, 4, 4], "window": [[0.0], [1.0]], "scale": [1.0, 1.0]}  # fmt: skip
    tensors = {"0.pixels": np.zeros((4, 4, 1)), "0.labels": np.ones((4, 4), np.int8)}
    if fault == "labels":
        tensors["0.labels"] = np.ones((3, 4), np.int8)
    if fault == "missing":
        del tensors["0.labels"]
    facts |= {"box": [0, 0, 9, 9]} if fault == "box" else {}
    facts |= {"window": [[1.0], [0.0]]} if fault == "window" else {}
    facts |= {"scale": [0.0, 1.0]} if fault == "scale" else {}
    content = json.dumps({"examples": [facts], "model": "", "classes": []})
    path = tmp_path / "a"
    path.write_bytes(save(*FORM.seal(content, tensors)))
    with pytest.raises(StoreError, match="makes no sense"):
        load_examples(path)


def test_what_cannot_be_written_says_so_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    save_examples(path, [make_example()])
    with pytest.raises(StoreError, match="cannot be saved"):
        save_examples(tmp_path / "no folder" / "a", [make_example()])
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be saved"):
        save_examples(tmp_path / "folder", [])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "folder"]
    assert len(load_examples(path).examples) == 1


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        load_examples(tmp_path / "nothing")


def test_labels_that_do_not_fit_are_refused(tmp_path):
    example = make_example()
    wrong = PlaneExample(example.source, example.address, example.labels[:5])
    with pytest.raises(SourceError):
        save_examples(tmp_path / "a", [wrong])
