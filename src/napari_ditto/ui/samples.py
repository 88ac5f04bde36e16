"""File > Open Sample > Ditto: small real images, and generated ones with known truth.

The real ones come with the scikit-image package itself, so that they open without a network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ditto.errors import SourceError

COIN = (54.0, 100.0), 20.0
"""Centre and radius of the coin that :func:`one_coin` labels."""

LayerData = tuple[Any, dict[str, Any], str]


def coins() -> list[LayerData]:
    """Return a photograph of coins (Brooklyn Museum), shape (303, 384)."""
    return [_image(_bundled("coins"), "Coins")]


def one_coin() -> list[LayerData]:
    """Return the coins with one of them labelled, and open both docks: press 'More like this'."""
    from napari import current_viewer

    from napari_ditto.ui.commands import show_dock, show_examples

    viewer = current_viewer()
    if viewer is not None:
        show_dock(viewer)
        show_examples(viewer)
    pixels = _bundled("coins")
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    (y, x), radius = COIN
    labels = ((rows - y) ** 2 + (columns - x) ** 2 <= radius**2).astype(np.uint32)
    about = {"name": "One coin", **_placed((), ("y", "x"), ())}
    return [_image(pixels, "Coins"), (labels, about, "labels")]


def cell() -> list[LayerData]:
    """Return a cell in quantitative phase contrast (Müller et al. 2018, CC0), shape (660, 550)."""
    return [_image(_bundled("cell"), "Cell", (0.107, 0.107))]


def tissue() -> list[LayerData]:
    """Return colon glands stained for FHL2 (CMMI), RGB, shape (512, 512, 3)."""
    return [_image(_bundled("immunohistochemistry"), "Colon tissue")]


def retina() -> list[LayerData]:
    """Return a retina (Häggström 2014, CC0), RGB, shape (1411, 1411, 3)."""
    return [_image(_bundled("retina"), "Retina")]


def galaxies() -> list[LayerData]:
    """Return a part of the Hubble eXtreme Deep Field (NASA), RGB, shape (872, 1000, 3)."""
    return [_image(_bundled("hubble_deep_field"), "Hubble deep field")]


def stack() -> list[LayerData]:
    """Return a generated z-stack of nuclei and its hidden truth, shape (24, 256, 256)."""
    from napari_ditto.core import synthetic

    pixels, labels = synthetic.stack()
    axes, scale = ("z", "y", "x"), (1.0, 0.25, 0.25)
    return [_image(pixels, "Nuclei", scale, axes), _truth(labels, "Nuclei", scale, axes)]


def movie() -> list[LayerData]:
    """Return a generated movie of dividing cells and its hidden truth, shape (20, 256, 256).

    ``metadata["parents"]`` of the truth tells the mother of each daughter.
    """
    from napari_ditto.core import synthetic

    made = synthetic.movie()
    axes, scale = ("t", "y", "x"), (1.0, 0.5, 0.5)
    units = ("min", "um", "um")
    truth = _truth(made.labels, "Dividing cells", scale, axes, units)
    truth[1]["metadata"] = {"parents": made.parents}
    return [_image(made.image, "Dividing cells", scale, axes, units), truth]


def em() -> list[LayerData]:
    """Return a drawn EM stack and its mitochondria, hidden, shape (20, 256, 256)."""
    from napari_ditto.core.synthetic_scenes import em_stack

    pixels, labels = em_stack()
    axes, scale = ("z", "y", "x"), (0.05, 0.01, 0.01)
    name = "Mitochondria"
    return [_image(pixels, name, scale, axes), _truth(labels, name, scale, axes)]


def village() -> list[LayerData]:
    """Return a drawn orthophoto and its roofs, hidden, RGB, shape (400, 500, 3)."""
    from napari_ditto.core.synthetic_scenes import orthophoto

    pixels, labels = orthophoto()
    axes, scale, units = ("y", "x"), (0.3, 0.3), ("m", "m")
    name = "Village"
    return [_image(pixels, name, scale, axes, units), _truth(labels, name, scale, axes, units)]


def huge() -> list[LayerData]:
    """Return a generated pyramid of 60,000 x 60,000 pixels that is computed where one looks."""
    from napari_ditto.data.virtual import virtual_raster

    levels = virtual_raster()
    data, about, kind = _image(levels, "60,000 x 60,000", (0.25, 0.25))
    # Without given limits napari would look for them in the data.
    return [(data, {**about, "multiscale": True, "contrast_limits": (0, 255)}, kind)]


def _bundled(name: str) -> NDArray[np.uint8]:
    from skimage import data

    try:
        pixels: NDArray[np.uint8] = getattr(data, name)()
    except (ImportError, OSError) as error:
        # Builds of scikit-image differ in what they carry; the rest is downloaded with pooch.
        raise SourceError(
            f"the sample '{name}' is not in this build of scikit-image and cannot be downloaded",
            todo="Connect to the internet and 'pip install pooch', or open another sample",
        ) from error
    return pixels


def _image(
    data: Any,  # noqa: ANN401 - an array or a list of levels
    name: str,
    scale: tuple[float, ...] = (),
    axes: tuple[str, ...] = ("y", "x"),
    units: tuple[str, ...] = (),
) -> LayerData:
    return data, {"name": name, **_placed(scale, axes, units)}, "image"


def _truth(
    data: NDArray[np.integer],
    name: str,
    scale: tuple[float, ...],
    axes: tuple[str, ...],
    units: tuple[str, ...] = (),
) -> LayerData:
    about = {"name": f"{name}, truth", "visible": False, **_placed(scale, axes, units)}
    return data, about, "labels"


def _placed(
    scale: tuple[float, ...], axes: tuple[str, ...], units: tuple[str, ...]
) -> dict[str, Any]:
    if not scale:
        return {"axis_labels": axes}
    return {"axis_labels": axes, "scale": scale, "units": units or ("um",) * len(axes)}
