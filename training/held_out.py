"""Gather the images that training kept apart, for ``napari-ditto evaluate``.

``python -m training.held_out --data ../shared/data/train --set bright --out FOLDER`` links them
to ``FOLDER/images`` and ``FOLDER/masks``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.bank import planes_of


def gather(name: str, data: Path, out: Path, seed: int = 0) -> int:
    """Link the held-out images of a set and their masks; return how many.

    Raises
    ------
    ValueError
        If the set's planes are slices of a volume, which have no files of their own.
    """
    _, planes = planes_of(name, data, seed)
    if any(plane.cut is not None for plane in planes):
        raise ValueError(f"the planes of {name} are slices of one volume")
    for plane in planes:
        for kind, path in (("images", plane.image), ("masks", plane.masks)):
            link = out / kind / f"{plane.image.stem}{path.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())
    return len(planes)


def main() -> None:
    """Read the command line and gather."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", required=True, dest="name")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    print(gather(chosen.name, chosen.data, chosen.out), "images")


if __name__ == "__main__":
    main()
