"""Cells found in every frame after labelled ones, and tracked."""

import numpy as np
import pytest

import napari_ditto as nd
from napari_ditto.core import synthetic
from napari_ditto.core.geometry import Box
from napari_ditto.data.plane_example import PlaneExample
from napari_ditto.engine.tracking import track, track_steps, whole_image
from napari_ditto.errors import LabelsError, SourceError


@pytest.fixture(scope="module")
def model():
    return nd.load_model("classic")


def discs(frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs that move by 2 pixels; image and labels."""
    y, x = np.ogrid[:96, :96]
    labels = np.zeros((frames, 96, 96), dtype=np.int32)
    for t in range(frames):
        for label, (cy, cx) in enumerate([(24, 24), (24, 66), (66, 28), (68, 70)], 1):
            labels[t][np.hypot(y - cy - 2 * t, x - cx) <= 9] = 10 * label
    return np.stack([synthetic.render(f, noise=3.0, seed=t) for t, f in enumerate(labels)]), labels


def test_cells_are_found_and_tracked_from_frame_0(model):
    image, truth = discs()
    found = nd.track(nd.open_source(image, axes="tyx"), {0: truth[0]}, model)
    assert (found.labels[0] == truth[0]).all()
    assert found.lineage.tracks == (10, 20, 30, 40)
    assert found.lineage.parents == {}
    for t in range(1, 4):
        same = (found.labels[t] == truth[t])[truth[t] > 0]
        assert same.mean() > 0.8


def test_labelled_frames_of_the_movie_stay_as_they_are(model):
    image, truth = discs()
    odd = np.zeros_like(truth[2])
    odd[5:15, 5:15] = 1000
    found = track(nd.open_source(image, axes="tyx"), {0: truth[0], 2: odd}, model)
    assert (found.labels[2] > 0).tolist() == (odd > 0).tolist()
    assert 1000 in found.lineage.tracks


def test_a_partial_example_is_filled_up(model):
    image, truth = discs(2)
    source = nd.open_source(image, axes="tyx")
    some = np.where(truth[0] <= 20, truth[0], 0)
    example = PlaneExample(source, source.plane({"t": 0}), some, partial=True)
    found = track(source, [example], model)
    assert (found.labels[0][some > 0] == some[some > 0]).all()
    assert len(np.unique(found.labels[0])) == 5


def test_a_box_of_a_frame_is_an_example_too(model):
    image, truth = discs(2)
    source = nd.open_source(image, axes="tyx")
    box = Box(0, 0, 48, 96)
    example = PlaneExample(source, source.plane({"t": 0}), truth[0][box.slices], box=box)
    found = track(source, [example], model)
    assert (found.labels[0][box.slices][truth[0][box.slices] > 0]).min() >= 10
    assert len(np.unique(found.labels[0])) == 5


def test_examples_may_come_from_another_image(model):
    image, truth = discs(3)
    source = nd.open_source(image, axes="tyx")
    found = track(source, [(image[0], truth[0])], model)
    assert len(found.lineage.tracks) == 4


def test_every_frame_is_shown_as_it_is_found_and_a_cancelled_job_keeps_it(model, tmp_path):
    import zarr

    image, truth = discs()
    source = nd.open_source(image, axes="tyx")
    out = tmp_path / "tracks.zarr"
    steps = track_steps(source, {0: truth[0]}, model, out=out)
    shown = []
    for step in steps:
        if step.partial is not None:
            shown.append(step.partial)
        if len(shown) == 3:
            break
    steps.close()
    assert [p.address.index["t"] for p in shown] == [0, 1, 2]
    kept = zarr.open_group(out)["0"][:]
    assert (kept[1] == shown[1].labels).all()
    assert kept[1].any()


def test_only_the_frames_asked_for(model):
    image, truth = discs()
    found = track(nd.open_source(image, axes="tyx"), {0: truth[0]}, model, within=(1, 3))
    assert not found.labels[[0, 3]].any()
    assert sorted(set(found.lineage.points[:, 1])) == [1, 2]
    assert len(found.lineage.tracks) == 4


def test_volumes_are_joined_before_they_are_linked(model):
    image, truth = discs(3)
    volume = np.stack([image] * 3, axis=1)
    labels = np.stack([truth[0]] * 3)
    found = track(nd.open_source(volume, axes="tzyx"), {0: labels}, model)
    assert found.labels.shape == volume.shape
    assert (found.labels[0] == labels).all()
    assert found.lineage.tracks == (10, 20, 30, 40)
    assert found.lineage.points.shape == (12, 5)


def test_a_movie_of_one_frame(model):
    image, truth = discs(1)
    found = track(nd.open_source(image, axes="tyx"), {0: truth[0]}, model)
    assert found.lineage.points.shape == (4, 4)


@pytest.mark.parametrize(
    ("axes", "examples", "options", "error", "said"),
    [
        ("zyx", {0: np.ones((96, 96), int)}, {}, SourceError, "has the axis t"),
        ("tyx", {9: np.ones((96, 96), int)}, {}, LabelsError, "frame 9 is none of 2"),
        ("tyx", {0: np.ones((4, 4), int)}, {}, LabelsError, r"shape \(4, 4\) for a frame"),
        ("tyx", {0: np.ones((96, 96), int)}, {"within": (0, 5)}, LabelsError, "no frames 0 to 5"),
    ],
)
def test_what_does_not_fit_is_one_line(model, axes, examples, options, error, said):
    source = nd.open_source(discs(2)[0], axes=axes)
    with pytest.raises(error, match=said):
        track(source, examples, model, **options)


def test_a_linker_that_looks_at_pixels_gets_the_movie():
    image, _ = discs(2)
    assert whole_image(nd.open_source(image, axes="tyx")).shape == image.shape
