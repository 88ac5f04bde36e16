"""Sessions that somebody has made up, in the window: what makes no sense is left out or told."""

from __future__ import annotations

import json
import os
import random

import pytest

from tests.ui.test_project import SPOTS, discs, window  # noqa: F401 - a fixture

pytestmark = pytest.mark.gui

COUNT = 300 if os.environ.get("DITTO_STRESS") else 6
PARTS = {
    *("place", "look", "columns", "arrays", "provenance", "objects", "settings", "view"),
    *("parts", "prompts", "shapes", "axes", "rgb", "channel_axis"),
}
VALUES = [
    *(None, True, -1, 0, 1e308, -1e308, 1e-320, 10**30, "", "x", "🦊" * 50, "../..", "minute"),
    *([], [1], [1, 2], ["a", "b"], [[1, 0], [0, 1]], [[0, 0], [0, 0]], [0, 0], [1e300, 1e300]),
    *({}, {"a": 1}, ["pixel", "bogus"], ["meter", "second"], [[1, 2], [2, 4]], [[1, 1e9], [0, 1]]),
]


def places(told, way=()):
    """Yield the way to every value of a document."""
    yield way
    pairs = enumerate(told) if isinstance(told, list) else ()
    for key, value in told.items() if isinstance(told, dict) else pairs:
        yield from places(value, (*way, key))


def test_any_value_in_any_place(window, tmp_path):  # noqa: F811
    one, path, rng = window(), tmp_path / "a.ditto-session", random.Random(1)
    one.open_image(discs(), name="discs", scale=(0.5, 0.5))
    one.click(SPOTS[0])
    one.click(SPOTS[1], accept=False)
    one.act("new_boxes")
    one.layers("Ditto boxes")[0].add_rectangles([[5, 5], [20, 20]])
    one.choose("save", path)
    good = json.loads((path / "session.json").read_text())
    ways = [way for way in places(good) if PARTS.intersection(way)]
    other = window()
    for _ in range(COUNT):
        told, way = json.loads(json.dumps(good)), rng.choice(ways)
        at = told
        for key in way[:-1]:
            at = at[key]
        at[way[-1]] = rng.choice(VALUES)
        (path / "session.json").write_text(json.dumps(told))
        other.view.confirm.return_value = True
        other.choose("open", path)
        assert "unexpected" not in other.session.error, (way, at[way[-1]])
        assert "\n" not in other.session.error
