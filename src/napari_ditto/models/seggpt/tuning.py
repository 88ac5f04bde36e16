"""In-context tuning: the weights stay, the pictures of the examples change.

Wang et al. 2023, SegGPT, section 3.3. Each example is in turn the query of the others; where
they do not show all that it shows, it is the query of itself as well, turned. Adam moves the
pixels of what is shown so that the query is painted as its labels say. Labels stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch  # noqa: TID253 - this module is imported when the family is used
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn.functional import smooth_l1_loss  # noqa: TID253

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import UNKNOWN, ContextMap, Example, Memory
from napari_ditto.models.ridge import read_classes
from napari_ditto.models.seggpt.look import Settings, look, painted, pixels
from napari_ditto.models.seggpt.painter import Painter
from napari_ditto.models.seggpt.prompts import Prompts, Ranks, groups, ranks_of, show
from napari_ditto.models.seggpt.square import Square

Pixel = TypeVar("Pixel", bound=np.generic)

STEP = 2.0
"""Grey levels of 255 that a pixel moves at first, per step."""

CHECKS = 4
"""How often it is seen whether the result is better; each check looks at every example twice."""

SEED = 0
_TURNS = 8
_MIRRORED = 4
"""Of the eight ways to turn and mirror a square: the one that checks are made with."""


@dataclass(frozen=True, eq=False)
class Task:
    """An example as query, and the prompts that it is asked with.

    Attributes
    ----------
    image, ranks, counts : ndarray, shape (s, s, 3) and (s, s)
        The query, what is true, and which of its pixels count.
    group : tuple of int
        Classes of the pass.
    chosen : tuple of int
        Prompts to show.
    is_turned : bool
        Whether the query is among them, and so has to be turned.
    """

    image: NDArray[np.uint8]
    ranks: NDArray[np.uint16]
    counts: NDArray[np.bool_]
    group: Ranks
    chosen: tuple[int, ...]
    is_turned: bool


class Tuner:
    """Tunes the prompts of one memory.

    Parameters
    ----------
    painter, settings, square
        The model.
    memory : Memory
        Where to start.
    examples : sequence of Example
        What is true; classes that the memory does not know are refused.

    Raises
    ------
    ModelError
        If the examples show no class, or an unknown one.
    """

    def __init__(
        self,
        painter: Painter,
        settings: Settings,
        square: Square,
        memory: Memory,
        examples: Sequence[Example],
    ) -> None:
        if unknown := set(read_classes(examples)) - set(memory.classes):
            raise ModelError(
                f"Label values {sorted(unknown)} are not among the classes {memory.classes} "
                "of this memory",
                todo="Make a new memory of all examples",
            )
        self.painter, self.settings, self.square = painter, settings, square
        self.memory, self.prompts = memory, Prompts.of(memory)
        shown = [e for e in examples if (e.labels > 0).any()]
        self.examples = sorted(shown, key=_bytes)  # their order is to have no influence
        self.tasks = [t for e in self.examples for t in self._tasks(e)]

    def tune(self, steps: int, recall: Callable[[Embedding, Memory], ContextMap]) -> Memory:
        """Return the best memory on the way: better on left-out examples, and no worse on all.

        Parameters
        ----------
        steps : int
            Of Adam; each looks at one example.
        recall : callable
            What is to be no worse.
        """

        def worth(memory: Memory) -> tuple[float, float]:
            return _loss(self.examples, memory, recall), self._left_out(memory)

        best, least = self.memory, worth(self.memory)
        images = pixels(self.prompts.images, self.painter.device).requires_grad_()
        adam = torch.optim.Adam([images], lr=STEP)
        checks = {round(steps * (k + 1) / CHECKS) for k in range(CHECKS)}
        for step, (task, turn) in enumerate(self._order(steps), 1):
            adam.zero_grad()
            with torch.enable_grad():
                torch.autograd.backward(self._error(images, task, turn))
            adam.step()
            if step in checks:
                found = self._with(images)
                full, left_out = worth(found)
                if full <= least[0] and left_out < least[1]:
                    best, least = found, (full, left_out)
        return best

    def _tasks(self, example: Example) -> list[Task]:
        """Return what an example asks for: one task for each pass that has a prompt for it."""
        shown = show(example, self.square)
        ranks = ranks_of(shown.labels, self.memory.classes, self.prompts)
        own = [i for i, n in enumerate(self.prompts.names) if n.tobytes() == shown.digest]
        counts, tasks = self._counting(example), []
        for group in groups(len(self.memory.classes), self.settings.colors):
            needed = np.intersect1d(ranks, group)
            if not len(needed):
                continue
            showing = self.prompts.showing(group, self.settings.examples)
            others = [i for i in showing if i not in own]
            alone = bool(np.isin(needed, self.prompts.labels[others]).all())
            chosen = tuple(others if alone else showing)
            tasks.append(Task(shown.image, ranks, counts, group, chosen, not alone))
        return tasks

    def _counting(self, example: Example) -> NDArray[np.bool_]:
        """Return the pixels of the square that are the example's own, and known."""
        counts = np.zeros((self.square.size, self.square.size), bool)
        top, left = self.square.corner(example.labels.shape)
        height, width = example.labels.shape
        counts[top : top + height, left : left + width] = example.labels != UNKNOWN
        return counts

    def _order(self, steps: int) -> list[tuple[Task, int]]:
        """Return the task of each step and how its query is turned; the same ones every time."""
        rng = np.random.default_rng(SEED)
        order = [
            k for _ in range(-(-steps // len(self.tasks))) for k in rng.permutation(len(self.tasks))
        ]
        turns = rng.integers(1, _TURNS, steps)
        return [(self.tasks[k], int(turn)) for k, turn in zip(order, turns, strict=False)]

    def _error(self, images: Tensor, task: Task, turn: int) -> Tensor:
        """Return how wrong a query is painted: the network's own training loss."""
        turn = turn if task.is_turned else 0
        device = self.painter.device
        found = look(
            self.painter,
            self.settings,
            images[list(task.chosen)],
            self.prompts.labels[list(task.chosen)],
            task.group,
            pixels(_turned(task.image, turn), device),
        )
        true = painted(_turned(task.ranks, turn), task.group).to(device)
        mask = torch.from_numpy(_turned(task.counts, turn).copy()).to(device)
        normalize = self.painter.normalize
        return smooth_l1_loss(
            normalize(found)[:, mask], normalize(true)[:, mask], beta=self.painter.beta
        )

    @torch.inference_mode()
    def _left_out(self, memory: Memory) -> float:
        images = pixels(memory.arrays["images"], self.painter.device)
        return float(np.mean([float(self._error(images, t, _MIRRORED)) for t in self.tasks]))

    def _with(self, images: Tensor) -> Memory:
        """Return the memory with other pictures, in the precision that is kept."""
        kept = images.detach().permute(0, 2, 3, 1).cpu().numpy().astype(np.float16)
        return replace(self.prompts, images=kept).remembered(self.memory.classes, self.memory.model)


def _turned(array: NDArray[Pixel], turn: int) -> NDArray[Pixel]:
    """Return a square in one of the eight ways to turn and mirror it."""
    mirrored = array[:, ::-1] if turn >= _MIRRORED else array
    return np.rot90(mirrored, turn % 4)


def _bytes(example: Example) -> tuple[bytes, bytes]:
    return example.embedding.arrays["pixels"].tobytes(), example.labels.astype(np.int64).tobytes()


def _loss(
    examples: Sequence[Example], memory: Memory, recall: Callable[[Embedding, Memory], ContextMap]
) -> float:
    """Return the mean over examples and their classes of one less the soft Dice."""
    losses = []
    for example in examples:
        known = example.labels != UNKNOWN
        chances = recall(example.embedding, memory).probability
        for label, chance in zip(memory.classes, chances, strict=True):
            true = example.labels == label
            if true.any():
                both = float(chance[known].sum() + true.sum())
                losses.append(1 - 2 * float(chance[true].sum()) / both)
    return float(np.mean(losses))
