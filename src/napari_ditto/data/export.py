"""Labels into a file of another program: whole or not at all, over nothing unless allowed."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from napari_ditto.core.jobs import drain
from napari_ditto.core.progress import Progress
from napari_ditto.data.exporting.formats import Options, format_of
from napari_ditto.data.exporting.label_image import LabelImage, label_image
from napari_ditto.data.whole_or_nothing import whole_or_nothing
from napari_ditto.errors import LabelsError

if TYPE_CHECKING:
    from napari_ditto.data.ngff_labels import Ngff
    from napari_ditto.data.object_records import ObjectTable
    from napari_ditto.data.source import ArraySource

Steps = Generator[Progress, None, Path]


def export(
    labels: object,
    path: Path | str,
    *,
    format: str | None = None,
    image: object = None,
    axes: str | Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    objects: ObjectTable | None = None,
    plane: Mapping[str, int] | None = None,
    simplify: float = 0.0,
    crs: str = "",
    coco: Literal["rle", "polygons"] = "rle",
    ngff: Ngff = "0.5",
    overwrite: bool = False,
) -> Path:
    """Write labels for another program.

    Parameters
    ----------
    labels : array, path or LabelImage
        Numpy, dask or zarr, an OME-Zarr, TIFF or PNG; read block by block.
    path : Path or str
        What to write; its suffix tells the format: ``.ome.zarr``, ``.zarr``, ``.tif``, ``.png``,
        ``.geojson``, ``.gpkg``, ``.json`` (COCO), ``.zip`` (ImageJ), ``.csv``, ``.parquet``.
    format : str, optional
        One of :data:`~napari_ditto.data.exporting.formats.NAMES`, whatever the suffix is.
    image : array or path, optional
        What the labels are of: its georeference and pixel size are taken over, and measurements
        are made in it.
    axes, scale, units : optional
        Of the labels, as :func:`~napari_ditto.data.exporting.label_image.label_image` takes them.
    objects : ObjectTable, optional
        Classes and scores; by default those kept with labels in OME-Zarr.
    plane : mapping of str to int, optional
        Write but one plane, ``{"z": 3}``.
    simplify : float
        Pixels by which polygons may leave the exact outline; 0 is exact.
    crs : str
        Of polygons: by default the image's, ``"pixel"``, or what pyproj takes ("EPSG:4326").
    coco : "rle" or "polygons"
        How COCO keeps masks.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.
    overwrite : bool
        Replace a file, or a zarr folder, that is there.

    Returns
    -------
    Path
        What was written.

    Raises
    ------
    StoreError
        If there is something already, the format cannot hold these labels, a library is missing,
        or the disk refuses. Then nothing is left behind.
    LabelsError
        If these are no labels.
    SourceError
        If something cannot be read.
    """
    given = prepared(labels, image, axes=axes, scale=scale, units=units, table=objects)
    options = Options(simplify, crs, coco, ngff)
    chosen = given.at(plane) if plane else given
    steps = export_steps(chosen, path, format=format, options=options, overwrite=overwrite)
    try:
        return drain(steps)
    finally:
        if given.close is not None and given is not labels:
            given.close()


def write_ome_zarr_labels(
    path: str | Path,
    labels: object,
    axes: Sequence[str],
    scale: Sequence[float] | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    ngff: Ngff = "0.5",
) -> Path:
    """Write a label image as an OME-Zarr image-label group.

    The group is written beside `path` under another name and renamed when whole; a failure leaves
    nothing behind. In the coarser levels each pixel shows the largest id below it, so that thin
    and small objects stay visible.

    Parameters
    ----------
    path : str or Path
        The new folder. In the folder ``labels`` of an OME-Zarr image, the image's list of labels
        names it afterwards.
    labels : array of int or bool
        Numpy, dask or zarr; read block by block.
    axes : sequence of str
        One name per axis, ``"tzyx"``.
    scale : sequence of float, optional
        Physical pixel size along `axes`.
    provenance : mapping, optional
        Anything JSON can hold (model, weights, prompts); kept under ``ditto``.
    overwrite : bool
        Replace a zarr folder of this name; any other folder is never replaced.
    ngff : "0.4" or "0.5"
        Version of OME-Zarr.

    Returns
    -------
    Path
        The folder; its arrays ``0``, ``1``, ... are the levels.

    Raises
    ------
    LabelsError
        If these are no labels with such axes.
    StoreError
        If the folder exists, or the disk refuses.
    """
    given = label_image(labels, axes=axes, scale=scale, provenance=provenance or {})
    return export(given, path, format="ome-zarr", ngff=ngff, overwrite=overwrite)


def export_steps(
    labels: LabelImage,
    path: Path | str,
    *,
    format: str | None = None,
    options: Options | None = None,
    overwrite: bool = False,
) -> Steps:
    """Write labels step by step; see :func:`export`. Stopped early, it leaves nothing behind."""
    target = Path(path).expanduser().absolute()
    chosen = format_of(target, format)
    is_folder = chosen.name == "ome-zarr"
    new = whole_or_nothing(
        target, what=f"the {chosen.title}", folder=is_folder, overwrite=overwrite
    )
    with new as partial:
        yield from chosen.writer(labels, partial, options or Options())
    if is_folder:
        from napari_ditto.data.ngff_labels import register_labels

        register_labels(target)
    return target


def prepared(
    labels: object,
    image: object = None,
    *,
    table: ObjectTable | None = None,
    **about: Any,  # noqa: ANN401 - as `label_image` takes it
) -> LabelImage:
    """Return labels with what their image tells: where it lies, its name, its pixels."""
    from napari_ditto.data.georeference import read_georeference
    from napari_ditto.data.grid import read_grid

    if isinstance(labels, LabelImage):
        return labels
    if table is None:
        table = _table_beside(labels)
    if table is not None:
        about["table"] = table
    file = Path(image).expanduser() if isinstance(image, str | Path) else None
    own = Path(labels).expanduser() if isinstance(labels, str | Path) else None
    if file is not None:
        about["image"] = file.name
    found = label_image(labels, pixels=image, **{k: v for k, v in about.items() if v is not None})
    place = next((g for p in (own, file) if p and (g := read_georeference(p))), None)
    if file is not None:
        _check_fits(found, file)
        found = found.on_grid(read_grid(file)) if about.get("scale") is None else found
    return found.lying(place)


def _check_fits(labels: LabelImage, image: Path) -> None:
    """Raise :class:`LabelsError` for an image of another size: things would lie elsewhere."""
    from napari_ditto.data.source import open_source

    with cast("ArraySource", open_source(image)) as source:
        size = tuple(source.shape[-2:])
    if size != labels.plane_shape:
        raise LabelsError(
            f"labels of {labels.plane_shape} for an image of {size}",
            where=image.name,
            todo="Give the image that they were made for",
        )


def _table_beside(labels: object) -> ObjectTable | None:
    from napari_ditto.data.object_json import read_objects

    path = Path(labels).expanduser() if isinstance(labels, str | Path) else None
    return read_objects(path) if path is not None and path.is_dir() else None
