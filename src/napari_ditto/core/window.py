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

    @property
    def _is_ordinary(self) -> bool:
        """Whether float32 can do the arithmetic: limits near those of 16-bit numbers."""
        spans = np.subtract(self.high, self.low)
        return bool(max(map(abs, self.low)) < 1e6 and spans.min() > 1e-6 and spans.max() < 1e12)

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
        # A float32 holds 16-bit numbers exactly; anything larger keeps its precision in float64.
        small = raw.dtype.itemsize <= 2 and self._is_ordinary
        exact = np.dtype(np.float32 if small else np.float64)
        low = np.asarray(self.low, dtype=exact)
        span = np.asarray(np.subtract(self.high, self.low), dtype=exact)
        with np.errstate(over="ignore"):  # an overflow is +-inf, which is clipped below
            scaled: NDArray[np.floating] = np.subtract(raw, low, dtype=exact)
            scaled = np.divide(scaled, span, out=scaled)
        if raw.dtype.kind == "f":
            np.nan_to_num(scaled, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        return np.clip(scaled, 0.0, 1.0, out=scaled).astype(np.float32, copy=False)
