"""SAM and SAM 2 on a GPU: half precision against the library in float32, and how much of the peak.

Skipped, and said so, where there is no CUDA.
"""

from __future__ import annotations

import pytest
import torch  # noqa: TID253

from benchmarks import roofline
from benchmarks.networks import KINDS, Pair, clicks, prompts_at, tile
from benchmarks.records import race, report

DEVICE = "cuda:0"

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU here: nothing was measured on one"
)


@pytest.fixture(autouse=True)
def true_float32():
    """Keep the reference from computing with TensorFloat-32, which is no float32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory):
    return Pair(request.param, tmp_path_factory.mktemp(request.param), DEVICE)


def test_encode(benchmark, pair):
    image, model = tile(), pair.ours("auto")
    ways = {
        "ours": roofline.finished(lambda: model.encode(image[None]), DEVICE),
        "transformers": roofline.finished(lambda: pair.encode(image), DEVICE),
    }
    found = race(benchmark, ways, rounds=20, warmups=5)
    precision = getattr(model.spec, "precision", "float32")
    gflop, peak = pair.gflop(), roofline.rate(precision, DEVICE)
    report(
        f"{pair.family}/encode, GPU", found["ours"], "ms",
        reference=("transformers, float32", found["transformers"]),
        floor=("its operations at the rate of a matrix product", 1000 * gflop / peak),
        benchmark=benchmark, precision=precision, gflop=gflop, gflops_possible=peak,
        share_of_possible=roofline.utilisation(gflop, found["ours"].median, peak),
    )  # fmt: skip


def test_decode(benchmark, pair):
    image, model, turns = tile(), pair.ours("auto"), iter(range(1 << 20))
    embedding, theirs = model.encode(image[None])[0], pair.encode(image)
    ways = {
        "ours": roofline.finished(lambda at: model.decode(embedding, prompts_at(at)), DEVICE),
        "transformers": roofline.finished(lambda at: (pair.decode(theirs, at) > 0).cpu(), DEVICE),
    }
    found = race(benchmark, ways, 20, setup=lambda: clicks(1, seed=next(turns)), warmups=5)
    report(
        f"{pair.family}/decode, 1 prompt, GPU", found["ours"], "ms",
        reference=("transformers, float32", found["transformers"]), benchmark=benchmark,
    )  # fmt: skip
