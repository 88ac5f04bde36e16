"""Measurements of the objects: CSV with units in the names of columns, Parquet with metadata."""

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

BATCH = 10_000

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


def write_csv(labels: LabelImage, path: Path, options: Options) -> Generator[Progress, None, None]:
    """Write a row for each object; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    table = yield from _measured(labels)
    columns: Sequence[list[Any]] = [column.tolist() for column in table.columns.values()]
    rows = zip(*columns, strict=True)
    total = len(table)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(titles(table))
        for done in range(0, max(1, total), BATCH):
            yield Progress("write", done, total, f"row {done} of {total}")
            writer.writerows([_cell(v) for v in row] for row in itertools.islice(rows, BATCH))


def write_parquet(
    labels: LabelImage, path: Path, options: Options
) -> Generator[Progress, None, None]:
    """Write a row for each object; see :class:`~napari_ditto.data.exporting.formats.Writer`."""
    needed("pyarrow", "export", "Parquet")
    import pyarrow
    import pyarrow.parquet

    table = yield from _measured(labels)
    yield Progress("write", 0, 1, "writing the table")
    fields = [
        pyarrow.field(name, pyarrow.array(column).type, metadata=_unit(table, name))
        for name, column in table.columns.items()
    ]
    units = {"napari-ditto": json.dumps({"units": dict(table.units)})}
    schema = pyarrow.schema(fields, metadata=units)
    arrays = [pyarrow.array(column, from_pandas=True) for column in table.columns.values()]
    pyarrow.parquet.write_table(pyarrow.table(arrays, schema=schema), path)


def _measured(labels: LabelImage) -> Generator[Progress, None, MeasurementTable]:
    units = tuple(short_unit(unit) for unit in labels.units)
    subject = Subject(labels.raw, labels.axes, labels.scale, units)
    measured = yield from measure_steps(subject, labels.pixels)
    return measured.with_records(labels.table)


def titles(table: MeasurementTable) -> list[str]:
    """Return the names of the columns with their units: ``"area [µm²]"``."""
    units = table.units
    return [f"{name} [{units[name]}]" if name in units else name for name in table.columns]


def _cell(value: Any) -> Any:  # noqa: ANN401
    """Return what a cell holds: nothing where nothing is known, and never a formula."""
    if value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _unit(table: MeasurementTable, name: str) -> dict[str, str] | None:
    return {"unit": table.units[name]} if name in table.units else None
