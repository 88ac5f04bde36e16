"""Names of models, devices, estimates, and what is imported when."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

import napari_ditto
from napari_ditto.errors import DeviceError, ModelNotFoundError
from napari_ditto.models import device
from napari_ditto.models.device import available_memory, choose_device, usable_devices
from napari_ditto.models.estimate import estimate, measure
from napari_ditto.models.protocols import ModelSpec, PromptModel
from napari_ditto.models.registry import FAMILIES, load_model


def run(code, *paths):
    """Run code in a fresh interpreter, warnings as errors; return what it prints."""
    lines = [f"import sys; sys.path[:0] = {[str(p) for p in paths]!r}", textwrap.dedent(code)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_classic_needs_nothing():
    model = napari_ditto.load_model("classic")
    assert isinstance(model, PromptModel)
    assert model.spec.id == "classic"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Classic", "classic"),
        ("clasic", "classic"),
        ("sam:facebook-sam-vit-base", "sam:facebook/sam-vit-base"),
        ("SAM:facebook/sam-vit-base", "sam:facebook/sam-vit-base"),
        ("sam:vit_bb", "sam:vit_b"),
        ("", "Families are"),
        ("sam", "Did you mean sam:"),
        ("sam:", "Did you mean sam:"),
        ("classic:x", "classic"),
        ("sam:/no/such/file.pth", "no model is called"),
        ("/no/such/folder", "no model is called"),
    ],
)
def test_an_unknown_name_says_what_was_perhaps_meant(name, advice, models_folder):
    with pytest.raises(ModelNotFoundError, match=advice) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sam:vit_b_lm", "sam2:facebook/sam2.1-hiera-tiny"])
def test_known_weights_that_are_not_here_say_how_to_get_them(name, models_folder):
    with pytest.raises(ModelNotFoundError, match=f"napari-ditto models get {name}"):
        load_model(name)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no known kind of model"):
        load_model(str(tmp_path))


def test_the_registry_imports_nothing_heavy():
    code = """
        from napari_ditto.models.registry import available_models, load_model
        from napari_ditto.models import manifest, weights, download, estimate, device
        available_models(); load_model("classic")
        heavy = {"torch", "transformers", "safetensors", "huggingface_hub", "napari", "qtpy"}
        print(sorted(heavy & set(sys.modules)))
    """
    assert run(code) == "[]"


def test_families_are_one_line_each():
    fetched = [f.name for f in FAMILIES if f.takes == "weights"]
    assert fetched == ["sam", "sam_hq", "sam2", "seggpt", "sam3"]
    assert all(":" in f.factory for f in FAMILIES)


@pytest.mark.parametrize(
    ("family", "broken"),
    [
        ("sam", "raise ImportError('libtorch_cuda.so: cannot open shared object file')"),
        ("sam2", "raise RuntimeError('operator torchvision::nms does not exist')"),
        ("sam2", "import torch; torch.ops.torchvision.nms"),
    ],
)
def test_a_torchvision_that_does_not_fit_is_no_obstacle(checkpoints, tmp_path, family, broken):
    package = tmp_path / "torchvision"
    (package / "transforms").mkdir(parents=True)
    (package / "__init__.py").write_text(broken)
    (package / "transforms" / "__init__.py").write_text("")
    metadata = tmp_path / "torchvision-0.99.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99\n")
    code = f"""
        import numpy as np
        from napari_ditto.models.registry import load_model
        from napari_ditto.models.transformers_guard import torchvision_problem
        model = load_model({f"{family}:{getattr(checkpoints, family)}"!r}, device="cpu")
        print(len(model.encode(np.zeros((1, 32, 32, 3), np.float32))), torchvision_problem())
    """
    assert run(code, tmp_path).startswith("1 torchvision does not fit this PyTorch: ")


# --- devices ----------------------------------------------------------------------------------


def test_auto_takes_the_first_device_that_works(monkeypatch):
    for working in ("cuda:0", "mps", "cpu"):
        monkeypatch.setattr(device, "_problem", lambda d, w=working: None if d == w else "no")
        assert choose_device("auto") == working


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_device_that_does_not_exist(name):
    with pytest.raises(DeviceError, match="there is no device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps"])
def test_a_device_that_is_not_here_is_one_line(name, monkeypatch):
    monkeypatch.setattr(device, "_problem", lambda _d: "driver too old")
    with pytest.raises(DeviceError, match=r"cannot be used: driver too old\. Use auto"):
        choose_device(name)


def test_a_driver_that_warns_or_fails_is_a_device_that_is_not_there(monkeypatch):
    import warnings

    import torch

    def old_driver():
        warnings.warn("The NVIDIA driver on your system is too old", UserWarning, stacklevel=1)
        return True

    def fail(*_args, **_kwargs):
        raise RuntimeError("CUDA error: no kernel image is available\nmore lines")

    monkeypatch.setattr(torch.cuda, "is_available", old_driver)
    monkeypatch.setattr(torch, "zeros", fail)
    assert device._problem("cuda:0") == "CUDA error: no kernel image is available"


def test_this_machine():
    assert choose_device("cpu") == "cpu"
    assert usable_devices()[-1] == "cpu"
    free = available_memory()
    assert free is None or free > 1 << 20


def test_threads_are_put_back():
    import torch

    before = torch.get_num_threads()
    with device.threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


# --- estimates --------------------------------------------------------------------------------

SPEC = ModelSpec(
    id="sam:x",
    family="sam",
    version="1",
    weights_sha256="0" * 64,
    licence="",
    citation="",
    encode_seconds=10,
    decode_seconds=0.1,
    embedding_bytes=1_000,
    memory_bytes=3_000_000_000,
)


def test_an_estimate_counts_tiles_and_prompts():
    cost = estimate(SPEC, 6, 20)
    assert cost.seconds == pytest.approx(62)
    assert cost.memory_bytes == 3_000_001_000
    assert cost.tiles == 6
    assert cost.notes == ("a rough figure; it is refined after the first tile",)


def test_too_little_memory_is_said_before_the_run():
    assert not any("needs about" in n for n in estimate(SPEC, 1, available=4 << 30).notes)
    assert "needs about 3.0 GB of memory, 1.0 GB are free" in str(
        estimate(SPEC, 1, available=10**9).notes
    )


def test_measuring_replaces_the_guess(checkpoints):
    model = load_model(f"sam2:{checkpoints.sam2}", device="cpu")
    spec = measure(model)
    assert 0 < spec.encode_seconds < 60
    assert spec.embedding_bytes == 4 * (4 * 32 * 32 + 8 * 16 * 16 + 32 * 8 * 8)
    assert estimate(spec, 1, measured=True).notes == ()
