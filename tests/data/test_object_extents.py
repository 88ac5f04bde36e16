"""Where objects are: as counted by brute force, and read again only where something changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_ditto.data import object_extents
from napari_ditto.data.arrays import wrap
from napari_ditto.data.object_extents import Extents, rescan, scan


class Counted:
    """An array that notes which boxes are read."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read: list[tuple[slice, ...]] = []

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        self.read.append(index)
        return self.data[index]

    @property
    def pixels(self) -> int:
        return sum(int(np.prod([s.stop - s.start for s in box])) for box in self.read)


def drain(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def found(labels: np.ndarray, axes: str) -> Extents:
    return drain(scan(wrap(labels, "labels"), axes))


def brute(labels: np.ndarray, axes: Sequence[str]) -> list[tuple[Any, ...]]:
    rows = []
    frames = [i for i, name in enumerate(axes) if name == "t"]
    for label in np.unique(labels[labels > 0]).tolist():
        at = np.argwhere(labels == label)
        for frame in np.unique(at[:, frames], axis=0).tolist():
            here = at[(at[:, frames] == frame).all(axis=1)]
            low, high = here.min(axis=0).tolist(), (here.max(axis=0) + 1).tolist()
            rows.append((label, len(here), low, high, here.sum(axis=0).tolist()))
    return rows


def rows(extents: Extents) -> list[tuple[Any, ...]]:
    columns = (extents.ids, extents.counts, extents.low, extents.high, extents.sums)
    return list(zip(*(c.tolist() for c in columns), strict=True))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_extents, "BLOCK", 4)
    monkeypatch.setattr(object_extents, "MOST_APART", 200)


shapes = st.sampled_from(["yx", "tyx", "zyx", "tzyx"]).flatmap(
    lambda axes: st.tuples(
        st.just(axes), st.tuples(*(st.integers(1, 7 if a in "yx" else 3) for a in axes))
    )
)


@st.composite
def label_images(draw: st.DrawFn) -> tuple[str, np.ndarray]:
    axes, shape = draw(shapes)
    ids = st.sampled_from([0, 0, 0, 1, 2, 5, 2**33])
    return axes, draw(hnp.arrays(np.int64, shape, elements=ids))


@settings(max_examples=60, deadline=None)
@given(label_images())
def test_a_scan_finds_what_is_there(image: tuple[str, np.ndarray]) -> None:
    axes, labels = image
    assert rows(found(labels, axes)) == brute(labels, axes)


@settings(max_examples=60, deadline=None)
@given(label_images(), st.data())
def test_a_look_after_an_edit_finds_what_a_scan_would(
    image: tuple[str, np.ndarray], data: st.DataObject
) -> None:
    axes, labels = image
    object_extents.MOST_APART = data.draw(st.sampled_from([0, 200]))
    known = found(labels, axes)
    starts = [data.draw(st.integers(0, n - 1)) for n in labels.shape]
    region = tuple(
        slice(a, data.draw(st.integers(a + 1, n)))
        for a, n in zip(starts, labels.shape, strict=True)
    )
    after = labels.copy()
    after[region] = data.draw(st.sampled_from([0, 1, 7]))
    changed = np.unique(np.r_[labels[region][labels[region] != after[region]],
                              after[region][labels[region] != after[region]]])  # fmt: skip
    again = drain(rescan(wrap(after, "labels"), known, changed.tolist(), [region]))
    assert rows(again) == rows(found(after, axes))


def test_only_the_boxes_of_changed_objects_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_extents, "BLOCK", 512)
    labels = np.zeros((5, 400, 400), dtype=np.uint32)
    for number in range(100):
        y, x = divmod(number, 10)
        labels[:, y * 40 : y * 40 + 20, x * 40 : x * 40 + 20] = number + 1
    known = found(labels, "tyx")
    labels[2, 0:20, 0:10] = 0
    counted = Counted(labels)
    region = (slice(2, 3), slice(0, 20), slice(0, 10))
    again = drain(rescan(wrap(counted, "labels"), known, [1], [region]))
    assert counted.pixels == 20 * 20
    assert rows(again) == rows(found(labels, "tyx"))


def test_signed_and_boolean_labels_are_read() -> None:
    assert rows(found(np.array([[-1, 3], [0, 3]]), "yx")) == [(3, 2, [0, 1], [2, 2], [1.0, 2.0])]
    assert found(np.array([[True, False]]), "yx").ids.tolist() == [1]


def test_nothing_there() -> None:
    known = found(np.zeros((3, 3), np.uint8), "yx")
    assert rows(known) == []
    after = np.zeros((3, 3), np.uint8)
    after[1, 1] = 4
    again = drain(rescan(wrap(after, "x"), known, [4], [(slice(0, 3), slice(0, 3))]))
    assert again.centroids.tolist() == [[1.0, 1.0]]
