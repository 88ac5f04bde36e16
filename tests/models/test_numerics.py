"""Half precision is taken only where it is faster and masks agree, and that is found out once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ditto.errors import ModelError
from napari_ditto.models import numerics
from napari_ditto.models.numerics import (
    Outcome,
    agreement,
    choose_precision,
    half_precision,
    of_key,
)
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.registry import load_model


def disc(radius, count=3):
    rows, columns = np.ogrid[:100, :100]
    one = (rows - 50) ** 2 + (columns - 50) ** 2 < radius**2
    return np.repeat(one[None], count, axis=0)


class FakeTrial:
    """Answers as told, and counts how often it was asked."""

    def __init__(self, gain=3.0, radius=40.0):
        self.asked, self._gain, self._radius = [], gain, radius

    def __call__(self, precision):
        self.asked.append(precision)
        if precision == "float32":
            return Outcome(3.0, disc(40))
        return Outcome(3.0 / self._gain, disc(self._radius))


@pytest.fixture(autouse=True)
def _a_machine_with_bfloat16(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(numerics, "_cpu_multiplies_bfloat16", lambda: True)


def test_half_precision_is_taken_where_it_is_faster_and_as_good():
    assert choose_precision("auto", "cpu", "w", FakeTrial()) == "bfloat16"


@pytest.mark.parametrize(
    "trial", [FakeTrial(radius=38), FakeTrial(gain=1.05), FakeTrial(gain=0.2)],
    ids=["other masks", "hardly faster", "slower"],
)  # fmt: skip
def test_it_is_refused_where_it_disagrees_or_does_not_pay(trial):
    assert choose_precision("auto", "cpu", "w", trial) == "float32"


def test_without_the_instructions_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(numerics, "_cpu_multiplies_bfloat16", lambda: False)
    trial = FakeTrial()
    assert choose_precision("auto", "cpu", "w", trial) == "float32"
    assert trial.asked == []


@pytest.mark.parametrize("radius", [40, 30])
def test_it_is_found_out_once_per_weights(radius):
    trial = FakeTrial(radius=radius)
    first = choose_precision("auto", "cpu", "w", trial)
    assert trial.asked == ["float32", "bfloat16"]
    assert choose_precision("auto", "cpu", "w", trial) == first
    assert len(trial.asked) == 2
    choose_precision("auto", "cpu", "other weights", trial)
    assert len(trial.asked) == 4


@pytest.mark.parametrize("damage", ["", "{", "[1]", "null", '{"x": ["deep"]}'])
def test_a_damaged_memory_is_measured_again(damage, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "precisions.json").write_text(damage)
    assert choose_precision("auto", "cpu", "w", FakeTrial()) == "bfloat16"


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path):
    (tmp_path / "config").write_text("a file in the way")
    trial = FakeTrial()
    assert choose_precision("auto", "cpu", "w", trial) == "bfloat16"
    assert choose_precision("auto", "cpu", "w", trial) == "bfloat16"
    assert len(trial.asked) == 4


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_what_is_asked_for_is_not_tried(wanted):
    trial = FakeTrial()
    assert choose_precision(wanted, "cpu", "w", trial) == wanted
    assert trial.asked == []


def test_an_unknown_precision_is_named():
    with pytest.raises(ModelError, match=r"float8.*Use auto, float32"):
        choose_precision("float8", "cpu", "w", FakeTrial())
    with pytest.raises(ModelError, match="classic has no precision 'bfloat16'"):
        load_model("classic", precision="bfloat16")


def test_empty_masks_agree_with_empty_masks_alone():
    empty = np.zeros_like(disc(40))
    assert agreement(empty, empty) == 1
    assert agreement(disc(40), empty) == 0
    assert agreement(disc(40), disc(40)) == 1


def test_a_gpu_without_bfloat16_gets_float16(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    assert half_precision("cuda:0") == "float16"
    assert half_precision("mps") == "float16"


def test_keys_tell_precisions_apart():
    single = ModelSpec("sam:x", "sam", "1", "ab" * 32, "", "")
    half = ModelSpec("sam:x", "sam", "1", "ab" * 32, "", "", precision="bfloat16")
    assert single.key == "sam:x@1#abababababababab"
    assert half.key == single.key + "+bfloat16"
    assert (of_key(single.key), of_key(half.key)) == ("float32", "bfloat16")
