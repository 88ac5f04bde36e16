"""Packed layers compute what plain ones do, and plain ones stand in for them."""

from __future__ import annotations

import pytest
import torch

from napari_ditto.models import packed
from napari_ditto.models.packed import PackedLinear, can_pack, composed

GOOD_TO = {torch.float32: 1e-5, torch.bfloat16: 0.05}


@pytest.fixture(params=["packed", "plain"])
def _way(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(packed, "can_pack", lambda dtype: False)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", GOOD_TO)
@pytest.mark.parametrize("has_bias", [True, False])
def test_equal_to_the_plain_layer(dtype, has_bias):
    torch.manual_seed(0)
    plain = torch.nn.Linear(48, 20, bias=has_bias)
    layer = PackedLinear(plain.weight, plain.bias, dtype)
    x = torch.randn(2, 3, 7, 48)
    with torch.inference_mode():
        for found, expected in (
            (layer(x.to(dtype)), plain(x)),
            (layer.gelu(x.to(dtype)), torch.nn.functional.gelu(plain(x))),
        ):
            assert found.dtype == dtype
            torch.testing.assert_close(found.float(), expected, rtol=0, atol=GOOD_TO[dtype])


def test_two_layers_in_one():
    torch.manual_seed(0)
    first, second, x = torch.nn.Linear(8, 32), torch.nn.Linear(32, 5), torch.randn(3, 8)
    one = PackedLinear(*composed((second.weight, second.bias), (first.weight, first.bias)))
    torch.testing.assert_close(one(x), second(first(x)).detach())


def test_operators_that_fail_or_are_wrong_are_not_used(monkeypatch):
    def missing(weight):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    for broken in (missing, lambda weight: weight * 2):
        can_pack.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(packed, "_pack", broken)
            assert not can_pack(torch.float32)
    can_pack.cache_clear()
