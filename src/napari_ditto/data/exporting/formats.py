"""The formats that labels are written in: by what suffix they go, and which module knows them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from napari_ditto.core.progress import Progress
from napari_ditto.errors import StoreError

if TYPE_CHECKING:
    from napari_ditto.data.exporting.label_image import LabelImage
    from napari_ditto.data.ngff_labels import Ngff

HOME = "napari_ditto.data.exporting"


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a file.

    Attributes
    ----------
    simplify : float
        Pixels by which polygons may leave the exact outline; 0 is exact.
    crs : str
        Of polygons: ``""`` as the image's, ``"pixel"``, or what pyproj takes ("EPSG:4326").
    coco : "rle" or "polygons"
        How COCO keeps masks; objects with holes are kept as RLE anyway.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.
    """

    simplify: float = 0.0
    crs: str = ""
    coco: Literal["rle", "polygons"] = "rle"
    ngff: Ngff = "0.5"


class Writer(Protocol):
    """Writes one file or folder that does not exist yet."""

    def __call__(
        self, labels: LabelImage, path: Path, options: Options
    ) -> Generator[Progress, None, None]:
        """Yield progress; every step is a place to stop."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    name : str
        What the command line calls it.
    title : str
        What dialogs call it.
    suffixes : tuple of str
        The first one is suggested.
    module : str
        In this package.
    function : str
        What writes it there.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    module: str
    function: str = "write"

    @property
    def writer(self) -> Writer:
        """Its function."""
        writer: Writer = getattr(import_module(f"{HOME}.{self.module}"), self.function)
        return writer

    @property
    def pattern(self) -> str:
        """What a file dialog filters by: ``"GeoJSON polygons (*.geojson)"``."""
        return f"{self.title} ({' '.join('*' + suffix for suffix in self.suffixes)})"


FORMATS = (
    Format("ome-zarr", "OME-Zarr labels", (".ome.zarr", ".zarr"), "ome_zarr"),
    Format("tiff", "TIFF labels", (".tif", ".tiff"), "tiff"),
    Format("png", "PNG labels", (".png",), "png"),
    Format("geojson", "GeoJSON polygons", (".geojson",), "geojson"),
    Format("geopackage", "GeoPackage polygons", (".gpkg",), "geopackage"),
    Format("coco", "COCO", (".json",), "coco"),
    Format("imagej", "ImageJ ROIs", (".zip",), "imagej"),
    Format("csv", "CSV of measurements", (".csv",), "tables", "write_csv"),
    Format("parquet", "Parquet of measurements", (".parquet",), "tables", "write_parquet"),
)
NAMES = tuple(f.name for f in FORMATS)


def format_of(path: Path | str, name: str | None = None) -> Format:
    """Return a format by its name, or by the suffix of a path.

    Raises
    ------
    StoreError
        If there is none.
    """
    lower = Path(path).name.lower()
    found = (f for f in FORMATS if (f.name == name if name else lower.endswith(f.suffixes)))
    if (chosen := next(found, None)) is not None:
        return chosen
    if name:
        raise StoreError(f"there is no format {name}", todo=f"Formats: {', '.join(NAMES)}")
    suffixes = ", ".join(suffix for f in FORMATS for suffix in f.suffixes)
    raise StoreError(
        "the name does not tell the format", where=str(path), todo=f"Let it end with {suffixes}"
    )
