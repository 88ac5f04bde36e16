"""The bank is whole, reproducible, and keeps held-out images out of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage import io

from training import bank, held_out, sources
from training.sources import Plane


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder like the real one: per image one grey level, and two objects."""
    for name in ("dsb2018", "bbbc039", "usiigaci_phase"):
        for part in ("images", "masks"):
            (tmp_path / "data" / name / part).mkdir(parents=True)
        for k in range(4):
            labels = np.zeros((60, 70), np.uint16)
            labels[5:25, 5:25], labels[30:50, 35:60] = 3, 9
            colour = np.array([40 + 20 * k, 90, 140]) if name == "dsb2018" and k < 2 else 50
            image = np.broadcast_to(np.where(labels[..., None] > 0, colour, 5), (60, 70, 3))
            image = image if np.ndim(colour) else image[..., 0]
            folder = tmp_path / "data" / name
            io.imsave(folder / f"images/i{k}.png", image.astype(np.uint8), check_contrast=False)
            io.imsave(folder / f"masks/i{k}.png", labels, check_contrast=False)
    return tmp_path / "data"


def planes(groups: list[str]) -> list[Plane]:
    here = Path()
    return [Plane(f"{g}{k}", g, 1, here, here) for k, g in enumerate(groups)]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_worlds_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 2)):
        counts = bank.build("worlds", tmp_path, tmp_path / name, 4, seed=5, workers=workers)
        assert counts == {"worlds": 4, "worlds_val": 1}
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not list((tmp_path / "a").glob("*.part"))


def test_arrays_can_be_mapped_and_have_their_shapes(data: Path, tmp_path: Path) -> None:
    counts = bank.build("bright", data, tmp_path / "out", workers=1)
    assert counts == {"bright": 26, "bright_val": 26}
    images = np.load(tmp_path / "out/bright_images.npy", mmap_mode="r")
    layers = np.load(tmp_path / "out/bright_layers.npy", mmap_mode="r")
    assert images.shape == (26, 160, 160, 3)
    assert layers.shape == (26, 3, 160, 160)
    assert images.dtype == layers.dtype == np.uint8
    inside = layers[:, 0] > 0
    assert images[inside].mean() > 200
    assert images[~inside].mean() < 60


def test_colour_and_bright_images_are_told_from_dark_ones(data: Path) -> None:
    bright = {p.name for p in sources.bright_field(data)}
    dark = {p.name for p in sources.fluorescence(data)}
    assert bright == {"dsb2018/i0", "dsb2018/i1"}
    assert not bright & dark
    assert len(dark) == 6


def test_a_group_is_held_out_whole() -> None:
    drawn = planes([f"g{k // 3}" for k in range(60)])
    train, held = bank.split(drawn, np.random.default_rng(0))
    assert {p.group for p in train}.isdisjoint(p.group for p in held)
    assert len(held) == 6
    assert len(train) + len(held) == 60


def test_at_least_one_image_is_held_out_and_one_is_left() -> None:
    train, held = bank.split(planes(["a", "b"]), np.random.default_rng(0))
    assert len(train) == len(held) == 1


def test_a_failure_leaves_no_half_written_array(tmp_path: Path) -> None:
    def broken() -> Iterator[bank.Pair]:
        yield np.zeros((160, 160, 3), np.uint8), np.zeros((3, 160, 160), np.uint8)
        raise OSError("disc full")

    with pytest.raises(OSError, match="disc full"):
        bank.write(tmp_path, "phase", broken(), 5)
    assert not list(tmp_path.iterdir())


def test_small_pieces_of_a_slice_become_background() -> None:
    labels = np.zeros((40, 40), np.uint16)
    labels[:10, :10] = labels[20:30, 20:30] = 4
    labels[35:37, :3] = 6
    found = sources.pieces(labels)
    assert set(np.unique(found)) == {0, 1, 2}
    assert found[35, 0] == 0


def test_the_command_line_builds_the_sets_it_names(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank.main(
        ["--data", str(data), "--out", str(tmp_path / "o"), "--set", "bright", "--workers", "1"]
    )
    assert "bright: {'bright': 26, 'bright_val': 26}" in capsys.readouterr().out
    assert len(contents(tmp_path / "o")) == 4


def test_no_training_slice_of_the_volume_shows_a_held_out_plane(tmp_path: Path) -> None:
    folder = tmp_path / "fib25_neuroproof"
    heights = np.broadcast_to(np.arange(170, dtype=np.uint8)[:, None, None], (170, 9, 8))
    for part, name in (("images", "training_sample2_zyx"), ("masks", "neurons_zyx")):
        (folder / part).mkdir(parents=True)
        tifffile.imwrite(folder / part / f"{name}.tif", heights, photometric="minisblack")
    planes = list(sources.neurons(tmp_path))
    train, held = bank.split(planes, np.random.default_rng(0))
    assert {p.cut[0] for p in train if p.cut} == {0, 1, 2}
    highest = max(int(p.read()[0].max()) for p in train)
    lowest = min(int(p.read()[0].min()) for p in held)
    assert highest < lowest
    assert len({p.name for p in planes}) == len(planes)


def test_held_out_images_are_linked_with_their_masks(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "held"
    used, held = bank.planes_of("phase", data, 0)
    assert held_out.gather("phase", data, out) == len(held) > 0
    assert {p.name for p in (out / "images").iterdir()} == {p.image.name for p in held}
    assert {p.name for p in (out / "masks").iterdir()} == {p.image.name for p in held}
    assert not {p.image.name for p in used} & {p.image.name for p in held}
