"""Measurements of the objects as CSV or Parquet; units are in the names of the columns."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.features import needed
from napari_ditto.data.exporting.formats import Options
from napari_ditto.data.exporting.label_image import LabelImage
from napari_ditto.data.measured import Subject, short_unit
from napari_ditto.data.measuring import MeasurementTable, measure_steps

PARQUET = ".parquet"
BATCH = 10_000

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


def write(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write a row for each object; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    is_parquet = path.suffix.lower() == PARQUET
    if is_parquet:
        needed("pyarrow", "export", "Parquet")
    subject = Subject(
        labels.raw, labels.axes, labels.scale, tuple(short_unit(unit) for unit in labels.units)
    )
    measured = yield from measure_steps(subject, labels.pixels)
    table = measured.with_records(labels.table)
    if is_parquet:
        yield Progress("write", 0, 1, "writing the table")
        _write_parquet(table, path)
    else:
        yield from _write_csv(table, path)


def titles(table: MeasurementTable) -> list[str]:
    """Return the names of the columns with their units: ``"area [µm²]"``."""
    units = table.units
    return [f"{name} [{units[name]}]" if name in units else name for name in table.columns]


def _write_csv(table: MeasurementTable, path: Path) -> Generator[Progress, None, None]:
    columns: Sequence[list[Any]] = [column.tolist() for column in table.columns.values()]
    rows = zip(*columns, strict=True)
    total = len(columns[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(titles(table))
        for done in range(0, max(1, total), BATCH):
            yield Progress("write", done, total, f"row {done} of {total}")
            writer.writerows([_cell(v) for v in row] for row in itertools.islice(rows, BATCH))


def _cell(value: Any) -> Any:  # noqa: ANN401
    """Return what a cell holds: nothing where nothing is known, and never a formula."""
    if value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_parquet(table: MeasurementTable, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    fields = [
        pyarrow.field(name, pyarrow.array(column).type, metadata=_unit(table, name))
        for name, column in table.columns.items()
    ]
    units = {"napari-ditto": json.dumps({"units": dict(table.units)})}
    schema = pyarrow.schema(fields, metadata=units)
    arrays = [pyarrow.array(column, from_pandas=True) for column in table.columns.values()]
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), path)


def _unit(table: MeasurementTable, name: str) -> dict[str, str] | None:
    return {"unit": table.units[name]} if name in table.units else None
