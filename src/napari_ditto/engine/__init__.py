"""What the product does, without Qt, napari, torch or zarr by name."""
