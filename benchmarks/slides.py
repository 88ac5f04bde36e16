"""Drawn images on disk, for benchmarks of whole images."""

from __future__ import annotations

from pathlib import Path

from napari_ditto.core.synthetic import blobs, render


def slide(folder: Path, side: int, objects: int, radius: int, chunk: int) -> Path:
    """Write a square zarr array of discs into a folder and return where it lies."""
    import zarr

    path = folder / "image.zarr"
    pixels = render(blobs((side, side), objects, radius=radius, seed=1), seed=1)
    array = zarr.create_array(path, shape=pixels.shape, dtype=pixels.dtype, chunks=(chunk, chunk))
    array[:] = pixels
    return path
