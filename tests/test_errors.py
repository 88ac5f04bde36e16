"""Every error is one line that says what, where and what to do."""

import pickle

import pytest

from napari_ditto import errors


@pytest.mark.parametrize(
    "cls",
    [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.DittoError)],
)
def test_one_line_and_survives_a_process_border(cls):
    error = cls("the tile\nis unreadable", where="layer 'cells'", todo="Check the disk.")
    assert str(error) == "the tile is unreadable (layer 'cells'). Check the disk."
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.todo == "Check the disk."
