"""The only reader of napari's layers: everything that comes out is a value of ours."""

from napari_ditto.ui.image_layers import (
    axis_names,
    describe_window,
    layer_shape,
    plane_from_viewer,
    source_axes,
    source_from_layer,
)
from napari_ditto.ui.label_layers import (
    label_image_on_plane,
    label_store_for,
    labels_on_plane,
    new_labels_layer,
    refresh_labels,
)
from napari_ditto.ui.prompt_layers import (
    new_points_layer,
    new_shapes_layer,
    next_is_positive,
    set_next_sign,
    signs,
    toggle_sign,
)
from napari_ditto.ui.prompt_reading import (
    CollectedPrompts,
    collect_prompts,
    mask_from_labels,
    points_from_layer,
    shapes_from_layer,
    which_on_plane,
)
from napari_ditto.ui.transforms import copy_transform, data_to_world, transform_kwargs

__all__ = [
    "CollectedPrompts",
    "axis_names",
    "collect_prompts",
    "copy_transform",
    "data_to_world",
    "describe_window",
    "label_image_on_plane",
    "label_store_for",
    "labels_on_plane",
    "layer_shape",
    "mask_from_labels",
    "new_labels_layer",
    "new_points_layer",
    "new_shapes_layer",
    "next_is_positive",
    "plane_from_viewer",
    "points_from_layer",
    "refresh_labels",
    "set_next_sign",
    "shapes_from_layer",
    "signs",
    "source_axes",
    "source_from_layer",
    "toggle_sign",
    "transform_kwargs",
    "which_on_plane",
]
