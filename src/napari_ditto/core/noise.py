"""How noisy an image is, and as much blur as makes two planes of it comparable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

QUIET = 0.04
"""Standard deviation of the noise that patches bear without losing what they show."""

LEAST_BLUR = 0.5
"""A smaller blur changes nothing, pixels."""


def noise_level(image: Floats) -> float:
    """Return the standard deviation of the noise of an image (h, w), from a robust estimate.

    Second differences along both axes are blind to anything that varies smoothly (Immerkær 1996).
    """
    rough = np.diff(np.diff(image, 2, axis=0)[::2], 2, axis=1)  # every second row tells enough
    return float(np.median(np.abs(rough)) / 0.6745 / 6) if rough.size else 0.0


def quiet(images: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Return two images (h, w, c), both blurred by as much as the noisier one needs."""
    from scipy.ndimage import gaussian_filter

    level = max(noise_level(light(image)) for image in images)
    # White noise of deviation s has s / (2 sqrt(pi) b) after a Gaussian blur of b pixels.
    blur = level / (2 * np.sqrt(np.pi) * QUIET)
    if blur < LEAST_BLUR:
        return images
    first, second = (gaussian_filter(image, (blur, blur, 0)) for image in images)
    return first, second


def light(image: Floats) -> Floats:
    """Return the mean of the channels of an image (h, w, c)."""
    return image[..., 0] if image.shape[2] == 1 else image.mean(axis=2, dtype=np.float32)
