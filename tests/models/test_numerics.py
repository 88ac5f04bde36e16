"""Fewer bits are taken only where they are faster and masks agree, and that is found out once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ditto.errors import ModelError
from napari_ditto.models import numerics
from napari_ditto.models.numerics import (
    Outcome,
    agreement,
    choose_precision,
    half_precision,
    lower_precisions,
    of_key,
    real_type,
)
from napari_ditto.models.protocols import ModelSpec
from napari_ditto.models.registry import load_model


def disc(radius, count=3):
    rows, columns = np.ogrid[:100, :100]
    one = (rows - 50) ** 2 + (columns - 50) ** 2 < radius**2
    return np.repeat(one[None], count, axis=0)


class FakeTrial:
    """Answers as told, and counts how often it was asked."""

    def __init__(self, gain=3.0, radius=40.0, **other):
        self.asked, self._known = [], {"bfloat16": (gain, radius), **other}

    def __call__(self, precision):
        self.asked.append(precision)
        gain, radius = self._known.get(precision, (1.0, 40))
        return Outcome(3.0 / gain, disc(radius))


@pytest.fixture(autouse=True)
def _a_machine_with_bfloat16(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(numerics, "_cpu_multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(numerics, "_cpu_has_bytes", lambda: False)


@pytest.fixture
def _bytes_too(monkeypatch):
    monkeypatch.setattr(numerics, "_cpu_has_bytes", lambda: True)


def test_half_precision_is_taken_where_it_is_faster_and_as_good():
    assert choose_precision("auto", "cpu", "w", FakeTrial()) == "bfloat16"


@pytest.mark.parametrize(
    "trial", [FakeTrial(radius=38), FakeTrial(gain=1.05), FakeTrial(gain=0.2)],
    ids=["other masks", "hardly faster", "slower"],
)  # fmt: skip
def test_it_is_refused_where_it_disagrees_or_does_not_pay(trial):
    assert choose_precision("auto", "cpu", "w", trial) == "float32"


@pytest.mark.usefixtures("_bytes_too")
@pytest.mark.parametrize(
    ("bytewise", "chosen"),
    [((4, 40), "int8"), ((3.1, 40), "bfloat16"), ((2, 40), "bfloat16"), ((9, 38), "bfloat16")],
    ids=["fastest", "no faster than half", "slower than half", "other masks"],
)
def test_bytes_are_taken_where_they_beat_half_precision_and_are_as_good(bytewise, chosen):
    trial = FakeTrial(int8=bytewise)
    assert choose_precision("auto", "cpu", "w", trial) == chosen
    assert trial.asked == ["float32", "bfloat16", "int8"]


@pytest.mark.usefixtures("_bytes_too")
def test_bytes_without_half_precision(monkeypatch):
    """A refused precision does not raise the bar, and laptops have bytes without bfloat16."""
    assert choose_precision("auto", "cpu", "w", FakeTrial(radius=30, int8=(2, 40))) == "int8"
    monkeypatch.setattr(numerics, "_cpu_multiplies_bfloat16", lambda: False)
    trial = FakeTrial(int8=(2, 40))
    assert choose_precision("auto", "cpu", "w", trial) == "int8"
    assert trial.asked == ["float32", "int8"]
    assert real_type("int8", "cpu") == "float32"


@pytest.mark.usefixtures("_bytes_too")
def test_bytes_are_tried_only_where_a_family_knows_them():
    trial = FakeTrial(int8=(9, 40))
    assert choose_precision("auto", "cpu", "w", trial, ("float32", "bfloat16")) == "bfloat16"
    assert "int8" not in trial.asked
    with pytest.raises(ModelError, match=r"int8.*Use auto, float32, bfloat16$"):
        choose_precision("int8", "cpu", "w", trial, ("float32", "bfloat16"))


def test_what_was_found_without_bytes_is_found_out_again_with_them(monkeypatch):
    assert choose_precision("auto", "cpu", "w", FakeTrial()) == "bfloat16"
    monkeypatch.setattr(numerics, "_cpu_has_bytes", lambda: True)
    assert choose_precision("auto", "cpu", "w", FakeTrial(int8=(5, 40))) == "int8"


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


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16", "int8"])
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
    assert lower_precisions("mps") == ("float16",)


def test_keys_tell_precisions_apart():
    single = ModelSpec("sam:x", "sam", "1", "ab" * 32, "", "")
    half = ModelSpec("sam:x", "sam", "1", "ab" * 32, "", "", precision="bfloat16")
    assert single.key == "sam:x@1#abababababababab"
    assert half.key == single.key + "+bfloat16"
    assert (of_key(single.key), of_key(half.key)) == ("float32", "bfloat16")
    assert of_key(replace(half, precision="int8").key) == "int8"
