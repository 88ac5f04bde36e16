from __future__ import annotations

from pathlib import Path

import pytest

from napari_ditto.evaluation import report, tracked
from napari_ditto.evaluation.plan import named_sets
from napari_ditto.evaluation.runs import Job, Settings, identity, track_job
from napari_ditto.evaluation.tracking import GIVEN

pytest.importorskip("traccuracy")


def test_given_masks_of_synthetic_cells_are_linked_and_told() -> None:
    given = tracked.TrackSet(tracked.SYNTHETIC, seeds=(0,))
    done = track_job(Job(given, GIVEN, Settings()))
    (row,) = done.rows
    assert row.model == identity(GIVEN) == GIVEN
    assert row.link_recall > 0.95
    assert row.tra > 0.95
    text = report.markdown({"track": done.rows}, Settings())
    assert "## Tracks" in text
    assert f"| seed 0 | {GIVEN} |" in text
    assert report.brief(done.rows).startswith("seed 0: TRA ")


def test_the_real_movie_is_named_where_it_is(tmp_path: Path) -> None:
    assert [s.name for s in named_sets(tmp_path)["track"]] == [tracked.SYNTHETIC]
    (tmp_path / tracked.REAL).mkdir()
    (real, made) = named_sets(tmp_path)["track"]
    assert (real.name, real.root, real.seeds) == (tracked.REAL, tmp_path, ())
    assert made.seeds == tracked.SEEDS
