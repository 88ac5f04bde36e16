"""How a synthetic scene looks: colours, textures, rims, shadows, light, blur and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from training.scenes import LAYERS, Scene, log_uniform
from training.shapes import Field, Mask, blob, outline, random_field

GREY = 0.5  # share of worlds without colour
FAINT = 0.15  # share of depths that hardly differ from their surroundings in mean
STRETCHED = 0.75  # share of worlds that fill the intensity range, as the product shows images
WHITE = np.ones(3, np.float32)

Colour = NDArray[np.float32]
Bound = float | tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Colours of the background and of the objects at each depth, all in [0, 1]."""

    ground: Colour
    depths: tuple[Colour, ...]
    accent: Colour


def _colour(rng: np.random.Generator, low: Bound, high: Bound) -> Colour:
    return np.asarray(rng.uniform(low, high, 3), np.float32)


def palette(rng: np.random.Generator) -> Palette:
    """Draw a palette: grey, stain-like on a bright ground, aerial-like, or any colours."""
    kind = rng.choice(["grey", "stain", "aerial", "any"], p=[GREY, 0.2, 0.15, 0.15])
    if kind == "grey":
        return _stepped(rng, WHITE * np.float32(rng.uniform(0.05, 0.95)), grey=True)
    if kind == "any":
        return _stepped(rng, _colour(rng, 0, 1), grey=False)
    if kind == "aerial":
        ground = _colour(rng, (0.25, 0.3, 0.15), (0.5, 0.55, 0.4))
        return _stepped(rng, ground, grey=False)
    ground = _colour(rng, 0.72, 0.97)
    stain, colours, left = _colour(rng, (0.05, 0.2, 0.02), (0.6, 1.0, 0.4)), [], ground
    for _ in range(LAYERS):  # each depth absorbs more of the stain (Beer and Lambert)
        left = left * np.exp(-stain * np.float32(rng.uniform(0.25, 1.1)))
        colours.append(left)
    return Palette(ground, tuple(colours), _colour(rng, -0.25, 0.25))


def _stepped(rng: np.random.Generator, ground: Colour, grey: bool) -> Palette:
    colours, last = [], ground
    for _ in range(LAYERS):
        size = rng.uniform(0, 0.04) if rng.random() < FAINT else rng.uniform(0.08, 0.5)
        step = WHITE if grey else _colour(rng, -0.3, 1.0)
        step = step / np.abs(step).max() * size * rng.choice([-1.0, 1.0])
        if np.mean(np.abs(np.clip(last + step, 0, 1) - last)) < 0.6 * np.mean(np.abs(step)):
            step = -step  # no room on that side
        last = np.clip(last + step, 0.02, 0.98).astype(np.float32)
        colours.append(last)
    accent = WHITE * rng.uniform(-0.2, 0.2) if grey else _colour(rng, -0.25, 0.25)
    return Palette(ground, tuple(colours), np.asarray(accent, np.float32))


def texture(rng: np.random.Generator, side: int, most: float) -> Field:
    """Return a texture ``(side, side, 1)`` of a random spectral slope and amplitude."""
    amplitude = most * rng.random() ** 2
    return (amplitude * random_field(rng, side, rng.uniform(0, 2.5)))[..., None].astype(np.float32)


def borders(labels: NDArray[np.uint8]) -> Mask:
    """Return the pixels that have a neighbour of another label."""
    return np.asarray(ndi.maximum_filter(labels, 3) != ndi.minimum_filter(labels, 3))


def paint(rng: np.random.Generator, scene: Scene) -> NDArray[np.uint8]:
    """Return an image uint8 ``(side, side, 3)`` of a scene."""
    colours, side = palette(rng), scene.side
    canvas = colours.ground + texture(rng, side, 0.12)
    if rng.random() < 0.15:
        region = random_field(rng, side, 2.5) > rng.uniform(-0.5, 1)
        canvas = canvas + region[..., None] * _tinted(rng, colours, 0.12)
    if rng.random() < 0.3:
        canvas = strew(rng, canvas, _tinted(rng, colours, 0.35))
    if rng.random() < (0.7 if scene.family == "polygons" else 0.1):
        canvas = shade(rng, canvas, scene.layers[0] > 0)
    for depth, colour in enumerate(colours.depths):
        if scene.counts[depth]:
            canvas = cover(rng, canvas, scene, depth, colour, colours)
    if rng.random() < 0.15:
        canvas = strew(rng, canvas, _tinted(rng, colours, 0.3), largest=4)
    return expose(rng, canvas)


def _tinted(rng: np.random.Generator, colours: Palette, most: float) -> Colour:
    grey = np.ptp(colours.ground) == 0
    size = np.float32(rng.uniform(-most, most))
    return WHITE * size if grey else size * _colour(rng, 0.2, 1.0)


def strew(
    rng: np.random.Generator, canvas: Field, tint: Colour, largest: float | None = None
) -> Field:
    """Return the canvas with specks or objects of a kind that is not labelled."""
    side = len(canvas)
    radius = log_uniform(rng, 1.2, largest or rng.choice([4.0, 0.1 * side]))
    out = np.zeros((side, side), np.float32)
    for y, x in rng.uniform(0, side, (int(rng.integers(2, 25)), 2)):
        shape = outline(rng, radius * rng.uniform(0.7, 1.3), 0.15, rng.uniform(1, 2))
        out[blob(side, (float(y), float(x)), shape)] = rng.uniform(0.6, 1)
    return canvas + out[..., None] * tint


def shade(rng: np.random.Generator, canvas: Field, mask: Mask) -> Field:
    """Return the canvas with the shadow that the objects cast to one side."""
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(2, 10)
    shadow = np.zeros(mask.shape, np.float32)
    for part in np.linspace(0.15, 1, 6):
        shift = (part * length * np.sin(angle), part * length * np.cos(angle))
        dy, dx = round(shift[0]), round(shift[1])
        shadow = np.maximum(shadow, ndi.shift(mask.view(np.uint8), (dy, dx), order=0))
    dark = np.float32(rng.uniform(0.3, 0.8))
    return np.asarray(canvas * (1 - dark * (shadow * ~mask))[..., None], np.float32)


def cover(
    rng: np.random.Generator,
    canvas: Field,
    scene: Scene,
    depth: int,
    colour: Colour,
    colours: Palette,
) -> Field:
    """Return the canvas with the objects of one depth on it."""
    labels, side = scene.layers[depth], scene.side
    mask, edge = labels > 0, borders(labels)
    under = colours.ground if depth == 0 else colours.depths[depth - 1]
    faint = float(np.abs(colour - under).max()) < 0.06
    varied = rng.normal(0, 0.08 * rng.random(), scene.counts[depth] + 1).astype(np.float32)
    look = colour + varied[labels][..., None] + texture(rng, side, 0.25 if faint else 0.12)
    if depth == 0:
        look = look + scene.tone[..., None] * colours.accent
    away = ndi.distance_transform_edt(~edge).astype(np.float32)
    if rng.random() < 0.25:
        look = look + _dome(rng, away, mask)
    alpha = mask.astype(np.float32)
    if rng.random() < 0.6:
        alpha = ndi.gaussian_filter(alpha, rng.uniform(0.4, 1.2))
    alpha = (alpha * np.float32(rng.choice([1.0, rng.uniform(0.6, 1)])))[..., None]
    canvas = canvas * (1 - alpha) + look * alpha
    return _lined(rng, canvas, mask, away, faint or scene.family == "packed")


def _dome(rng: np.random.Generator, away: Field, mask: Mask) -> Field:
    top = max(float(away[mask].max()), 1.0)
    height = np.minimum(away / top, 1) ** rng.uniform(0.5, 1.5)
    return np.asarray(rng.uniform(-0.3, 0.3) * (height * mask)[..., None], np.float32)


def _lined(rng: np.random.Generator, canvas: Field, mask: Mask, away: Field, needed: bool) -> Field:
    """Return the canvas with rims inside the objects, halos around them, or membranes on both."""
    chances, out = (0.85 if needed else 0.3), canvas
    if rng.random() < chances:  # membrane: both sides of the border
        out = out + _line(rng, away, 0.8, 2.5, 0.12 if needed else 0.0)
    if rng.random() < 0.25:
        out = out + _line(rng, away, 1, 5) * mask[..., None]
    if rng.random() < 0.25:
        out = out + _line(rng, away, 1.5, 7) * ~mask[..., None]
    return np.asarray(out, np.float32)


def _line(
    rng: np.random.Generator, away: Field, thin: float, thick: float, least: float = 0.0
) -> Field:
    width = rng.uniform(thin, thick)
    strength = rng.choice([-1.0, 1.0]) * rng.uniform(least, 0.4)
    return np.asarray(strength * np.exp(-((away / width) ** 2))[..., None], np.float32)


def expose(rng: np.random.Generator, canvas: Field) -> NDArray[np.uint8]:
    """Return the canvas as a camera sees it: lit unevenly, blurred and noisy, as uint8."""
    side = len(canvas)
    if rng.random() < 0.4:
        light = 1 + rng.uniform(0, 0.25) * random_field(rng, side, 3.5)
        canvas = canvas * np.maximum(light, 0.2)[..., None]
    if rng.random() < 0.6:
        sigma = rng.uniform(0.3, 1.6)
        canvas = ndi.gaussian_filter(canvas, (sigma, sigma, 0))
    canvas = np.clip(canvas, 0, 1.3)
    canvas = canvas + _noise(rng, canvas)
    if rng.random() < STRETCHED:
        low, high = np.percentile(canvas, [0.5, 99.5], axis=(0, 1))
        canvas = (canvas - low) / np.maximum(high - low, 0.02)
    return np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)


def _noise(rng: np.random.Generator, canvas: Field) -> Field:
    """Return Poisson-Gauss noise in its normal approximation, at times smoothed as by a codec."""
    grey = bool(np.all(np.ptp(canvas, axis=-1) < 1e-6))
    drawn = rng.standard_normal((*canvas.shape[:2], 1 if grey else 3)).astype(np.float32)
    if rng.random() < 0.2:
        sigma = rng.uniform(0.5, 1)
        drawn = ndi.gaussian_filter(drawn, (sigma, sigma, 0)) * (1 + 2 * sigma)
    read, shot = log_uniform(rng, 0.002, 0.08), rng.choice([0.0, log_uniform(rng, 1e-5, 3e-3)])
    return np.asarray(np.sqrt(read**2 + shot * canvas) * drawn, np.float32)
