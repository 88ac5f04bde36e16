"""A run costs what it looks at, however large the image; see also `benchmarks/test_whole.py`."""

from __future__ import annotations

import sys

import pytest

from tests.engine.whole.scale import in_a_process, planned, scanned

SIDE = 600_000


@pytest.mark.skipif(sys.platform != "linux", reason="the most memory held is read from /proc")
def test_memory_does_not_grow_with_the_image_and_chunks_are_read_about_once(tmp_path):
    small, large = (
        in_a_process("bounded", side, 300, tmp_path / str(side)) for side in (4000, 100_000)
    )
    assert small["objects"] == large["objects"] > 10
    assert small["blocks"] == large["blocks"] == 1
    assert large["peak"] - small["peak"] < 100
    assert max(small["reads"], large["reads"]) <= 1.6


def test_a_plan_of_a_hundred_thousand_tiles_takes_no_time(tmp_path):
    took = planned(SIDE, tmp_path)
    assert took["tiles"] > 99_000
    assert took["total"] < 5


def test_what_is_done_is_seen_at_once(tmp_path):
    assert scanned(SIDE, 1000, tmp_path)["cpu"] < 1
