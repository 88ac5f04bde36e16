"""PNG, JPEG and other small picture files, read whole."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np

from napari_ditto.core.plain_file import open_plain
from napari_ditto.data.opening import Opened
from napari_ditto.errors import SourceError

_FORMATS = ("PNG", "JPEG", "JPEG2000", "GIF", "BMP", "WEBP", "PPM")
"""Pillow would also start other programs, such as Ghostscript for PostScript."""

_PLAIN_MODES = ("1", "L", "I", "F", "RGB", "RGBA")


def open_picture(path: Path) -> Opened:
    """Read a picture file; Pillow's own size limit (89 Mpx) stands."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with open_plain(path) as file, Image.open(file, formats=_FORMATS) as image:
                if image.mode not in _PLAIN_MODES and not image.mode.startswith("I;16"):
                    pixels = np.asarray(image.convert(_plain_mode(image.mode)))
                else:
                    pixels = np.asarray(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SourceError(
            "the picture is too large to be read whole",
            where=str(path),
            todo="Save it as a tiled TIFF or as OME-Zarr.",
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError) as error:
        raise SourceError(
            "cannot read this file as an image",
            where=str(path),
            todo="Give an OME-Zarr or zarr folder, a TIFF, PNG or JPEG.",
        ) from error
    return Opened((pixels,), axes=("y", "x", "s") if pixels.ndim == 3 else ("y", "x"))


def _plain_mode(mode: str) -> str:
    return {"LA": "L", "La": "L", "PA": "RGBA", "P": "RGB"}.get(mode, "RGB")
