"""Outlines of synthetic objects, each drawn into a window of the canvas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Centre = tuple[float, float]

BINS = 128


@dataclass(frozen=True)
class Outline:
    """A star-shaped outline with Fourier modes, stretched and turned.

    Attributes
    ----------
    radius
        Mean radius in pixels.
    profile
        Radius over mean radius at ``BINS`` equidistant angles.
    stretch
        Long axis over short axis.
    angle
        Direction of the long axis in radians.
    """

    radius: float
    profile: Field
    stretch: float = 1.0
    angle: float = 0.0

    def resized(self, factor: float) -> Outline:
        """Return the same outline at another size."""
        return replace(self, radius=self.radius * factor)


def outline(
    rng: np.random.Generator, radius: float, roughness: float, stretch: float = 1.0
) -> Outline:
    """Draw a random outline; a roughness of 0 is an ellipse, of 0.4 an amoeba."""
    theta = np.linspace(0, 2 * np.pi, BINS, endpoint=False)
    modes = np.arange(2, 8)
    sizes = rng.normal(0, 1, len(modes)) * roughness / modes**0.8
    waves = np.cos(theta * modes[:, None] + rng.uniform(0, 2 * np.pi, len(modes))[:, None])
    profile = np.maximum(1 + sizes @ waves, 0.3).astype(np.float32)
    return Outline(radius, profile, stretch, float(rng.uniform(0, np.pi)))


def grid(side: int, centre: Centre, angle: float = 0.0) -> tuple[Field, Field]:
    """Return the coordinates of every pixel along and across a direction through a centre."""
    y = np.arange(side, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(side, dtype=np.float32)[None] - np.float32(centre[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y, c * y - s * x


def blob(side: int, centre: Centre, shape: Outline) -> Mask:
    """Return the inside of an outline ``(side, side)``."""
    u, v = grid(side, centre, shape.angle)
    root = np.float32(np.sqrt(shape.stretch))
    u, v = u / root, v * root
    bins = ((np.arctan2(v, u) + np.pi) * (BINS / (2 * np.pi))).astype(np.intp) % BINS
    return np.asarray(np.hypot(u, v) <= shape.radius * shape.profile[bins])


def rectangle(side: int, centre: Centre, half: tuple[float, float], angle: float) -> Mask:
    """Return a turned rectangle of half sides ``half`` along and across ``angle``."""
    u, v = grid(side, centre, angle)
    return np.asarray((np.abs(u) <= half[0]) & (np.abs(v) <= half[1]))


def wing(
    rng: np.random.Generator, side: int, centre: Centre, half: tuple[float, float], angle: float
) -> Mask:
    """Return a rectangle that makes an L or a T of the one that ``half`` and ``angle`` say."""
    along = float(rng.choice([-1.0, 0.0, 1.0])) * half[0] * 0.6
    across = float(rng.choice([-1.0, 1.0])) * half[1] * rng.uniform(0.7, 1.4)
    u, v = grid(side, centre, angle)
    return np.asarray(
        (np.abs(u - along) <= half[0] * rng.uniform(0.25, 0.4))
        & (np.abs(v - across) <= half[1] * rng.uniform(0.7, 1.1))
    )


def path(rng: np.random.Generator, start: Centre, angle: float, length: float) -> Field:
    """Return a smooth random walk ``(n, 2)`` of about one point a pixel."""
    steps = max(4, int(length))
    bend = rng.normal(0, rng.uniform(0.01, 0.09), steps)
    turns = angle + np.cumsum(np.convolve(bend, np.ones(7) / 3, mode="same"))
    moves = np.stack([np.sin(turns), np.cos(turns)], -1)
    return (np.asarray(start) + np.cumsum(moves, 0) * length / steps).astype(np.float32)


def tube(side: int, points: Field, radii: Field) -> Mask:
    """Return the union of the discs along a path."""
    mask = np.zeros((side, side), bool)
    for (y, x), r in zip(points.tolist(), radii.tolist(), strict=True):
        y0, x0 = max(0, int(y - r)), max(0, int(x - r))
        y1, x1 = min(side, int(y + r) + 2), min(side, int(x + r) + 2)
        if y0 < y1 and x0 < x1:
            dy = np.arange(y0, y1)[:, None] - y
            dx = np.arange(x0, x1)[None] - x
            mask[y0:y1, x0:x1] |= dy * dy + dx * dx <= r * r
    return mask


def random_field(rng: np.random.Generator, side: int, slope: float, low: float = 0.0) -> Field:
    """Return a Gaussian random field of mean 0 and deviation 1 with amplitude ~ f ** -slope.

    Parameters
    ----------
    rng
        Source of randomness.
    side
        Pixels along each axis; the field is periodic.
    slope
        0 is white noise, 3 is clouds.
    low
        Frequencies (cycles over the side) below this are left out.
    """
    fy = np.fft.fftfreq(side)[:, None] * side
    fx = np.fft.rfftfreq(side)[None] * side
    f = np.hypot(fy, fx)
    gain = np.where(f > low, np.maximum(f, 1) ** -slope, 0)
    gain[0, 0] = 0
    noise = np.fft.rfft2(rng.standard_normal((side, side)))
    field = np.fft.irfft2(noise * gain, s=(side, side))
    return (field / max(float(field.std()), 1e-9)).astype(np.float32)
