"""Measurements as tables."""

import numpy as np
import pandas
import pytest

from napari_ditto.data.export import export
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.errors import StoreError

UNITS = ("micrometer",) * 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_are_read_by_pandas(tmp_path, labels, table, suffix):
    path = export(
        labels,
        tmp_path / f"a{suffix}",
        image=labels * 2.0,
        scale=(0.5, 0.5),
        units=UNITS,
        objects=table,
    )
    read = (pandas.read_csv if suffix == ".csv" else pandas.read_parquet)(path)
    area = "area [µm²]" if suffix == ".csv" else "area"
    assert read.label.tolist() == [1, 2, 3, 4, 60_000]
    assert read[area].tolist() == [(labels == n).sum() / 4 for n in read.label]
    assert read.mean_intensity.tolist() == (2 * read.label).tolist()
    assert read["class"].fillna("").tolist()[:3] == ["cell", 'a "b", é', ""]
    assert read.score.isna().sum() == 3


def test_units_are_kept_in_parquet(tmp_path, labels):
    import pyarrow.parquet

    path = export(labels, tmp_path / "a.parquet", scale=(0.5, 0.5), units=UNITS)
    schema = pyarrow.parquet.read_schema(path)
    assert schema.field("area").metadata == {b"unit": "µm²".encode()}


def test_the_format_may_be_told_in_place_of_the_suffix(tmp_path, labels):
    path = export(labels, tmp_path / "a.data", format="parquet")
    assert pandas.read_parquet(path).label.tolist() == [1, 2, 3, 4, 60_000]


@pytest.mark.parametrize("name", ["=1+1", "+x", "@a", "-2"])
def test_a_name_is_never_a_formula(tmp_path, labels, name):
    table = ObjectTable({1: ObjectRecord(1, 1)}, (ObjectClass(1, name, "#000000"),))
    path = export(labels, tmp_path / "a.csv", objects=table)
    assert f"'{name}" in path.read_text()


def test_no_objects_make_a_table_without_rows(tmp_path):
    path = export(np.zeros((9, 9), np.uint8), tmp_path / "a.csv")
    assert len(pandas.read_csv(path)) == 0


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("a.parquet", "pyarrow", "export"), ("a.gpkg", "pyogrio", "geo")]
)
def test_a_missing_library_is_named_with_its_extra(
    tmp_path, labels, monkeypatch, name, module, extra
):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(StoreError, match=rf"{module}.*napari-ditto\[{extra}\]") as caught:
        export(labels, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
