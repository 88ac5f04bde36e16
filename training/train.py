"""Train the bundled network: ``python -m training.train --bank BANK --out RUN``.

Several processes each work on their own batch with one thread and average their gradients, which
on a CPU is faster than one process with several threads. A run is resumed from its last
checkpoint; the learning rate is constant and falls over the last `--decay` steps, so that a run
can be made longer or ended early by another `--steps`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from napari_ditto.models.ditto.cues import Cues
from napari_ditto.models.ditto.decoder import Decoded, Projected
from napari_ditto.models.ditto.network import DittoNetwork
from training.batches import Bank, Batch
from training.losses import dense_loss, prompt_loss
from training.pretrained import load_imagenet_encoder
from training.simulate import Targets, choose_targets, correct, first_prompts
from training.validate import table, validate

WARM_UP = 100
EMA = 0.998
VIEWS = ((128, 8, 0.7), (192, 4, 0.3))
"""Side of a crop, crops per process, share of the steps."""


@dataclass(frozen=True)
class Plan:
    """What to do, from the command line."""

    bank: Path
    out: Path
    steps: int
    decay: int
    prompts: int
    rate: float
    workers: int
    seed: int
    validate_every: int
    device: str
    bfloat16: bool


class Trainer:
    """The state of a run in one process."""

    def __init__(self, plan: Plan, rank: int) -> None:
        self.plan, self.rank, self.step, self.started = plan, rank, 0, time.monotonic()
        self.device = torch.device(plan.device)
        torch.manual_seed(plan.seed)
        self.network = DittoNetwork()
        self.network.encoder.backbone = load_imagenet_encoder()
        self.network.to(self.device, memory_format=torch.channels_last)
        backbone = list(self.network.encoder.backbone.parameters())
        known = {id(p) for p in backbone}
        rest = [p for p in self.network.parameters() if id(p) not in known]
        groups = [
            {"params": rest, "scale": 1.0, "lr": plan.rate},
            {"params": backbone, "scale": 0.2, "lr": plan.rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, plan.rate, weight_decay=0.02)
        self.average = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.bank = Bank(plan.bank)
        self._resume()

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.plan.out / "checkpoint.pt"

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        self.average = saved["average"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step = saved["step"]

    def save(self) -> None:
        """Write the state whole, or leave the one before."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)

    def rate_now(self) -> float:
        """Return the learning rate of this step: up, flat, then down to a hundredth."""
        left = (self.plan.steps - self.step) / max(1, self.plan.decay)
        return self.plan.rate * min(1.0, (self.step + 1) / WARM_UP, max(0.01, left))

    def advance(self) -> dict[str, float]:
        """Make one step and return its losses."""
        # Seeded by step, so that a resumed run goes on as if it had never stopped.
        torch.manual_seed(hash((self.plan.seed, self.rank, self.step)) % 2**31)
        shared = torch.Generator().manual_seed(self.plan.seed + self.step)
        draw = float(torch.rand((), generator=shared))
        side, count, _ = VIEWS[0] if draw < VIEWS[0][2] else VIEWS[1]
        rounds = 1 + int(float(torch.rand((), generator=shared)) < 0.65)
        losses = self._losses(self.bank.draw(count, side), rounds)
        self.optimizer.zero_grad()
        if losses:
            torch.stack(list(losses.values())).sum().backward()
        self._share_gradients()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate_now() * group["scale"]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 3.0)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return {k: float(v.detach()) for k, v in losses.items()}

    def _losses(self, batch: Batch, rounds: int) -> dict[str, Tensor]:
        targets = choose_targets(batch.layers, self.plan.prompts)
        if targets is None:
            return {}
        images = batch.images.to(self.device).contiguous(memory_format=torch.channels_last)
        features = self.network.encode(images)
        dense = dense_loss(self.network.everything(features), batch.layers[:, 0].to(self.device))
        losses = {"dense": (dense * batch.complete.to(self.device)).mean()}
        losses |= self._rounds(self.network.project(features), targets, rounds)
        return losses

    def _rounds(self, shared: Projected, targets: Targets, rounds: int) -> dict[str, Tensor]:
        wanted = targets.truth.to(self.device)
        index = targets.index.to(self.device)
        cues, bare = first_prompts(targets)
        none = torch.zeros_like(bare)
        losses = {}
        for k in range(rounds):
            found = self._decode(shared, index, cues)
            losses[f"round{k}"] = prompt_loss(
                found, wanted, (none if k else bare).to(self.device), targets.nested.to(self.device)
            )
            if k + 1 < rounds:
                shown = found.logits.detach()[:, 0].cpu()
                slot = 5
                if torch.rand(()) < 0.25:  # a second correction, of which only the last counts
                    cues = correct(cues, shown, wanted[:, 0].cpu(), 6)
                    with torch.no_grad():
                        again = self._decode(shared, index, cues)
                    shown = again.logits[:, 0].cpu()
                cues = correct(cues, shown, wanted[:, 0].cpu(), slot)
        return losses

    def _decode(self, shared: Projected, index: Tensor, cues: Cues) -> Decoded:
        """Decode in bfloat16: a quarter faster where the CPU has it; encoding would be slower."""
        cues = Cues(*(x.to(self.device) for x in cues))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
            found = self.network.decode(shared, index, cues)
        return Decoded(found.logits.float(), found.scores.float())

    def _share_gradients(self) -> None:
        """Average the gradients of all processes; what a process did not use counts as 0."""
        if self.plan.workers == 1:
            return
        parameters = list(self.network.parameters())
        for p in parameters:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        flat = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        dist.all_reduce(flat)
        for p, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            p.grad = (part / self.plan.workers).view_as(p)

    def _update_average(self) -> None:
        weight = min(EMA, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            self.average[name].lerp_(value, 1 - weight)


def averaged(trainer: Trainer) -> DittoNetwork:
    """Return the network with the running average of its weights."""
    network = DittoNetwork().to(trainer.device, memory_format=torch.channels_last)
    network.load_state_dict(trainer.average, strict=False)
    return network.eval()


def run(rank: int, plan: Plan, meeting: str) -> None:
    """Train in one process; the first also logs, validates and saves."""
    torch.set_num_threads(1)
    if plan.workers > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=plan.workers
        )
    trainer = Trainer(plan, rank)
    held = Bank(plan.bank, "val_") if rank == 0 else None
    sums: dict[str, float] = {}
    seen, since = 0, time.monotonic()
    while trainer.step < plan.steps:
        for name, value in trainer.advance().items():
            sums[name] = sums.get(name, 0.0) + value
        seen += 1
        if rank == 0 and trainer.step % 100 == 0:
            _log(plan, trainer, sums, seen, time.monotonic() - since)
            sums, seen, since = {}, 0, time.monotonic()
            trainer.save()
        if held and (trainer.step % plan.validate_every == 0 or trainer.step == plan.steps):
            found = validate(averaged(trainer), held)
            print(table(found), flush=True)
            _append(plan.out / "validation.jsonl", {"step": trainer.step, **found})
    if rank == 0:
        trainer.save()
    if plan.workers > 1:
        dist.destroy_process_group()


def _log(plan: Plan, trainer: Trainer, sums: dict[str, float], seen: int, seconds: float) -> None:
    entry = {
        "step": trainer.step,
        "seconds": round(time.monotonic() - trainer.started, 1),
        "per_step": round(seconds / seen, 3),
        "rate": trainer.rate_now(),
        **{name: round(value / seen, 4) for name, value in sums.items()},
    }
    print(entry, flush=True)
    _append(plan.out / "log.jsonl", entry)


def _append(path: Path, entry: object) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def main() -> None:
    """Read the command line and start the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--decay", type=int, default=2000, help="steps over which the rate falls")
    parser.add_argument("--bfloat16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--prompts", type=int, default=4, help="objects per crop")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate-every", type=int, default=500)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(**vars(parser.parse_args()))
    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.workers == 1:
        run(0, plan, "")
        return
    with tempfile.TemporaryDirectory() as folder:
        arguments = (plan, str(Path(folder) / "meeting"))
        torch.multiprocessing.spawn(run, arguments, nprocs=plan.workers)


if __name__ == "__main__":
    main()
