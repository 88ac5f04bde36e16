"""Images, caches and label stores: numpy, dask and zarr, no models."""
