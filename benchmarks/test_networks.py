"""SAM and SAM 2 against the library and Meta's own code, in one run with the floor of each.

The library is given its pixels normalised, ours normalises; both give masks of 1024 x 1024.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest
import torch  # noqa: TID253

from benchmarks import peers, roofline
from benchmarks.networks import KINDS, Pair, clicks, photographs, prompts_at, tile
from benchmarks.records import Samples, race, report, samples_of, timed
from benchmarks.test_following import EVERYTHING, OBJECTS
from benchmarks.test_following import scene as drifting
from napari_ditto.data.embeddings import EmbeddingCache
from napari_ditto.data.source import open_source
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.propagate import propagate

pytestmark = pytest.mark.filterwarnings("default")  # those of peers are not ours

AGREED = 100
"""Prompts over which the masks of half precision are compared."""
FLOORS = {"int8": "its matrix products alone, all of them in bfloat16"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The networks, made when they are first asked for."""
    return {family: Pair(family, tmp_path_factory.mktemp(family)) for family in KINDS}


@pytest.fixture(params=KINDS)
def pair(request, pairs):
    return pairs[request.param]


@cache
def meta_sam():
    """Return the network of Meta's package, seeded; None without the package."""
    package = peers.segment_anything()
    if package is None:
        return None
    torch.manual_seed(0)
    return package.sam_model_registry["vit_b"]().eval()


def meta_encode(network, pixels):
    with torch.inference_mode():
        return network.image_encoder(network.preprocess(pixels))


def meta_decode(network, embedding, points):
    """Return masks for single clicks as its predictor does, from an embedding that is ready."""
    xy = torch.tensor(points[:, None, ::-1].copy(), dtype=torch.float32)
    with torch.inference_mode():
        given = (xy, torch.ones(xy.shape[:2]))
        sparse, dense = network.prompt_encoder(points=given, boxes=None, masks=None)
        masks, _ = network.mask_decoder(
            embedding, network.prompt_encoder.get_dense_pe(), sparse, dense, True
        )
        return network.postprocess_masks(masks, (1024, 1024), (1024, 1024)) > 0


def test_encode(benchmark, pair):
    """As it is chosen, and in every other precision that there is."""
    image, kinds = tile(), pair.precisions()
    ways = {kind: partial(pair.ours(kind).encode, image[None]) for kind in kinds.values()}
    ways["transformers"] = lambda: pair.encode(image)
    network = meta_sam() if pair.family == "sam" else None
    if network is not None:
        pixels = torch.from_numpy(255 * image).permute(2, 0, 1)[None]
        ways["segment-anything"] = lambda: meta_encode(network, pixels)
    found = race(benchmark, ways, rounds=3, warmups=0, once=("segment-anything",))
    products, gflop = pair.products(), pair.gflop()
    for which, kind in kinds.items():
        alone = roofline.products_alone(products, kind)
        report(
            f"{pair.family}/encode{which}", found[kind], "s",
            reference=("transformers", found["transformers"]),
            floor=(FLOORS.get(kind, "its matrix products alone"), alone), benchmark=benchmark,
            precision=kind, gflop=gflop, gflops_possible=roofline.rate(kind),
            share_of_possible=roofline.utilisation(gflop, found[kind].median, roofline.rate(kind)),
            **others(found[kind], found),
        )  # fmt: skip


def test_encode_gives_the_same(pair):
    """Lower precisions find the same masks on photographs; float32 makes the same numbers."""
    kinds, name = pair.precisions(), f"{pair.family}/encode"
    lower = {which: pair.ours(kind) for which, kind in kinds.items() if kind != "float32"}
    ious: dict[str, list[float]] = {which: [] for which in lower}
    for seed, image in enumerate(photographs()):
        theirs = pair.encode(image)
        for which, model in lower.items():
            embedding = model.encode(image[None])[0]
            for some in np.split(clicks(AGREED // 2, seed=seed), 5):
                ious[which].extend(agreement(model, pair, embedding, theirs, some).ravel())
    for which, found in ious.items():
        report(
            f"{name}{which}, mask IoU", float(np.mean(found)), "IoU",
            p05=float(np.percentile(found, 5)), masks=len(found), precision=kinds[which],
        )  # fmt: skip
        assert np.mean(found) > 0.98
    ours = pair.ours("float32").encode(image[None])[0]
    if "image" not in ours.arrays:
        return
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs[-1]  # SAM 2 has three levels
    difference = float(np.abs(ours.arrays["image"].squeeze() - theirs.numpy().squeeze()).max())
    report(f"{name}, float32, largest difference", difference, "")
    assert difference < 1e-2


def others(ours: Samples, found: dict[str, Samples]) -> dict[str, float]:
    """Return how much faster ours is than the peer that is not always there."""
    peer = found.get("segment-anything")
    return {"times_segment_anything": peer.median / ours.median} if peer else {}


def agreement(model, pair, embedding, theirs, points) -> np.ndarray:
    """Return the IoU of the first of three masks with the library's, for each click."""
    ours = model.decode(embedding, prompts_at(points)).logits > 0
    other = pair.decode(theirs, points).numpy() > 0
    both = (ours & other).sum(axis=(2, 3))
    either = (ours | other).sum(axis=(2, 3))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def best_masks(model, embedding, prompts):
    """Ask for the mask to show of each prompt, the cheapest way that the model knows."""
    ask = getattr(model, "decode_crops", model.decode)
    return ask(embedding, prompts)


@pytest.mark.parametrize("count", ["one", "many"])
def test_decode(benchmark, pair, count):
    model, image = pair.ours("auto"), tile()
    embedding, theirs = model.encode(image[None])[0], pair.encode(image)
    many = 1 if count == "one" else pair.kind.many
    turns = iter(range(1 << 20))

    def points():
        return clicks(many, seed=next(turns))

    ask = model.decode if count == "one" else lambda e, p: best_masks(model, e, p)
    ways = {
        "ours": lambda at: ask(embedding, prompts_at(at)),
        "transformers": lambda at: pair.decode(theirs, at) > 0,
    }
    network = meta_sam() if pair.family == "sam" else None
    if network is not None:
        made = torch.zeros(1, 256, 64, 64)
        ways["segment-anything"] = lambda at: meta_decode(network, made, at)
    rounds, warmups, once = (20, 3, ()) if count == "one" else (3, 0, ("segment-anything",))
    found = race(benchmark, ways, rounds, setup=points, warmups=warmups, once=once)
    name = f"{pair.family}/decode, {many} prompt{'s' * (many > 1)}"
    for clock, told in (("cpu", name), ("wall", f"{name}, by the clock")):
        report(
            told, found["ours"], "ms" if count == "one" else "s", clock=clock,
            reference=("transformers", found["transformers"]), benchmark=benchmark,
            **others(found["ours"], found),
        )  # fmt: skip


def test_first_mask_and_further_click(benchmark, pairs):
    """A click on an image of 1,024 x 1,024 that nobody has looked at, and one more."""
    pair = pairs["sam"]
    model, image = pair.ours("auto"), tile()
    micro = peers.micro_sam(meta_sam())
    pixels, points, begun = np.rint(255 * image[..., 0]).astype(np.uint8), clicks(64), []

    def first():
        source = open_source(pixels, axes="yx", window=(0, 255))
        begun.append(Annotator(source, model, cache=EmbeddingCache(directory=None)))
        begun[-1].predict(points=[points[0]])

    ways = {"ours": first}
    further = {"ours": lambda at: begun[-1].predict(points=at, positive=[True, False])}
    if micro is None:
        name, embedding = "transformers", pair.encode(image)
        ways[name] = lambda: pair.decode(pair.encode(image), points[:1]) > 0
        further[name] = lambda at: pair.decode(embedding, at) > 0
    else:
        name, embedding = "micro-sam", micro.encode(pixels)
        ways[name] = lambda: micro.click(micro.encode(pixels), points[:1])
        further[name] = lambda at: micro.click(embedding, at)
    found = race(benchmark, ways, rounds=2, warmups=0)
    report("sam/first mask", found["ours"], "s", reference=(name, found[name]), benchmark=benchmark)
    took: dict[str, list[tuple[float, float]]] = {way: [] for way in further}
    for n in range(1, 21):
        for way, call in further.items():
            took[way].append(timed(call, points[[0, n]]))
    clicked = {way: samples_of(*map(list, zip(*times, strict=True))) for way, times in took.items()}
    report("sam/further click", clicked["ours"], "ms", reference=(name, clicked[name]))


def test_propagate_ten_objects(benchmark, pairs):
    """Into two planes whose embeddings are at hand, believed whatever is found."""
    pixels, labels = (stack[:3] for stack in drifting())
    model, kept = pairs["sam"].ours("auto"), EmbeddingCache(4 << 30, directory=None)
    source = open_source(pixels, axes="zyx", window=(0, 255))

    def follow():
        propagate(source, {0: labels[0]}, "z", model, gate=EVERYTHING, cache=kept)

    follow()
    ways, reference = {"ours": follow}, None
    micro = peers.micro_sam(meta_sam())
    if micro is not None:
        masks = [labels[0] == n for n in range(1, OBJECTS + 1)]
        embeddings = micro.encode(pixels[1:])
        ways["micro-sam"] = lambda: [micro.carry(embeddings, plane, masks) for plane in (0, 1)]
    found = race(benchmark, ways, rounds=3, warmups=0)
    if micro is not None:
        reference = ("micro-sam, mask by mask", found["micro-sam"])
    report(
        "sam/propagate, cached", found["ours"], "planes/s", amount=2, reference=reference,
        benchmark=benchmark, objects=OBJECTS,
    )  # fmt: skip
