"""Whole images from Python: `out=` a path gives labels of the image's shape, out of core."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_ditto as nd
from napari_ditto.core.geometry import Box
from napari_ditto.core.synthetic import blobs, render
from napari_ditto.data.protocols import Source
from napari_ditto.engine import context, everything
from napari_ditto.engine.whole import launch
from napari_ditto.engine.whole.executors import ThreadExecutor
from napari_ditto.errors import DittoError, LabelsError, ModelError, SourceError
from napari_ditto.models.classic.model import ClassicModel

SHAPE = (90, 100)
TILES: Any = {"tile": 70, "halo": 15}
TRUTH = blobs(SHAPE, 7, radius=8, seed=1)


def stack(planes: int = 2) -> Source:
    image = render(TRUTH, seed=1)
    return nd.open_source(np.stack([image] * planes), axes="zyx", window=(0, 255))


def test_everything_in_all_planes(tmp_path: Path) -> None:
    labels = nd.segment_all(stack(), ClassicModel(), out=tmp_path / "a.zarr", **TILES)
    assert isinstance(labels, zarr.Array)
    assert labels.shape == (2, *SHAPE)
    found = np.asarray(labels[:])
    assert found.max() > 3
    assert np.array_equal(found[0], found[1])


def test_one_plane_equals_what_is_done_at_once(tmp_path: Path) -> None:
    at_once = nd.segment_all(stack(), ClassicModel(), {"z": 1})
    assert isinstance(at_once, np.ndarray)
    labels = nd.segment_all(stack(), ClassicModel(), {"z": 1}, out=tmp_path / "a.zarr")
    found = np.asarray(labels[:])
    assert not found[0].any()
    assert np.array_equal(found[1] > 0, at_once > 0)
    assert found.max() == at_once.max()


def test_like_keeps_what_it_has_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, target = ClassicModel(), tmp_path / "a.zarr"
    shown = blobs(SHAPE, 7, radius=8, seed=0)
    examples = [(render(shown), shown)]
    options: Any = {"instances": True, "region": Box(0, 0, 60, 60), **TILES}
    first = nd.segment_like(stack(1), examples, model, out=target, **options)
    found = np.asarray(first[:])
    assert found.max() > 2
    # Whatever is learnt is learnt once.
    monkeypatch.setattr(context, "learn_steps", None)
    again = nd.segment_like(stack(1), examples, model, out=target, resume=True, **options)
    assert np.array_equal(found, np.asarray(again[:]))
    with pytest.raises(LabelsError, match="another kind"):
        nd.segment_all(stack(1), model, out=target, resume=True, **TILES)
    with pytest.raises(LabelsError, match="resume=True"):
        nd.segment_all(stack(1), model, out=target, **TILES)


def test_failed_tiles_are_an_error_that_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = ClassicModel.encode, []

    def failing(self: ClassicModel, tiles: np.ndarray) -> Any:
        asked.append(1)
        if len(asked) in (1, 3, 5, 7):
            raise ModelError("no luck")
        return real(self, tiles)

    source, target = stack(1), tmp_path / "a.zarr"
    monkeypatch.setattr(launch, "ThreadExecutor", partial(ThreadExecutor, retries=0))
    monkeypatch.setattr(ClassicModel, "encode", failing)
    with pytest.raises(DittoError, match=r"of 4 tiles failed.*no luck.*resume=True"):
        nd.segment_all(source, ClassicModel(), out=target, **TILES)
    monkeypatch.setattr(ClassicModel, "encode", real)
    labels = nd.segment_all(source, ClassicModel(), out=target, resume=True, **TILES)
    whole = nd.segment_all(source, ClassicModel(), out=tmp_path / "b.zarr", **TILES)
    assert np.array_equal(np.asarray(labels[:]), np.asarray(whole[:]))


def test_what_is_too_large_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everything, "MAX_PIXELS", 100)
    with pytest.raises(SourceError, match="out="):
        nd.segment_all(stack(), ClassicModel())


def test_options_of_a_run_need_a_place() -> None:
    with pytest.raises(LabelsError, match=r"workers without a place.*out="):
        nd.segment_all(stack(), ClassicModel(), workers=2)  # type: ignore[call-overload]
    with pytest.raises(DittoError, match="0 workers"):
        nd.segment_all(stack(), ClassicModel(), out="never.zarr", workers=0)
