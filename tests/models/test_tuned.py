"""Tuned prompts on disk: what is saved comes back, what is damaged or foreign is refused."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype
from safetensors.numpy import save

from napari_ditto.errors import ModelError, StoreError
from napari_ditto.models.protocols import Memory
from napari_ditto.models.tuned import SUFFIX, Tuned, list_tuned, load_tuned, save_tuned

KEY = "ditto@1#0123"


def make_tuned(name="my-nuclei", model=KEY, classes=(1,)):
    moments = {"moments": np.arange(24.0).reshape(2, 3, 4), "level": np.array([2])}
    return Tuned(Memory(moments, classes, model), name, 0.7, 0.8, True, 3, "a note")


def same(a, b):
    assert (a.name, a.model, a.classes, a.instances, a.examples, a.note) == (
        b.name, b.model, b.classes, b.instances, b.examples, b.note,
    )  # fmt: skip
    assert np.array_equal([a.before, a.after], [b.before, b.after], equal_nan=True)
    assert a.memory.arrays.keys() == b.memory.arrays.keys()
    for name, array in a.memory.arrays.items():
        assert b.memory.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert (
            b.memory.arrays[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()
        )


scores = st.floats(0, 1) | st.just(math.nan)
dtypes = st.sampled_from(["f2", "f4", "f8", ">f4", "u1", "i8", ">u2", "?"]).map(np.dtype)
memories = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
    dtypes.flatmap(
        lambda t: arrays(t, array_shapes(min_dims=0, min_side=0), elements=from_dtype(t))
    ),
    max_size=4,
)


@given(
    memory=memories,
    classes=st.lists(st.integers(1, 1 << 40), min_size=1, max_size=4, unique=True).map(tuple),
    worth=st.tuples(scores, scores),
    name=st.from_regex(r"[A-Za-z0-9äß][A-Za-z0-9 .()_+-]{0,18}[a-z0-9)]", fullmatch=True),
    note=st.text(max_size=30),
    instances=st.booleans(),
)
def test_everything_comes_back(tmp_path_factory, memory, classes, worth, name, note, instances):
    folder = tmp_path_factory.mktemp("tuned")
    given_one = Tuned(Memory(memory, classes, KEY), name, *worth, instances, 2, note)
    path = save_tuned(given_one, folder)
    assert path.parent == folder
    same(given_one, load_tuned(name, KEY, folder))
    same(given_one, load_tuned(path, KEY))
    (listed,) = list_tuned(KEY, folder)
    same(given_one, listed)


def test_another_model_is_refused_in_one_line(tmp_path):
    save_tuned(make_tuned(), tmp_path)
    with pytest.raises(ModelError, match=r"ditto@1#0123, not for ditto@2#9") as refused:
        load_tuned("my-nuclei", "ditto@2#9", tmp_path)
    assert "\n" not in str(refused.value)
    assert list_tuned("ditto@2#9", tmp_path) == ()
    assert load_tuned("my-nuclei", None, tmp_path).model == KEY


def test_a_name_is_replaced_for_its_model_alone(tmp_path):
    save_tuned(make_tuned(), tmp_path)
    save_tuned(replace(make_tuned(), note="newer"), tmp_path)
    (found,) = list_tuned(KEY, tmp_path)
    assert found.note == "newer"
    with pytest.raises(StoreError, match="Choose another name"):
        save_tuned(make_tuned(model="classic@1#0"), tmp_path)


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", "a\\b", "/etc/x", ".hidden", "x\0y", "a\nb", "x ", "x.", "n" * 81, "-x"],
)
def test_no_name_leads_out_of_its_folder(tmp_path, name):
    folder = tmp_path / "inner"
    with pytest.raises(StoreError, match="cannot be a name"):
        save_tuned(make_tuned(name), folder)
    with pytest.raises(StoreError, match="cannot be a name"):
        load_tuned(name, KEY, folder)
    assert not list(tmp_path.rglob("*"))


def test_a_missing_name_is_told_what_there_is(tmp_path):
    save_tuned(make_tuned(), tmp_path)
    with pytest.raises(StoreError, match=r"no tuned prompt 'cells'. There are: my-nuclei"):
        load_tuned("cells", KEY, tmp_path)
    with pytest.raises(StoreError, match="There are: none"):
        load_tuned("cells", KEY, tmp_path / "nowhere")


def test_damage_is_found(tmp_path):
    path = save_tuned(make_tuned(), tmp_path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in [*range(10), *rng.integers(10, len(raw), 80).tolist()]:
        damaged = bytearray(raw)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match="cannot be read"):
            load_tuned(path)
    for length in [0, 1, 7, 8, 9, 100, len(raw) // 2, len(raw) - 1]:
        path.write_bytes(raw[:length])
        with pytest.raises(StoreError, match="cannot be read"):
            load_tuned("my-nuclei", KEY, tmp_path)
        assert list_tuned(None, tmp_path) == ()
    path.write_bytes(raw)
    same(make_tuned(), load_tuned(path))


@pytest.mark.parametrize(
    "content",
    [
        b"not a tensor file at all, but a long line of text",
        b"\xff" * 64,
        save({"x": np.zeros(3)}),
        save({"x": np.zeros(3)}, {"format": "napari-ditto examples", "version": "1"}),
        save({"x": np.zeros(3)}, {"format": "napari-ditto tuned prompt", "version": "99"}),
        save({"x": np.zeros(3)}, {"format": "napari-ditto tuned prompt", "version": "1"}),
    ],
)
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / f"a{SUFFIX}"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        load_tuned("a", KEY, tmp_path)
    assert list_tuned(None, tmp_path) == ()


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(StoreError, match="cannot be read: No such file"):
        load_tuned(tmp_path / "a")


def test_an_old_file_stays_if_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    path = save_tuned(make_tuned(), tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StoreError, match="cannot be saved: No space left"):
        save_tuned(replace(make_tuned(), note="newer"), tmp_path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == [path.name]
    same(make_tuned(), load_tuned(path))


def test_several_classes_are_not_one_kind():
    tuned = make_tuned(classes=(1, 4))
    assert tuned.memory_for(instances=False) is tuned.memory
    with pytest.raises(ModelError, match="tells 2 classes apart"):
        tuned.memory_for(instances=True)
    assert make_tuned().memory_for(instances=True)
