"""The folded decoders give the library's masks and scores, for every kind of prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from napari_ditto.models.decoding.decoder import Decoded, Features, MaskDecoder
from napari_ditto.models.decoding.hq import HQMaskDecoder
from napari_ditto.models.decoding.sam2 import Sam2MaskDecoder
from napari_ditto.models.device import threads

SIDE, GRID, CHANNELS = 128, 8, 32
KINDS = {"sam": MaskDecoder, "sam_hq": HQMaskDecoder, "sam2": Sam2MaskDecoder}
PROMPTS = {
    "one point": (1, False, False),
    "three points": (3, False, False),
    "nine points": (9, False, False),
    "box": (0, True, False),
    "box and points": (2, True, False),
    "point and mask": (1, False, True),
    "everything": (4, True, True),
}


@dataclass(frozen=True)
class Pair:
    """The library's network, and what stands in for its decoder."""

    family: str
    network: Any

    def ours(self, dtype: torch.dtype = torch.float32) -> MaskDecoder:
        return KINDS[self.family](self.network, dtype)

    def theirs(self, features: Features, asked: dict[str, Any], multimask: bool) -> Decoded:
        """Return the library's masks; a mask belongs to an image, so each prompt gets its own."""
        images = len(asked["input_masks"]) if "input_masks" in asked else 1
        given = {n: f.expand(images, *f.shape[1:]) for n, f in features.items()}
        arguments: dict[str, Any] = {"image_embeddings": given["image"]}
        if self.family == "sam2":
            levels = [given[name] for name in ("fine", "middle", "image")]
            arguments["image_embeddings"] = levels
        if self.family == "sam_hq":
            arguments["intermediate_embeddings"] = [given["early"]]
        with torch.no_grad():
            found = self.network(multimask_output=multimask, **arguments, **asked)
        return Decoded(found.pred_masks.flatten(0, 1), found.iou_scores.flatten(0, 1))


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request, network):
    return Pair(request.param, network(request.param))


@pytest.fixture
def features(pair):
    torch.manual_seed(1)
    found = {"image": torch.randn(1, CHANNELS, GRID, GRID)}
    if pair.family == "sam_hq":
        found["early"] = torch.randn(1, GRID, GRID, CHANNELS)
    if pair.family == "sam2":
        found["middle"] = torch.randn(1, CHANNELS // 4, 2 * GRID, 2 * GRID)
        found["fine"] = torch.randn(1, CHANNELS // 8, 4 * GRID, 4 * GRID)
    return found


def ask(points: int, box: bool, mask: bool, count: int = 5) -> dict[str, Any]:
    """Return `count` seeded prompts of one kind as the library takes them."""
    torch.manual_seed(2)
    lead = (count, 1) if mask else (1, count)
    asked: dict[str, Any] = {}
    if points:
        asked["input_points"] = torch.rand(*lead, points, 2) * SIDE
        asked["input_labels"] = torch.randint(0, 2, (*lead, points))
    if box:
        asked["input_boxes"] = torch.rand(*lead, 4) * SIDE
    if mask:
        asked["input_masks"] = torch.randn(count, 1, 4 * GRID, 4 * GRID) * 5
    return asked


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 5e-5) -> None:
    """Both are float32: with these weights the library is up to 2e-5 off what float64 gives."""
    assert expected.std() > 0.01  # the comparison is about something
    assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


def iou(found: torch.Tensor, expected: torch.Tensor) -> float:
    a, b = found > 0, expected > 0
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("kind", list(PROMPTS))
def test_masks_and_scores_of_both_sorts_in_one_pass(pair, features, kind):
    asked, decoder = ask(*PROMPTS[kind]), pair.ours()
    found = decoder(decoder.plan(features), asked)
    single = pair.theirs(features, asked, multimask=False)
    close(found.masks[:, :1], single.masks)
    close(found.scores[:, :1], single.scores)
    several = pair.theirs(features, asked, multimask=True)
    order = torch.arange(1, 4).expand(5, -1)
    if pair.family == "sam_hq":  # the library sorts them; that is left to the family here
        order = found.scores[:, 1:].argsort(1, descending=True) + 1
    row = torch.arange(5)[:, None]
    close(found.masks[row, order], several.masks)
    close(found.scores[row, order], several.scores)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["one point", "box and points", "point and mask"])
def test_half_precision_gives_nearly_the_same_masks(pair, features, kind, dtype):
    asked, exact, half = ask(*PROMPTS[kind]), pair.ours(), pair.ours(dtype)
    expected = exact(exact.plan(features), asked)
    found = half(half.plan(features), asked)
    assert found.masks.dtype == found.scores.dtype == torch.float32
    assert iou(found.masks[:, 1:], expected.masks[:, 1:]) > 0.96  # wild weights, not trained ones
    close(found.scores[:, 1:], expected.scores[:, 1:], 0.1)


@pytest.mark.parametrize("kind", ["one point", "everything"])
def test_company_changes_nothing(pair, features, kind):
    asked, decoder = ask(*PROMPTS[kind]), pair.ours()
    plan = decoder.plan(features)
    together = decoder(plan, asked)
    for i in range(5):
        axis = 0 if "input_masks" in asked else 1
        alone = {n: a.narrow(0 if n == "input_masks" else axis, i, 1) for n, a in asked.items()}
        found = decoder(plan, alone)
        close(found.masks, together.masks[i : i + 1])
        close(found.scores, together.scores[i : i + 1])


@pytest.mark.parametrize("seen", [(8, 8), (5, 8), (8, 3), (1, 1)])
def test_a_part_of_the_image_has_the_same_masks(network, seen):
    for family in ("sam", "sam_hq"):
        one = Pair(family, network(family))
        given = {"image": torch.randn(1, CHANNELS, GRID, GRID)}
        if family == "sam_hq":
            given["early"] = torch.randn(1, GRID, GRID, CHANNELS)
        decoder, asked = one.ours(), ask(2, False, False)
        plan = decoder.plan(given)
        part, whole = decoder(plan, asked, seen), decoder(plan, asked)
        assert part.masks.shape[2:] == (4 * seen[0], 4 * seen[1])
        close(part.masks, whole.masks[..., : 4 * seen[0], : 4 * seen[1]])


@pytest.mark.parametrize("replaced", ["none", "half", "all"])
def test_a_single_mask_that_is_not_stable_gives_way(network, replaced):
    """As in the library, whose threshold is put so that it happens to none, half or all."""
    one = Pair("sam2", network("sam2"))
    torch.manual_seed(1)
    given = {
        "image": torch.randn(1, CHANNELS, GRID, GRID),
        "middle": torch.randn(1, CHANNELS // 4, 2 * GRID, 2 * GRID),
        "fine": torch.randn(1, CHANNELS // 8, 4 * GRID, 4 * GRID),
    }
    part, asked = one.network.mask_decoder, ask(2, False, False, count=12)
    part.dynamic_multimask_stability_thresh = 0.0
    masks, delta = one.theirs(given, asked, False).masks, part.dynamic_multimask_stability_delta
    ratios = (masks > delta).sum((1, 2, 3)) / (masks > -delta).sum((1, 2, 3))
    thresholds = {"none": 0.0, "half": ratios.quantile(0.5), "all": 1.1}
    part.dynamic_multimask_stability_thresh = float(thresholds[replaced])
    decoder = one.ours()
    with threads(1):  # as decoding does; else the last bits of a mask depend on its place
        found, expected = decoder(decoder.plan(given), asked), one.theirs(given, asked, False)
    close(found.masks[:, :1], expected.masks)
    close(found.scores[:, :1], expected.scores)
    same = (found.masks[:, :1] == found.masks[:, 1:]).flatten(2).all(2).any(1)
    assert int(same.sum()) == {"none": 0, "half": 6, "all": 12}[replaced]


def test_strips_of_any_size_give_the_same(pair, features, monkeypatch):
    decoder, asked = pair.ours(), ask(1, True, False)
    plan = decoder.plan(features)
    expected = decoder(plan, asked)
    monkeypatch.setattr("napari_ditto.models.decoding.decoder.STRIP", 24)
    found = decoder(plan, asked)
    close(found.masks, expected.masks)
    close(found.scores, expected.scores)


@pytest.mark.parametrize("kind", ["one point", "everything"])
def test_groups_of_any_size_give_the_same(pair, features, kind, monkeypatch):
    asked = ask(*PROMPTS[kind])
    found = []
    for prompts in (1, 2, 4):
        monkeypatch.setattr("napari_ditto.models.decoding.decoder.GROUP_BYTES", 4 * prompts)
        decoder = pair.ours()
        found.append(decoder(decoder.plan(features), asked))
    for other in found[1:]:
        close(other.masks, found[0].masks)
        close(other.scores, found[0].scores)


@pytest.mark.parametrize("chosen", [[2], [0], [3, 1], [0, 3]])
def test_who_wants_some_masks_gets_them_of_all(pair, features, chosen):
    asked, decoder = ask(2, True, False), pair.ours()
    plan = decoder.plan(features)
    everything = decoder(plan, asked)
    wanted = torch.tensor(chosen).expand(5, -1)
    some = decoder(plan, asked, wanted=lambda scores: wanted)
    close(some.masks, everything.masks[:, chosen])
    close(some.scores[:, 1:], everything.scores[:, 1:])
    if 0 in chosen:
        close(some.scores, everything.scores)
