"""What every label store must do, in every orientation of the plane."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.data.protocols import LabelDelta, LabelStore
from napari_ditto.errors import LabelsError

AXES = ("t", "z", "y", "x")
SHAPE = (2, 6, 13, 9)
PLANES = [
    PlaneAddress("y", "x", (("t", 1), ("z", 4))),
    PlaneAddress("z", "x", (("t", 0), ("y", 3))),
    PlaneAddress("z", "y", (("t", 1), ("x", 8))),
    PlaneAddress("x", "y", (("t", 1), ("z", 5))),
    PlaneAddress("y", "t", (("z", 0), ("x", 0))),
]

# Subclasses run the same test over different stores, each with examples of its own.
SETTINGS = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)


def plane_of(array: NDArray[np.integer], address: PlaneAddress) -> NDArray[np.integer]:
    """Return a view of a plane of a numpy array with axes :data:`AXES`, rows then columns."""
    order = [AXES.index(name) for name in (*address.index, address.rows, address.columns)]
    plane: NDArray[np.integer] = array.transpose(order)[tuple(address.index.values())]
    return plane


@st.composite
def writes(draw: st.DrawFn) -> tuple[PlaneAddress, Box, NDArray[np.bool_], int, str]:
    """Draw the arguments of one write: any plane, box, mask, small id and policy."""
    address = draw(st.sampled_from(PLANES))
    height, width = plane_of(np.zeros(SHAPE, np.uint8), address).shape
    y0, y1 = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    x0, x1 = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    box = Box(y0, x0, y1, x1)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    mask = rng.random(box.shape) < draw(st.sampled_from([0.0, 0.1, 0.6, 1.0]))
    label = draw(st.integers(0, 5))
    return address, box, mask, label, draw(st.sampled_from(["keep", "replace"]))


class LabelStoreContract:
    """Subclass it and give :meth:`make`."""

    def make(self) -> LabelStore:
        """Return an empty store of :data:`SHAPE` along :data:`AXES`."""
        raise NotImplementedError

    def contents(self, store: LabelStore) -> NDArray[np.integer]:
        """Return a copy of the whole level-0 array."""
        return np.array(store.data[...])  # type: ignore[index]

    def put(self, store: LabelStore, label: int, box: Box, overlap: str = "keep") -> LabelDelta:
        """Write a filled box into the first plane."""
        return store.write(PLANES[0], box, np.ones(box.shape, bool), label, overlap)  # type: ignore[arg-type]

    def test_is_a_store(self) -> None:
        store = self.make()
        assert isinstance(store, LabelStore)
        assert store.shape == SHAPE
        assert store.dtype.kind in "iu"
        assert not self.contents(store).any()

    @pytest.mark.parametrize("address", PLANES, ids=str)
    def test_writes_where_it_says(self, address: PlaneAddress) -> None:
        store, expected = self.make(), np.zeros(SHAPE, int)
        height, width = plane_of(expected, address).shape
        box = Box(1, 1, height, width)
        mask = np.random.default_rng(0).random(box.shape) < 0.5
        mask[0, 0] = mask[-1, -1] = True
        store.write(address, box, mask, 3)
        plane_of(expected, address)[box.slices][mask] = 3
        np.testing.assert_array_equal(self.contents(store), expected)
        np.testing.assert_array_equal(store.read(address, box), np.where(mask, 3, 0))

    @SETTINGS
    @given(st.lists(writes(), max_size=6))
    def test_undo_and_redo_bit_for_bit(
        self, steps: list[tuple[PlaneAddress, Box, NDArray[np.bool_], int, str]]
    ) -> None:
        store, model = self.make(), np.zeros(SHAPE, int)
        states, deltas = [model.copy()], []
        for address, box, mask, label, overlap in steps:
            view = plane_of(model, address)[box.slices]
            view[mask & ((view == 0) | (overlap == "replace"))] = label
            states.append(model.copy())
            deltas.append(store.write(address, box, mask, label, overlap))  # type: ignore[arg-type]
            np.testing.assert_array_equal(self.contents(store), model)
        for delta, state in zip(deltas[::-1], states[-2::-1], strict=True):
            store.revert(delta)
            np.testing.assert_array_equal(self.contents(store), state)
        for delta, state in zip(deltas, states[1:], strict=True):
            store.apply(delta)
            np.testing.assert_array_equal(self.contents(store), state)

    @SETTINGS
    @given(writes(), writes())
    def test_delta_is_tight_and_true(
        self,
        first: tuple[PlaneAddress, Box, NDArray[np.bool_], int, str],
        second: tuple[PlaneAddress, Box, NDArray[np.bool_], int, str],
    ) -> None:
        store = self.make()
        store.write(*first)  # type: ignore[arg-type]
        address, box = second[:2]
        before = store.read(address, box)
        delta = store.write(*second)  # type: ignore[arg-type]
        changed = before != store.read(address, box)
        rows, columns = np.nonzero(changed)
        assert delta.box.is_empty == (not changed.any())
        assert delta.old.shape == delta.new.shape == delta.box.shape
        if changed.any():
            y0, x0 = rows.min() + box.y0, columns.min() + box.x0
            tight = Box(y0, x0, rows.max() + 1 + box.y0, columns.max() + 1 + box.x0)
            assert delta.box == tight
            inside = tight.shift(-box.y0, -box.x0).slices
            np.testing.assert_array_equal(delta.old, before[inside])
            np.testing.assert_array_equal(delta.new, store.read(address, tight))

    def test_keep_leaves_others_alone_and_replace_does_not(self) -> None:
        store = self.make()
        self.put(store, 1, Box(2, 2, 6, 6))
        self.put(store, 2, Box(4, 4, 8, 8))
        plane = plane_of(self.contents(store), PLANES[0])
        assert ((plane == 1).sum(), (plane == 2).sum()) == (16, 12)
        delta = self.put(store, 3, Box(0, 0, 8, 8), "replace")
        assert delta.box == Box(0, 0, 8, 8)
        assert (plane_of(self.contents(store), PLANES[0])[:8, :8] == 3).all()

    def test_what_was_painted_since_survives_undo_and_redo(self) -> None:
        store = self.make()
        delta = self.put(store, 1, Box(2, 2, 6, 6))
        self.put(store, 2, Box(3, 3, 4, 4), "replace")
        self.put(store, 4, Box(2, 6, 6, 7))
        store.revert(delta)
        plane = plane_of(self.contents(store), PLANES[0])
        assert (np.unique(plane).tolist(), plane[3, 3]) == ([0, 2, 4], 2)
        store.apply(delta)
        plane = plane_of(self.contents(store), PLANES[0])
        assert ((plane == 1).sum(), plane[3, 3]) == (15, 2)

    def test_next_label_never_meets_an_id_in_use(self) -> None:
        store, used = self.make(), set()
        for i in range(5):
            label = store.next_label()
            assert label not in used
            assert label == store.next_label()
            used.add(label)
            delta = self.put(store, label, Box(i, i, i + 2, i + 2), "replace")
            if i == 3:
                store.revert(delta)
                assert store.next_label() not in used
        self.put(store, 60, Box(0, 0, 1, 1), "replace")
        assert store.next_label() == 61

    def test_deltas_own_their_pixels(self) -> None:
        store = self.make()
        delta = self.put(store, 1, Box(2, 2, 6, 6))
        old, new = delta.old.copy(), delta.new.copy()
        self.put(store, 2, Box(0, 0, 8, 8), "replace")
        np.testing.assert_array_equal(delta.old, old)
        np.testing.assert_array_equal(delta.new, new)

    def test_reading_gives_a_copy(self) -> None:
        store = self.make()
        store.read(PLANES[0], Box(0, 0, 4, 4))[...] = 9
        assert not self.contents(store).any()

    @pytest.mark.parametrize("label", [-1, 2**64, 2**70])
    def test_refuses_ids_that_do_not_fit(self, label: int) -> None:
        store = self.make()
        with pytest.raises(LabelsError, match="does not fit"):
            self.put(store, label, Box(0, 0, 2, 2))
        assert not self.contents(store).any()

    def test_takes_the_last_id_and_then_says_so(self) -> None:
        store = self.make()
        last = int(np.iinfo(store.dtype).max)
        self.put(store, last, Box(0, 0, 2, 2))
        assert int(store.read(PLANES[0], Box(0, 0, 1, 1))[0, 0]) == last
        with pytest.raises(LabelsError, match=r"no free id.*wider"):
            store.next_label()

    def test_refuses_what_does_not_fit_the_plane(self) -> None:
        store, inside = self.make(), Box(0, 0, 4, 4)
        mask = np.ones(inside.shape, bool)
        addresses = [
            PlaneAddress("y", "x"),
            PlaneAddress("y", "c", PLANES[0].fixed),
            PlaneAddress("y", "y", PLANES[0].fixed),
            PLANES[0].with_index({"z": SHAPE[1]}),
            PLANES[0].with_index({"z": -1}),
        ]
        for address in addresses:
            with pytest.raises(LabelsError):
                store.write(address, inside, mask, 1)
        for box in [Box(-1, 0, 3, 4), Box(10, 0, 14, 4), Box(0, 6, 4, 10), Box(4, 4, 2, 2)]:
            with pytest.raises(LabelsError):
                store.read(PLANES[0], box)
        for shape in itertools.product([4, 3], [5, 4, 1], repeat=1):
            if shape != inside.shape:
                with pytest.raises(LabelsError, match="mask"):
                    store.write(PLANES[0], inside, np.ones(shape, bool), 1)
        assert not self.contents(store).any()
