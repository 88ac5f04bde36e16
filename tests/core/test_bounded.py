"""A dict that holds so many values at most."""

from napari_ditto.core.bounded import Bounded


def test_the_oldest_goes_first():
    held = Bounded(2)
    for name in "abc":
        held[name] = name.upper()
    assert held == {"b": "B", "c": "C"}


def test_a_value_that_is_replaced_drives_out_no_other():
    held = Bounded(2)
    for name, value in (("a", 1), ("b", 2), ("a", 3)):
        held[name] = value
    assert held == {"a": 3, "b": 2}
