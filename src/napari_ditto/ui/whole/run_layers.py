"""The Labels layer that shows a run: read only while tiles come in, like any other afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_ditto.ui.image_layers import source_axes
from napari_ditto.ui.label_layers import METADATA, STORE, UNFINISHED
from napari_ditto.ui.transforms import transform_kwargs

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_ditto.data.protocols import LabelStore


def run_layer(image: Image, levels: Sequence[object]) -> Labels:
    """Return a Labels layer over the levels of an unfinished run; it is not added to a viewer."""
    from napari.layers import Labels

    many = len(levels) > 1
    layer = Labels(
        list(levels) if many else levels[0],
        multiscale=many,
        name=f"Ditto run [{image.name}]",
        metadata={METADATA: {}, UNFINISHED: True},
        **transform_kwargs(image, ndim=len(source_axes(image))),
    )
    layer.editable = False
    return layer


def end_run(layer: Labels, store: LabelStore, provenance: Mapping[str, object]) -> None:
    """Let the layer be a target like any other: it shows the store of the ended run now."""
    levels = list(getattr(store, "levels", ()))
    layer.data = levels if layer.multiscale else store.data
    layer.editable = not layer.multiscale
    layer.metadata[METADATA] = dict(provenance)
    layer.metadata[STORE] = store
    layer.metadata.pop(UNFINISHED, None)


def begin_again(layer: Labels) -> None:
    """Let the layer be no target while a run writes to it again."""
    layer.editable = False
    layer.metadata.pop(STORE, None)
    layer.metadata[UNFINISHED] = True
