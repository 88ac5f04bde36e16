"""The table of objects with 10,000 and 50,000 of them; measuring them on 16k x 16k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.jobs import drain
from napari_ditto.data.label_reading import wrap_labels
from napari_ditto.data.measuring import measure
from napari_ditto.data.object_extents import Extents, rescan, scan
from napari_ditto.data.object_json import read_objects, write_objects
from napari_ditto.data.object_records import ObjectClass, ObjectRecord, ObjectTable
from napari_ditto.data.pyramid_labels import PyramidLabels
from napari_ditto.ui.objects_table.rows import Facts, Places, Rows

CLASSES = (ObjectClass(1, "cell", "#e69f00"), ObjectClass(2, "debris", "#56b4e9"))
SIDE, STEP = 16_384, 160
COUNTS = pytest.mark.parametrize("count", [10_000, 50_000])


def table(count: int) -> ObjectTable:
    rng = np.random.default_rng(0)
    scores, kinds = rng.random(count + 1), rng.integers(0, 3, count + 1)
    return ObjectTable(
        {i: ObjectRecord(i, int(kinds[i]), float(scores[i]), "ditto@1#a", f"{i:032x}")
         for i in range(1, count + 1)},
        CLASSES,
    )  # fmt: skip


def extents(count: int) -> Extents:
    ids = np.arange(1, count + 1)
    low = np.stack([ids, ids[::-1]], axis=1)
    return Extents(("y", "x"), (), ids, ids % 99 + 1, low, low + 20, low * 1.0)


def rows(count: int) -> Rows:
    places = Places.of(extents(count), lambda _: (0.25, "µm²"))
    known = table(count)
    facts = Facts.empty(np.zeros(0, np.int64)).updated(places.ids, known)
    return Rows(places, facts, known)


@COUNTS
def test_rows_made_from_nothing(benchmark, count):
    found, known = extents(count), table(count)

    def make():
        places = Places.of(found, lambda _: (0.25, "µm²"))
        facts = Facts.empty(np.zeros(0, np.int64)).updated(places.ids, known)
        return Rows(places, facts, known).shown

    assert benchmark(make).size == count


@COUNTS
def test_rows_with_one_object_more(benchmark, count):
    old, found = rows(count), extents(count + 1)

    def accept():
        known = old.table.after(old.table.put([ObjectRecord(count + 1, 1, 0.5)]))
        places = Places.of(found, lambda _: (0.25, "µm²"))
        facts = old.facts.updated(places.ids, known, frozenset((count + 1,)))
        return Rows(places, facts, known).shown

    assert benchmark(accept).size == count + 1


@COUNTS
@pytest.mark.gui
def test_the_view_shows_one_object_more(benchmark, qtbot, count):
    from napari_ditto.ui.objects_table.state import ObjectsState
    from napari_ditto.ui.widgets.objects_table import ObjectsTable

    view = ObjectsTable()
    qtbot.addWidget(view)
    view.show()
    states = [ObjectsState("x", rows=rows(n), message="") for n in (count, count + 1)]
    turn = iter(range(1 << 30))

    def show():
        view.show_state(states[next(turn) % 2])
        qtbot.wait(0)

    benchmark(show)


@COUNTS
def test_a_table_on_disk(benchmark, tmp_path, count):
    PyramidLabels.create(tmp_path / "l.zarr", (64, 64), "yx")
    known = table(count)

    def write_and_read():
        write_objects(tmp_path / "l.zarr", known)
        return read_objects(tmp_path / "l.zarr")

    assert benchmark.pedantic(write_and_read, rounds=2) == known


@COUNTS
def test_colours_in_the_background(benchmark, count):
    from napari_ditto.ui.objects_table.colouring import ClassColors, make_colors

    facts = rows(count).facts
    wanted = ClassColors(facts.ids, facts.classes, {c.id: c.color for c in CLASSES}, 1)
    benchmark.pedantic(lambda: drain(make_colors(wanted, np.dtype(np.uint32))), rounds=3)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Return 16k x 16k labels on disk with 10,404 discs."""
    path: Path = tmp_path_factory.mktemp("large") / "l.zarr"
    store = PyramidLabels.create(path, (SIDE, SIDE), "yx")
    y, x = np.ogrid[:STEP, :STEP]
    disc = (y - 60) ** 2 + (x - 60) ** 2 < 45**2
    across = SIDE // STEP
    for i in range(across):
        band = np.zeros((STEP, SIDE), np.uint32)
        for j in range(across):
            band[:, j * STEP : (j + 1) * STEP][disc] = i * across + j + 1
        store.data[i * STEP : (i + 1) * STEP] = band
    return store


def test_look_through_16k(benchmark, large):
    found = benchmark.pedantic(lambda: drain(scan(wrap_labels(large.data, "l"), "yx")), rounds=1)
    assert found.ids.size == (SIDE // STEP) ** 2


def test_look_again_after_one_object_on_16k(benchmark, large):
    raw = wrap_labels(large.data, "l")
    known = drain(scan(raw, "yx"))
    box = Box(5000, 5000, 5040, 5040)
    delta = large.write(PlaneAddress(), box, np.ones(box.shape, bool), 77_777, "replace")
    changed = np.unique([delta.old, delta.new]).tolist()
    found = benchmark(lambda: drain(rescan(raw, known, changed, [box.slices])))
    assert 77_777 in found.ids


def test_measure_1000_objects(benchmark):
    labels = np.zeros((1600, 1600), np.uint32)
    for number in range(1000):
        y, x = divmod(number, 40)
        labels[y * 40 + 5 : y * 40 + 35, x * 40 + 5 : x * 40 + 30] = number + 1
    image = np.random.default_rng(0).random(labels.shape)
    assert len(benchmark.pedantic(lambda: measure(labels, image), rounds=1)) == 1000
