"""What a trial says of speed does not depend on one slow moment."""

from __future__ import annotations

import pytest

from napari_ditto.models import trial


@pytest.mark.parametrize(
    ("took", "seconds", "calls"),
    [
        ([9.0, 2.0, 1.0], 2.0, 2),  # long ones: the second, as the first sets things up
        ([0.4, 0.3, 0.2, 0.1], 0.2, 3),
        ([0.2, 0.1, 0.1, 0.6, 0.1], 0.1, 4),  # one slow moment
        ([0.01] * 9, 0.01, trial.MOST),
    ],
)
def test_the_quickest_of_a_few_calls_counts(took, seconds, calls, monkeypatch):
    now, made = [0.0], []
    monkeypatch.setattr(trial.time, "perf_counter", lambda: now[0])

    def encode():
        now[0] += took[len(made)]
        made.append(len(made))
        return made[-1]

    found, last = trial._quickest(encode)
    assert found == pytest.approx(seconds)
    assert last == calls - 1 == made[-1]
