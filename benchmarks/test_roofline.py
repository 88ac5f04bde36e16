"""The rate of matrix products on this machine, to which floors refer."""

from __future__ import annotations

import pytest
import torch  # noqa: TID253

from benchmarks import roofline
from benchmarks.records import report


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rate_of_matrix_products(benchmark, precision):
    found = benchmark.pedantic(roofline.rate, (precision,), rounds=1)
    report(
        f"machine/matrix product, {precision}", found, "GFLOP/s",
        benchmark=benchmark, threads=torch.get_num_threads(),
    )  # fmt: skip
