"""Session folders that somebody has made up: one clear line, nothing run, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ditto.data.packed_mask import PackedMask
from napari_ditto.data.session_folder import INDEX, read_session
from napari_ditto.data.session_pixels import read_labels, read_levels
from napari_ditto.engine.replay import replay
from napari_ditto.errors import DittoError, SourceError
from tests.data.test_session_folder import a_session, saved


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "a.ditto-session"
    saved(path, a_session())
    return path


@pytest.fixture
def folder(tmp_path, sound):
    return shutil.copytree(sound, tmp_path / sound.name)


def tell(folder, change):
    told = json.loads((folder / INDEX).read_text())
    change(told)
    (folder / INDEX).write_text(json.dumps(told))


def refused(folder, words=""):
    before = {p: p.stat().st_mtime_ns for p in folder.parent.rglob("*") if p.exists()}
    start = time.monotonic()
    with pytest.raises(SourceError, match=words) as caught:
        read_session(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.monotonic() - start < 5
    assert before == {p: p.stat().st_mtime_ns for p in folder.parent.rglob("*") if p.exists()}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\xff\xfe\x00", b"[]", b"null", b'{"format": "napari-ditto session"}', b"{" * 10,
        b'{"a":' * 200_000, b"[" * 1_000_000, b'{"format": NaN}', b'{"x": ' + b"9" * 100_000 + b"}",
        b'{"format": "napari-ditto session", "version": 2}',
        b'{"format": "napari-ditto session", "version": "1"}',
        b"\x80\x04\x95cos\nsystem\n", b'{"format":"napari-ditto session","version":1,"images":7}',
    ],
)  # fmt: skip
def test_an_index_that_is_none(folder, raw):
    (folder / INDEX).write_bytes(raw)
    refused(folder, "cannot be read")


@pytest.mark.parametrize(
    "name",
    [
        "../outside.zarr", "/etc", "labels-0123456789abcdef.zarr/../../x", "..", "labels-x.zarr",
        "labels-0123456789abcdef.pkl", "labels-0123456789abcdef.zarr\0", "C:\\x", "~/x", INDEX,
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["labels", "images", "examples"])
def test_names_that_lead_out(folder, name, where):
    def change(told):
        if where == "examples":
            told["examples"] = name
        else:
            told[where][0]["file" if where == "labels" else "kept"] = name

    tell(folder, change)
    refused(folder, "cannot be read")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_links_out_of_the_session(folder, tmp_path):
    secret = tmp_path / "secret.zarr"
    (folder / read_session(folder).labels[0].file).rename(secret)
    (folder / json.loads((folder / INDEX).read_text())["labels"][0]["file"]).symlink_to(secret)
    refused(folder, "leads out of the session")


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_an_index_that_is_a_link_or_a_pipe(folder, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    (folder / INDEX).unlink()
    (folder / INDEX).symlink_to(tmp_path / "x.json")
    refused(folder, "leads out")
    (folder / INDEX).unlink()
    os.mkfifo(folder / INDEX)
    refused(folder, "no plain file")


def test_an_index_without_end(folder, monkeypatch):
    with (folder / INDEX).open("ab") as file:
        file.truncate(1 << 32)  # a hole
    refused(folder, "larger than")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["labels"][0].update(shape=[1 << 30, 1 << 30]),
        lambda t: t["labels"][0].update(shape=[40, 50, 1]),
        lambda t: t["labels"][0].update(dtype="float64"),
        lambda t: t["labels"][0].update(dtype="object"),
        lambda t: t["labels"][0]["steps"][0].update(written={"box": [0, 0, 1 << 20, 1 << 20]}),
        lambda t: t["labels"][0]["steps"][0].update(window=[[1], [0]]),
        lambda t: t["labels"][0]["steps"][0].update(label=-1),
        lambda t: t["labels"][0]["steps"][0]["prompts"].update(points=[[1e400, 2, True]]),
        lambda t: t["labels"][0]["steps"][0]["prompts"].update(points=[["a", 2, True]]),
        lambda t: t["labels"][0]["steps"][0]["prompts"].update(
            mask={"box": [0, 0, 9, 9], "bits": "AAAA"}
        ),
        lambda t: t["prompts"][0].update(ndim=1 << 20),
        lambda t: t["prompts"][0].update(kind="tracks"),
        lambda t: t["prompts"][0].update(arrays=[[[1, 2, 3]], [[1, 2]]]),
        lambda t: t["prompts"][0].update(columns={"features.ditto": ["positive"]}),
        lambda t: t["images"].append(t["images"][0]),
        lambda t: t["images"][0].update(name="x" * 10_000),
        lambda t: t.update(view={"ndisplay": 7}),
        lambda t: t.update(settings=[1]),
    ],
)
def test_values_that_make_no_sense(folder, change):
    tell(folder, change)
    with pytest.raises(DittoError, match=r"cannot be read|not what the session says"):
        use(folder)


def use(folder):
    """Do all that is done with a session."""
    record = read_session(folder)
    for entry in record.labels:
        read_labels(folder, entry)
    for image in record.images:
        read_levels(folder, image)
    replay(folder)


def test_labels_that_would_fill_the_memory(folder):
    """The array says that it is large; nothing is read of it."""
    array = folder / read_session(folder).labels[0].file / "0" / "zarr.json"
    meta = json.loads(array.read_text())
    meta["shape"] = [1 << 20, 1 << 20]
    array.write_text(json.dumps(meta))
    with pytest.raises(DittoError):
        read_labels(folder, read_session(folder).labels[0])


def test_an_image_of_another_shape_or_address(folder, tmp_path):
    record = read_session(folder)
    tell(folder, lambda t: t["images"][0].update(kept="", path="http://example.org/x.png"))
    with pytest.raises(SourceError, match="is not there"):
        read_levels(folder, read_session(folder).images[0])
    script = tmp_path / "x.py"
    script.write_text("raise SystemExit('was run')")
    tell(folder, lambda t: t["images"][0].update(path=str(script)))
    with pytest.raises(SourceError, match="cannot read this file"):
        read_levels(folder, read_session(folder).images[0])
    tell(folder, lambda t: t["images"][0].update(kept=record.images[0].kept, shapes=[[9, 9]]))
    with pytest.raises(SourceError, match="another shape"):
        read_levels(folder, read_session(folder).images[0])


def test_a_mask_that_inflates_without_end():
    import base64
    import zlib

    from napari_ditto.core.geometry import Box
    from napari_ditto.data.checked import Misfit

    bomb = base64.b64encode(zlib.compress(bytes(1 << 24), 9)).decode()
    with pytest.raises(Misfit, match="does not fill its box"):
        PackedMask(Box(0, 0, 8, 8), bomb).unpack()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def places(told, way=()):
    """Yield the way to every value of a document."""
    yield way
    inner = (
        told.items() if isinstance(told, dict) else enumerate(told) if type(told) is list else ()
    )
    for key, value in inner:
        yield from places(value, (*way, key))


@settings(
    max_examples=2000 if os.environ.get("DITTO_STRESS") else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_value_in_any_place(folder, data):
    """Whatever stands where, it is read, or refused in one line."""
    good = (folder / INDEX).read_text()
    told = json.loads(good)
    way = data.draw(st.sampled_from(list(places(told))[1:]))
    at = told
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = data.draw(JSON)
    (folder / INDEX).write_text(json.dumps(told))
    trouble = ""
    try:
        use(folder)
    except DittoError as error:
        trouble = str(error)
    finally:
        (folder / INDEX).write_text(good)
    assert "\n" not in trouble


def test_saving_over_a_made_up_session_harms_nothing(folder, tmp_path):
    precious = tmp_path / "labels-0123456789abcdef.zarr"
    precious.mkdir()
    (precious / "data").write_text("x")
    tell(folder, lambda t: t["labels"][0].update(file="../labels-0123456789abcdef.zarr"))
    saved(folder, a_session(value=5))
    assert (precious / "data").read_text() == "x"
    assert read_labels(folder, read_session(folder).labels[0]).data[3, 4] == 5
