"""A small part of ``benchmarks/classic_accuracy.py``: better than Otsu and than bare shapes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
EVAL = ROOT / "../shared/data/eval"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = ROOT / "benchmarks/classic_accuracy.py"
    spec = importlib.util.spec_from_file_location("classic_accuracy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
@pytest.mark.skipif(not EVAL.is_dir(), reason="the evaluation images are not here")
def test_better_than_both_baselines_on_the_mean(bench: ModuleType) -> None:
    results = [bench.evaluate(name, most=4, seed=1) for name in bench.SETS]
    classic, otsu, shape = np.mean([r.ious.mean(axis=0) for r in results], axis=0).T
    print(f"classic {classic.round(3)} Otsu {otsu.round(3)} ellipse or disc {shape.round(3)}")
    assert (classic > otsu).all()
    assert (classic > shape).all()
    assert classic[2] > 0.7
