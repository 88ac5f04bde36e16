"""A viewer's layers under the keys by which everything but the stages knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer


def layers_by_id(viewer: Viewer) -> dict[str, Any]:
    """Return the layers by key, from the bottom of the layer list to its top."""
    return {str(layer.unique_id): layer for layer in viewer.layers}
