"""Layers of bytes compute what rounded weights and inputs would, and say where they cannot."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu

from napari_ditto.models import int8
from napari_ditto.models.int8 import LEAST_GELU, Int8Linear, is_fast, multiplies_bytes


@pytest.fixture(params=["bytes", "plain"])
def _way(request, monkeypatch):
    if request.param == "bytes":
        if not multiplies_bytes():
            pytest.skip("PyTorch has no such product here")
    else:
        monkeypatch.setattr(int8, "multiplies_bytes", lambda: False)


def layer_and_inputs(bias=True):
    torch.manual_seed(0)
    plain = torch.nn.Linear(96, 20, bias=bias)
    return plain, torch.randn(2, 3, 7, 96) * torch.logspace(-3, 3, 7)[:, None]


def rounded(x, step):
    return (x / step).round() * step


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_to_the_layer_with_rounded_numbers(bias, dtype):
    plain, x = layer_and_inputs(bias)
    weight = rounded(plain.weight, plain.weight.abs().amax(1, keepdim=True) / 127)
    step = x.abs().amax(-1, keepdim=True) / 127
    with torch.inference_mode():
        expected = torch.nn.functional.linear(rounded(x, step), weight, plain.bias)
        found = Int8Linear(plain.weight, plain.bias, dtype)(x.clone())
        curved = Int8Linear(plain.weight, plain.bias, dtype).gelu(x.clone())
    assert found.dtype == curved.dtype == dtype
    assert found.shape == expected.shape
    near = 2e-3 if dtype == torch.float32 else 8e-3  # a half may be rounded up or down
    scale = expected.abs().amax(-1, keepdim=True)
    assert ((found.float() - expected).abs() <= near * scale).all()
    assert ((curved.float() - gelu(expected)).abs() <= near * scale).all()


@pytest.mark.usefixtures("_way")
def test_a_known_least_value_gives_one_more_bit():
    plain, x = layer_and_inputs()
    x = gelu(x)
    with torch.inference_mode():
        expected = plain(x)
        found = [
            Int8Linear(plain.weight, plain.bias, least=n)(x.clone()) for n in (None, LEAST_GELU)
        ]
        spread = expected[..., 3:, :]  # rows whose largest value is far above the least
        signed, positive = ((y[..., 3:, :] - spread).std() for y in found)
    assert positive < 0.8 * signed < 0.02 * spread.std()


@pytest.mark.usefixtures("_way")
def test_rows_do_not_see_each_other():
    plain, x = layer_and_inputs()
    layer = Int8Linear(plain.weight, plain.bias)
    with torch.inference_mode():
        together, alone = layer(x.clone()), layer(x[1, 2, 6].clone())
    torch.testing.assert_close(together[1, 2, 6], alone, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("_way")
def test_zeros_and_what_is_no_number():
    plain, _ = layer_and_inputs()
    layer = Int8Linear(torch.zeros(20, 96), plain.bias, least=LEAST_GELU)
    other = Int8Linear(plain.weight, plain.bias)
    with torch.inference_mode():
        torch.testing.assert_close(layer(torch.zeros(2, 96)), plain.bias.expand(2, -1))
        torch.testing.assert_close(other(torch.zeros(2, 96)), plain.bias.expand(2, -1))
        x = torch.zeros(2, 96)
        x[1, 3] = torch.nan
        found = other(x)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()


def test_operators_that_are_missing_or_overflow_are_not_used(monkeypatch):
    def missing(weight, scale, zero):
        raise AttributeError("'_OpNamespace' 'onednn' object has no attribute")

    def overflows(weight, scale, zero):
        """Return pairs of products in 16 bits, as CPUs without VNNI do."""

        def product(given):
            pairs = ((given - int8._ROUND - zero)[:, None] * weight).unflatten(-1, (-1, 2)).sum(-1)
            return pairs.clamp(-(2**15), 2**15 - 1).sum(-1)

        return product

    for broken in (missing, overflows):
        multiplies_bytes.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(int8, "_packed", broken)
            assert not multiplies_bytes()
    multiplies_bytes.cache_clear()


@pytest.mark.parametrize("saved", [1e-6, -1e-6])
def test_whether_bytes_are_fast_is_found_out_once_per_machine(saved, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path))
    monkeypatch.setattr(int8, "multiplies_bytes", lambda: True)
    monkeypatch.setattr(int8, "_seconds_saved", lambda: saved)
    is_fast.cache_clear()
    assert is_fast() == (saved > 0)
    monkeypatch.setattr(int8, "_seconds_saved", lambda: -saved)
    is_fast.cache_clear()
    assert is_fast() == (saved > 0)
    is_fast.cache_clear()
