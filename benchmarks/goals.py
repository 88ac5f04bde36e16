"""What the numbers are held against, and why some are slower than they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.records import Measurement, number

Field = Literal["median", "p95", "speedup", "of_floor"]


@dataclass(frozen=True)
class Goal:
    """A bound on one number of a measurement."""

    text: str
    name: str
    field: Field
    bound: float
    sense: Literal["at most", "at least"]
    unit: str = "times"

    def value(self, measured: Measurement) -> float | None:
        value = getattr(measured, self.field)
        return None if value is None else float(value)

    def is_met(self, measured: Measurement) -> bool | None:
        """Whether the bound is kept; None where the number was not measured."""
        value = self.value(measured)
        if value is None:
            return None
        return value <= self.bound if self.sense == "at most" else value >= self.bound

    @property
    def asked(self) -> str:
        """The bound, to read."""
        return f"{self.sense} {number(self.bound)} {self.unit}".strip()

    def found(self, measured: Measurement) -> str:
        """Return the number to read."""
        value = self.value(measured)
        return "-" if value is None else f"{number(value)} {self.unit}".strip()


GOALS = (
    Goal("SAM ViT-B, 1,024 x 1,024, against transformers in float32",
         "sam/encode", "speedup", 4, "at least"),
    Goal("its masks on two photographs, 100 prompts, against transformers",
         "sam/encode, mask IoU", "median", 0.99, "at least", "IoU"),
    Goal("the same in float32", "sam/encode, float32", "speedup", 2, "at least"),
    Goal("largest difference of an embedding in float32",
         "sam/encode, float32, largest difference", "median", 1e-3, "at most", ""),
    Goal("its time against that of its matrix products alone",
         "sam/encode", "of_floor", 2.5, "at most"),
    Goal("SAM 2 tiny against transformers in float32", "sam2/encode", "speedup", 3, "at least"),
    Goal("SAM ViT-B on a GPU against transformers in float32",
         "sam/encode, GPU", "speedup", 5, "at least"),
    Goal("SAM decoder, one prompt, p95 of processor time",
         "sam/decode, 1 prompt", "p95", 50, "at most", "ms"),
    Goal("SAM decoder, 64 prompts, processor time",
         "sam/decode, 64 prompts", "median", 0.6, "at most", "s"),
    Goal("`ditto`, first click on a new tile of 512 x 512",
         "ditto/first click", "median", 200, "at most", "ms"),
    Goal("`ditto`, further clicks, p95", "ditto/further click", "p95", 25, "at most", "ms"),
    Goal("`ditto`, from the mouse to the contour in a window",
         "ditto/hover to contour", "median", 60, "at most", "ms"),
    Goal("`ditto`, everything on 512 x 512", "ditto/everything", "median", 2, "at most", "s"),
    Goal("`ditto`, a whole image", "ditto/whole image", "median", 0.3, "at least", "Mpx/s"),
    Goal("`ditto`, ten objects through planes of 512 x 512, embeddings at hand",
         "ditto/propagate, cached", "median", 5, "at least", "planes/s"),
    Goal("the same, embeddings to be made",
         "ditto/propagate, fresh", "median", 2, "at least", "planes/s"),
)  # fmt: skip

_SAME = "Nothing of it was changed but one line, with the same bits; hours of a machine differ so."
REASONS: dict[str, str] = {
    "classic/further click": _SAME,
    "classic/hover answer": _SAME,
    "classic/everything": _SAME,
    "program/import": "In one calm run it took 11 ms, and 14 before: hours of a machine differ so.",
}
"""Why something is slower than it was, by the name of the measurement."""
