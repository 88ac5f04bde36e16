"""The least time that a network can take: its matrix products alone, at this machine's rate.

Two floors, both measured in the same run as what is compared with them:

- `rate`: the best rate of a large matrix product in a precision, GFLOP/s. A network's operations
  divided by it are the least that any order of computing could take.
- `products_alone`: the products of a network as it makes them, every one with its own shapes,
  and nothing in between. Shapes come from a run on the meta device, which computes nothing.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch  # noqa: TID253
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: TID253
from torch.utils.flop_counter import FlopCounterMode  # noqa: TID253

ROWS, INNER, COLUMNS = 4096, 768, 3072
"""The largest product of ViT-B at 64 x 64 tokens."""

ENOUGH_SECONDS = 0.6
PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution"}
PACKED = "_linear_pointwise"
"""oneDNN's product with weights laid out for it."""


def best_seconds(
    call: Callable[[], object], enough: float = ENOUGH_SECONDS, least: int = 3
) -> float:
    """Return the shortest of several calls: a floor is what nobody disturbed."""
    call()
    took: list[float] = []
    while len(took) < least or sum(took) < enough:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took)


@cache
def rate(precision: str = "float32", device: str = "cpu") -> float:
    """Return the best rate of a matrix product on a device, GFLOP/s.

    On a CPU the best of PyTorch's own product and of one with packed weights, where there is one.
    """
    dtype = dtype_of(precision)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, INNER, generator=generator).to(device, dtype)
    w = torch.randn(COLUMNS, INNER, generator=generator).to(device, dtype)
    calls = [lambda: torch.nn.functional.linear(x, w)]
    with torch.inference_mode():
        calls += _packed(x, w) if device == "cpu" else []
        seconds = min(best_seconds(finished(call, device)) for call in calls)
    return 2 * ROWS * INNER * COLUMNS / seconds / 1e9


def dtype_of(precision: str) -> torch.dtype:
    """Return what products of a precision compute with; bytes are held against bfloat16.

    Only some layers of a network take bytes, and those of the rest are bfloat16's.
    """
    return torch.bfloat16 if precision == "int8" else getattr(torch, precision)


def finished(call: Callable[..., object], device: str) -> Callable[..., None]:
    """Return a call that ends when the device has done what was asked for."""

    def wait(*given: object) -> None:
        call(*given)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    return wait


def _packed(x: torch.Tensor, w: torch.Tensor) -> list[Callable[[], object]]:
    """Return the product with packed weights, none where PyTorch has no such operator."""
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(w, x.shape[0])
        linear = torch.ops.mkldnn._linear_pointwise
        linear(x, packed, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return []
    return [lambda: linear(x, packed, None, "none", [], "")]


def operations(call: Callable[[], object]) -> float:
    """Return the floating point operations of the matrix products in a call, GFLOP.

    Fastest with a network and inputs on the meta device, see `on_meta`.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() / 1e9


def utilisation(gflop: float, seconds: float, peak_gflops: float) -> float:
    """Return the share of a peak rate that was used (model FLOPs utilisation), 0 to 1."""
    return gflop / seconds / peak_gflops


@dataclass(frozen=True)
class Product:
    """One kind of matrix product: an operator with the shapes of its tensors."""

    operator: str
    shapes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    rest: tuple[Any, ...] = ()


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.ops.prim.device.default:
            with self:  # in inference mode an operator arrives whole; what it is made of counts
                made = func.decompose(*args, **(kwargs or {}))
            if made is not NotImplemented:
                return made
        name = func.overloadpacket.__name__.rstrip("_")  # in place or not
        if name in PRODUCTS:
            self.found[_product(name, args)] += 1
        elif name == PACKED:
            self.found[_packed_product(*args[:2])] += 1
        return func(*args, **(kwargs or {}))


def _packed_product(x: torch.Tensor, weight: torch.Tensor) -> Product:
    outputs, inputs = weight.shape
    rows = x.numel() // inputs
    return Product("mm", ((rows, inputs), (inputs, outputs)), ((inputs, 1), (1, inputs)))


def _product(operator: str, args: tuple[Any, ...]) -> Product:
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    others = (a for a in args if not isinstance(a, torch.Tensor))
    rest = tuple(tuple(a) if isinstance(a, list) else a for a in others)
    return Product(
        operator, tuple(tuple(t.shape) for t in tensors), tuple(t.stride() for t in tensors), rest
    )


def products_of(call: Callable[[], object]) -> Counter[Product]:
    """Return the matrix products that a call makes, and how often each.

    Attention is taken apart into its two products.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with _Recorder() as recorder, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call()
    return recorder.found


def products_alone(products: Counter[Product], precision: str = "float32") -> float:
    """Return the seconds of matrix products without anything in between, on this CPU."""
    with torch.inference_mode():
        return sum(n * _seconds(product, precision) for product, n in products.items())


@cache
def _seconds(product: Product, precision: str) -> float:
    """Return the seconds of one product; a batch is timed by a part of it, and scaled."""
    shapes, part = product.shapes, 1.0
    if product.operator in ("bmm", "baddbmm"):
        batch = shapes[0][0]
        kept = min(batch, max(torch.get_num_threads(), int(2**22 / max(1, _area(shapes[0])))))
        part = kept / batch
        shapes = tuple((kept, *shape[1:]) for shape in shapes)
    tensors = [_filled(s, t, precision) for s, t in zip(shapes, product.strides, strict=True)]
    call = _call(product, tensors)
    return best_seconds(call, enough=0.01) / part


def _area(shape: tuple[int, ...]) -> int:
    return math.prod(shape[1:])


def _filled(shape: tuple[int, ...], strides: tuple[int, ...], precision: str) -> torch.Tensor:
    """Return a tensor with memory laid out alike; its values do not matter, if they are normal."""
    size = 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    return torch.full((size,), 0.5, dtype=dtype_of(precision)).as_strided(shape, strides)


def _call(product: Product, tensors: list[torch.Tensor]) -> Callable[[], object]:
    operator = getattr(torch.ops.aten, product.operator)
    if product.operator == "convolution":
        bias = None if len(tensors) == 2 else tensors[2]
        rest = [list(r) if isinstance(r, tuple) else r for r in product.rest if r is not None]
        return lambda: operator(*tensors[:2], bias, *rest)
    out = operator(*tensors)  # where the result goes is not part of a product
    return lambda: operator(*tensors, out=out)


def on_meta(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Return a network without weights, which computes shapes only."""
    with torch.device("meta"):
        return make().eval()
