"""The intensity window: one fixed map from raw values to [0, 1] per channel and image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Lower and upper raw value of every channel; the same for each tile, slice and level.

    Attributes
    ----------
    low, high : tuple of float
        Raw values that map to 0 and 1, one per channel, finite, ``low < high``.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not self.low:
            raise ValueError("a window needs one low and one high value per channel")
        limits = np.array([self.low, self.high], dtype=float)
        if not np.isfinite(limits).all() or (limits[1] <= limits[0]).any():
            raise ValueError(f"window limits must be finite and increasing, got {limits.tolist()}")

    @classmethod
    def from_pairs(cls, pairs: Sequence[Sequence[float]]) -> Window:
        """Return the window for ``[(low, high), ...]``, one pair per channel."""
        return cls(tuple(float(p[0]) for p in pairs), tuple(float(p[1]) for p in pairs))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.low)

    def apply(self, raw: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map raw values to [0, 1].

        Parameters
        ----------
        raw : ndarray, shape (..., C)
            Raw values of any real dtype and byte order, channels last.

        Returns
        -------
        ndarray of float32, shape (..., C)
            NaN becomes 0, +inf 1 and -inf 0.
        """
        low = np.asarray(self.low, dtype=np.float64)
        span = np.asarray(self.high, dtype=np.float64) - low
        with np.errstate(over="ignore"):  # an overflow is +-inf, which is clipped below
            scaled = (raw.astype(np.float64) - low) / span
        filled = np.nan_to_num(scaled, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        return np.clip(filled, 0.0, 1.0).astype(np.float32)
