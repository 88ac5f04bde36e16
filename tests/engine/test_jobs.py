"""Jobs are drained, cancelled between steps, and told apart by age."""

import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.errors import JobCancelled
from napari_ditto.testing.scenes import annotate, snake


def count_to(n, closed):
    try:
        for i in range(n):
            yield Progress("encode", i, n, f"step {i}")
        return n
    finally:
        closed.append(True)


def test_drain_returns_the_result_and_reports_every_step():
    seen, closed = [], []
    assert drain(count_to(3, closed), seen.append) == 3
    assert [p.done for p in seen] == [0, 1, 2]


def test_cancel_closes_the_job_at_the_next_step():
    seen, closed = [], []
    with pytest.raises(JobCancelled, match="step 1"):
        drain(count_to(9, closed), seen.append, lambda: len(seen) == 2)
    assert closed
    assert len(seen) == 2


def test_cancelled_growth_keeps_its_embeddings():
    annotator = annotate(snake((150, 150)).astype("uint8"))
    prompts, address = PromptSet((PointPrompt(10.0, 20.0),)), annotator.source.plane()
    with pytest.raises(JobCancelled):
        drain(
            annotator.predict_steps(prompts, address, 0),
            cancelled=lambda: annotator.model.encoded == 4,
        )
    drain(annotator.predict_steps(prompts, address, 0))
    undisturbed = annotate(snake((150, 150)).astype("uint8"))
    undisturbed.predict(points=[(10, 20)], level=0)
    assert annotator.model.encoded == undisturbed.model.encoded > 4
