"""Files of outlines that mean harm: refused in one line, without code run or memory filled."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import roifile

from napari_ditto.data.export import export
from napari_ditto.data.importing.labels import import_labels
from napari_ditto.data.npe2_io import reader_of_labels, reader_of_shapes
from napari_ditto.errors import DittoError

SQUARE = [[0, 0], [5, 0], [5, 5], [0, 5]]
HUGE = 2**62


def geojson(coordinates, kind="Polygon", **more):
    feature = {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, **more}
    return json.dumps({"type": "FeatureCollection", "features": [feature]})


def coco(segmentation, **image):
    picture = {"id": 1, "file_name": "a", "width": 10, "height": 10, **image}
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    return json.dumps({"images": [picture], "annotations": [entry], "categories": []})


def ours(**grid):
    told = {"axes": ["y", "x"], "shape": [9, 9], "scale": [1, 1], "translate": [0, 0]}
    told |= {"units": ["", ""], **grid}
    return json.dumps({"type": "FeatureCollection", "features": [], "napari-ditto": told})


TEXTS = {
    "empty.geojson": "",
    "binary.geojson": "\x00\x01\x02",
    "list.geojson": "[]",
    "deep.geojson": "[" * 100_000,
    "deep2.geojson": '{"type":"GeometryCollection","geometries":[' * 500 + "]}" * 500,
    "nan.geojson": geojson([[[0, 0], [float("nan"), 0], [1, 1]]]),
    "inf.geojson": geojson([[[0, 0], [float("inf"), 0], [1, 1]]]),
    "digits.geojson": '{"type":"Point","coordinates":[' + "9" * 10_000 + ",1]}",
    "far.geojson": geojson([[[0, 0], [1e300, 0], [1, 1]]]),
    "huge.geojson": geojson([[[0, 0], [1e9, 0], [1e9, 1e9], [0, 1e9]]]),
    "text.geojson": geojson("rings"),
    "ragged.geojson": geojson([[[0, 0], [1], [2, 2]]]),
    "objects.geojson": geojson([[{}, {}, {}]]),
    "number.geojson": geojson(7),
    "crs.geojson": json.dumps({"type": "FeatureCollection", "features": [], "crs": {"a": 1}}),
    "grid.geojson": ours(shape=[HUGE, HUGE]),
    "grid2.geojson": ours(shape=[-1, 9]),
    "grid3.geojson": ours(axes=["y"]),
    "plane.geojson": geojson([SQUARE], properties={"z": HUGE}),
    "size.json": coco({"size": [10, 10], "counts": "1"}, width=HUGE, height=HUGE),
    "runs.json": coco({"size": [10, 10], "counts": [HUGE, HUGE]}),
    "minus.json": coco({"size": [10, 10], "counts": [-1, 101]}),
    "letters.json": coco({"size": [10, 10], "counts": "~~~~"}),
    "endless.json": coco({"size": [10, 10], "counts": "P" * 1000}),
    "other.json": coco({"size": [11, 10], "counts": [110]}),
    "odd.json": coco([[1, 2, 3]]),
    "words.json": coco([["a", "b"]]),
    "planes.json": coco([[0, 0, 5, 0, 5, 5]], plane={"z": HUGE}),
    "none.json": '{"images": []}',
    "several.json": json.dumps({"images": [{"id": n, "file_name": str(n)} for n in (1, 2)]}),
    "text.gpkg": "SQLite format 2",
    "vrt.gpkg": "<OGRVRTDataSource><OGRVRTLayer name='a'/></OGRVRTDataSource>",
    "empty.gpkg": "SQLite format 3\0",
    "text.zip": "PK",
    "text.roi": "Iout",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_means_harm_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_text(TEXTS[name])
    with pytest.raises(DittoError) as caught:
        import_labels(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("suffix", [".geojson", ".json", ".gpkg", ".zip", ".roi"])
def test_pipes_devices_and_folders_do_not_hold_us_up(tmp_path, suffix):
    for number, make in enumerate((os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p))):
        path = tmp_path / f"{number}{suffix}"
        make(path)
        assert reader_of_shapes(str(path)) is None
        with pytest.raises(DittoError) as caught:
            import_labels(path)
        assert "\n" not in str(caught.value)


def a_zip(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.roi", content)
    return path


def roi(**changes):
    made = bytearray(roifile.ImagejRoi.frompoints(SQUARE, name="a").tobytes())
    for at, (form, value) in changes.values():
        struct.pack_into(form, made, at, value)
    return bytes(made)


ROIS = {
    "count": roi(count=(16, (">H", 65_535))),
    "name": roi(name=(60, (">i", 2**31 - 1))),
    "minus": roi(name=(60, (">i", -(2**31)))),
    "kind": roi(kind=(6, ("B", 99))),
    "composite": roi(kind=(6, ("B", 1)), size=(36, (">i", 2**31 - 1))),
    "nothing": b"",
    "short": b"Iout" + b"\xff" * 30,
    "noise": b"Iout" + bytes(range(256)) * 3,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ROIS)
def test_rois_that_mean_harm_end_in_labels_or_one_line(tmp_path, name):
    path = a_zip(tmp_path / "a.zip", a=ROIS[name])
    try:
        found = import_labels(path)
    except DittoError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert found.data.nbytes < 1 << 31


def test_members_that_lead_elsewhere_touch_nothing(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    path = inside / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.roi", roi())
        archive.writestr(str(tmp_path / "evil.roi"), roi())
    assert import_labels(path).data.any()
    assert [p.name for p in tmp_path.rglob("*")] == ["inside", "a.zip"]


def test_archives_of_other_things_are_not_ours(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.roi", roi())
        archive.writestr("run.py", "print('hello')")
    assert reader_of_shapes(str(tmp_path / "a.zip")) is None
    with pytest.raises(DittoError, match="not a list"):
        import_labels(tmp_path / "a.zip")


BOMBS = """
    import sys
    from pathlib import Path
    from napari_ditto.data.importing.labels import import_labels
    from napari_ditto.errors import DittoError
    for path in sorted(Path(sys.argv[1]).iterdir()):
        try:
            import_labels(path)
        except DittoError as error:
            print(path.name, "refused", len(str(error).splitlines()))
        else:
            print(path.name, "read")
"""


def test_bombs_do_not_fill_the_memory(tmp_path):
    a_zip(tmp_path / "zeros.zip", a=b"Iout" + bytes(1 << 26))
    zigzag = [[0 if n % 2 else 3000, 0 if n % 4 < 2 else 3000] for n in range(4_000)]
    (tmp_path / "zigzag.geojson").write_text(geojson([zigzag]))
    (tmp_path / "holes.geojson").write_text(geojson([SQUARE] * 5_000))
    runs = {"size": [4_000, 4_000], "counts": [0, 16_000_000]}
    (tmp_path / "whole.json").write_text(coco(runs, width=4_000, height=4_000))
    limit = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(BOMBS), str(tmp_path)],
        capture_output=True, text=True, env=limit, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert outcomes["zeros.zip"] == "refused 1"
    assert outcomes["zigzag.geojson"] == "read"
    assert outcomes["holes.geojson"] == "read"


def test_a_foreign_zarr_that_says_it_is_ours_is_still_checked(tmp_path):
    path = export(np.eye(9, dtype=np.uint8), tmp_path / "a.zarr")
    meta = path / "0" / "zarr.json"
    told = json.loads(meta.read_text())
    told["codecs"] = [{"name": "bytes"}, {"name": "numcodecs.pickle"}]
    meta.write_text(json.dumps(told))
    read = reader_of_labels(str(path))
    assert read is not None
    with pytest.raises(DittoError):
        read(str(path))
