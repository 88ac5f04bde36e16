"""What the layers of a viewer say about each of many objects on one plane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_ditto.core.geometry import PlaneAddress
from napari_ditto.core.prompts import PromptSet
from napari_ditto.engine.batch import separate
from napari_ditto.ui.prompt_reading import Collected, read_layer
from napari_ditto.ui.region import join_regions

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Layer


def objects_on_plane(
    layers: Iterable[Layer], image: Image, plane: PlaneAddress, dims: Dims | None = None
) -> tuple[PromptSet, ...]:
    """Return one set of prompts for each positive point, area and stroke on a plane.

    Parameters
    ----------
    layers : iterable of napari layers
        As for :func:`~napari_ditto.ui.prompt_reading.collect_prompts`.
    image : napari Image layer
        The image that the prompts are for.
    plane : PlaneAddress
        The plane.
    dims : napari.components.Dims, optional
        ``viewer.dims``.
    """
    total = Collected()
    for layer in layers:
        total += read_layer(layer, image, plane, dims)
    joined = (join_regions([region])[:2] for region in total.regions)
    areas = [PromptSet(box=box, mask=mask) for box, mask in joined]
    return separate(total.points, areas, total.scribbles)
