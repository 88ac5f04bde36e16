"""Layers that show results: labels with a table of confidences, and tracks with their graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_ditto.ui.adapters import new_labels_layer, source_axes, transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Tracks

    from napari_ditto.core.lineage import Lineage
    from napari_ditto.data.protocols import LabelStore, Source


def result_layer(image: Image, source: Source, store: LabelStore, name: str) -> Labels:
    """Return a Labels layer over a store, ``"Ditto like [coins]"``; it is not added."""
    layer = new_labels_layer(image, source, store)
    layer.name = f"Ditto {name} [{image.name}]"
    return layer


def describe_labels(
    layer: Labels, ids: Sequence[int], confidence: Sequence[float], model: str
) -> None:
    """Put a confidence per label into the layer's features; napari shows it under the mouse."""
    count = len(ids)
    layer.features = {
        # napari looks labels up in this column.
        "index": np.asarray(ids, dtype=np.int64),
        "label": np.asarray(ids, dtype=np.int64),
        "confidence": np.asarray(confidence, dtype=np.float32).round(3),
        "model": np.full(count, model, dtype=object),
    }


def tracks_layer(image: Image, source: Source, lineage: Lineage) -> Tracks:
    """Return a Tracks layer that lies on an image; it is not added to a viewer."""
    from napari.layers import Tracks

    axes = source_axes(image)
    return Tracks(
        lineage.points,
        graph={child: list(mothers) for child, mothers in lineage.parents.items()},
        name=f"Ditto tracks [{image.name}]",
        **transform_kwargs(image, ndim=len(axes)),
    )
