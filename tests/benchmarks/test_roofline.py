"""Operations are counted, and a network's products found and repeated."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.nn.functional import conv2d, gelu, linear, scaled_dot_product_attention

from benchmarks import roofline
from napari_ditto.models.device import threads

X = torch.ones(2, 8, 16)
W = torch.ones(32, 16)


def test_operations_of_a_product() -> None:
    assert roofline.operations(lambda: linear(X, W)) == pytest.approx(2 * 16 * 16 * 32 / 1e9)


def test_operations_are_counted_on_the_meta_device() -> None:
    network = roofline.on_meta(lambda: torch.nn.Conv2d(3, 8, 3, padding=1))
    count = roofline.operations(lambda: network(torch.empty(1, 3, 10, 10, device="meta")))
    assert count == pytest.approx(2 * 8 * 3 * 9 * 100 / 1e9)


@pytest.mark.parametrize("inference", [False, True])
def test_products_are_found(inference: bool) -> None:
    def call() -> None:
        with torch.inference_mode(inference):
            linear(gelu(X), W)
            conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3))
            scaled_dot_product_attention(X[None], X[None], X[None])

    found = roofline.products_of(call)
    kinds = Counter(product.operator for product in found.elements())
    assert kinds["convolution"] == 1
    assert kinds["bmm"] == 2
    assert kinds["mm"] + kinds["addmm"] == 1


def test_products_are_repeated_with_their_own_shapes() -> None:
    def call() -> None:
        conv2d(torch.ones(1, 4, 8, 8), torch.ones(4, 1, 3, 3), torch.ones(4), 1, 1, 1, 4)
        torch.bmm(X.expand(2, 8, 16), X.transpose(1, 2))
        linear(X, W, torch.ones(32))

    found = roofline.products_of(call)
    assert sum(found.values()) == 3
    with threads(1):
        once = roofline.products_alone(found)
    assert 0 < once < 1
    assert roofline.products_alone(Counter({p: 2 * n for p, n in found.items()})) == 2 * once


def test_utilisation_is_a_share_of_the_peak() -> None:
    assert roofline.utilisation(gflop=100, seconds=0.5, peak_gflops=400) == 0.5


def test_a_call_on_the_cpu_is_finished_when_it_returns() -> None:
    said: list[int] = []
    roofline.finished(said.append, "cpu")(3)
    assert said == [3]
