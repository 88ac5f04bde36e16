"""Where an image came from, so that another process can open the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_ditto.data.arrays import is_from
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    import zarr

    from napari_ditto.data.protocols import Source
    from napari_ditto.data.pyramid import Pyramid
    from napari_ditto.data.sampling import WindowLike

MOST_PARTS = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """How an image is opened again.

    Attributes
    ----------
    paths : tuple of str
        Absolute: a file or folder, or the zarr arrays that are the levels, finest first.
    name : str
        For messages.
    axes : tuple of str
        Of the array, channel axis included.
    channel_axis : int or None
        Its position.
    channels : tuple of int
        Which are read, empty without a channel axis.
    scale : tuple of float
        Physical pixel size along the axes but the channels'.
    parts : tuple of Origin
        Of an image composed of others; it has nothing else but a name.
    """

    paths: tuple[str, ...] = ()
    name: str = ""
    axes: tuple[str, ...] = ()
    channel_axis: int | None = None
    channels: tuple[int, ...] = ()
    scale: tuple[float, ...] = ()
    parts: tuple[Origin, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the origin as JSON types."""
        told: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Origin:
        """Return the origin that was told; raises :class:`SourceError` if it is none."""
        try:
            return _origin(told)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise SourceError(
                f"it is not said how to open the image: {error}", todo="Make a new plan"
            ) from error


def origin_of(data: object, name: str, pyramid: Pyramid, scale: Sequence[float]) -> Origin | None:
    """Return where opened `data` can be opened again; None if only this process has it."""
    paths = _paths(data)
    if not paths or None in paths:
        return None
    axes = pyramid.axes
    return Origin(
        tuple(map(str, paths)), name, axes.names, axes.channel, pyramid.picks, tuple(scale)
    )


def reopen(origin: Origin | Mapping[str, Any], window: WindowLike | None = None) -> Source:
    """Open an image again.

    Parameters
    ----------
    origin : Origin or mapping
        Or what :meth:`Origin.to_json` returned.
    window : WindowLike, optional
        As in :func:`~napari_ditto.data.source.open_source`.

    Raises
    ------
    SourceError
        If it is not there any more, or is no image.
    """
    from napari_ditto.data.source import compose_sources, open_source

    at = origin if isinstance(origin, Origin) else Origin.from_json(origin)
    if at.parts:
        composed = compose_sources([reopen(part) for part in at.parts], name=at.name)
        return composed if window is None else composed.with_window(window)
    data: object = at.paths[0]
    if len(at.paths) > 1:
        from napari_ditto.data.zarrs import open_zarr

        data = [open_zarr(Path(path)) for path in at.paths]
    channels = at.channels or None
    return open_source(data, at.axes, at.channel_axis, window, at.name, channels, at.scale)


def _paths(data: object) -> list[Path | None]:
    if isinstance(data, str | Path):
        return [Path(data).expanduser().resolve()]
    # A list of paths would be several images, so only zarr arrays count from here on.
    return [_zarr_path(level) for level in (data if isinstance(data, Sequence) else [data])]


def _zarr_path(data: object) -> Path | None:
    if not is_from("zarr", data):
        return None
    from zarr.storage import LocalStore

    place = cast("zarr.Array[Any]", data).store_path
    if not isinstance(place.store, LocalStore):
        return None
    return Path(place.store.root, place.path).resolve()


def _origin(told: Mapping[str, Any]) -> Origin:
    parts = tuple(_origin(part) for part in told["parts"])
    paths = tuple(map(str, told["paths"]))
    if bool(paths) == bool(parts) or len(parts) > MOST_PARTS:
        raise ValueError("an image has paths or up to three parts")
    if not all(Path(path).is_absolute() for path in paths):
        raise ValueError("a path is not absolute")
    axis = told["channel_axis"]
    return Origin(
        paths,
        str(told["name"]),
        tuple(map(str, told["axes"])),
        None if axis is None else int(axis),
        tuple(map(int, told["channels"])),
        tuple(map(float, told["scale"])),
        parts,
    )
