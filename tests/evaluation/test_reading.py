from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_ditto.errors import SourceError
from napari_ditto.evaluation.reading import find_pictures
from napari_ditto.evaluation.sets import EvalSet, folder_set, prompt_sets, semantic_sets
from tests.evaluation.folders import labels, write

EVAL = Path(__file__).parents[2] / "../shared/data/eval"


def stacked(folder: Path, image: np.ndarray, mask: np.ndarray) -> EvalSet:
    for kind, pixels in (("images", image), ("masks", mask)):
        (folder / kind).mkdir()
        tifffile.imwrite(folder / kind / "a.tif", pixels, photometric="minisblack")
    return folder_set(folder)


def test_masks_are_found_by_their_images_names(tmp_path: Path) -> None:
    write(tmp_path, count=3)
    found = find_pictures(folder_set(tmp_path))
    assert [p.name for p in found] == ["field0", "field1", "field2"]
    assert (found[1].read_mask() == labels(1)).all()
    assert found[1].read_image().shape == labels().shape


def test_stacks_are_read_plane_by_plane(tmp_path: Path) -> None:
    masks = np.stack([labels(k) for k in range(3)]).astype(np.uint16)
    found = find_pictures(stacked(tmp_path, masks * 50, masks))
    assert [p.name for p in found] == ["a/0", "a/1", "a/2"]
    assert (found[2].read_mask() == masks[2]).all()
    assert (found[2].read_image() == masks[2] * 50).all()


@pytest.mark.parametrize("first", [True, False])
def test_channels_may_be_first_or_last(tmp_path: Path, first: bool) -> None:
    ids = labels()
    image = np.stack([ids * k for k in (1, 2, 3, 4, 5)], axis=0 if first else -1)
    (found,) = find_pictures(stacked(tmp_path, image, ids))
    assert (found.read_image()[..., 2] == ids * 3).all()
    assert found.read_image().shape == (*ids.shape, 3)


def test_what_is_wrong_is_said_with_the_file(tmp_path: Path) -> None:
    def refused(change: str) -> str:
        with pytest.raises(SourceError) as error:
            [p.read_mask() for p in find_pictures(folder_set(tmp_path))]
        assert "\n" not in str(error.value)
        assert change in str(error.value)
        return str(error.value)

    refused("no folder of images")
    write(tmp_path, count=2)
    mask = tmp_path / "masks/field1.png"
    kept = mask.read_bytes()
    mask.unlink()
    assert "field1.png" in refused("no mask")
    mask.write_bytes(kept[:40])
    assert "field1.png" in refused("cannot read")
    mask.unlink()
    tifffile.imwrite(mask.with_suffix(".tif"), labels()[:50])
    assert "field1.png" in refused("does not fit")
    tifffile.imwrite(mask.with_suffix(".tif"), labels() + np.float32(0.5))
    assert "field1.tif" in refused("whole numbers")
    tifffile.imwrite(mask.with_suffix(".tif"), np.zeros((4, 5, 7, 96, 104), np.uint8))
    assert "field1.tif" in refused("two axes")


@pytest.mark.data
@pytest.mark.skipif(not EVAL.is_dir(), reason="the evaluation images are not here")
@pytest.mark.parametrize("given", [*semantic_sets(EVAL).values(), *prompt_sets(EVAL).values()])
def test_the_named_sets_can_be_read(given: EvalSet) -> None:
    if given.tone != "any":
        pytest.skip("reads a hundred images")
    first = find_pictures(given)[0]
    mask = first.read_mask()
    assert first.read_image().shape[:2] == mask.shape
    assert mask.any()
