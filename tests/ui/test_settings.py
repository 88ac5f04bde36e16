"""Settings: kept, checked, the same in the manifest, and never a reason not to start."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_ditto
from napari_ditto.errors import StoreError
from napari_ditto.ui import settings
from napari_ditto.ui.settings import Settings

MANIFEST = PluginManifest.from_file(Path(napari_ditto.__file__).with_name("napari.yaml"))


@pytest.fixture
def unknown_plugin(npe2pm):
    """napari keeps no settings for us."""
    return npe2pm


@pytest.fixture
def known_plugin(unknown_plugin):
    """The manifest is registered, so that napari keeps our settings."""
    unknown_plugin.register(MANIFEST)


@pytest.fixture(params=["known_plugin", "unknown_plugin"])
def backend(request):
    """Both places where settings can live."""
    request.getfixturevalue(request.param)


def test_the_manifest_declares_the_same_settings():
    declared = dict(MANIFEST.contributions.configurations[settings.SECTION].properties)
    for entry in dataclasses.fields(Settings):
        notes, prop = entry.metadata, declared.pop(entry.name)
        assert (prop.title, prop.description, prop.default) == (
            notes["title"],
            notes["help"],
            entry.default,
        )
        assert tuple(prop.enum or ()) == notes["choices"]
        assert (prop.minimum, prop.maximum) == (notes["bounds"] or (None, None))
        assert prop.python_type is type(entry.default)
    assert not declared


def test_defaults_at_first(backend):
    assert settings.load() == (Settings(), ())


def test_what_is_saved_is_loaded(backend):
    saved = settings.save(model="sam:facebook/sam-vit-base", overlap="replace", cache_disk_gb=2)
    assert settings.load() == (saved, ())
    assert (saved.model, saved.overlap) == ("sam:facebook/sam-vit-base", "replace")


def test_changes_leave_the_others(backend):
    settings.save(device="cpu")
    settings.save(min_area_px=1)
    loaded, _ = settings.load()
    assert (loaded.device, loaded.min_area_px) == ("cpu", 1)


@pytest.mark.parametrize(
    "bad", [{"overlap": "merge"}, {"min_area_px": -9}, {"model": ""}, {"colour": "red"}]
)
def test_bad_values_are_not_saved(backend, bad):
    with pytest.raises(ValueError, match=f"setting '{next(iter(bad))}'"):
        settings.save(**bad)
    assert settings.load() == (Settings(), ())


def test_bad_and_foreign_values_in_the_file_fall_back_with_a_note(unknown_plugin):
    path = settings.settings_path()
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps(
            {
                "model": 3,
                "overlap": "merge",
                "cache_memory_mb": True,
                "min_area_px": 50,
                "nonsense": 1,
            }
        )
    )
    loaded, notes = settings.load()
    assert loaded == Settings(min_area_px=50)
    assert len(notes) == 4
    assert "setting 'overlap' is 'merge', not one of keep, replace; keep is used instead" in notes


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00"])
def test_a_damaged_file_means_defaults_and_a_note(unknown_plugin, content):
    path = settings.settings_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    loaded, notes = settings.load()
    assert loaded == Settings()
    assert len(notes) == 1
    assert str(path) in notes[0]


def test_a_folder_that_cannot_be_written_is_told(unknown_plugin, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(blocked))
    with pytest.raises(StoreError, match="settings cannot be written"):
        settings.save(device="cpu")


def test_a_bad_value_in_naparis_file_falls_back(known_plugin, own_folders):
    (own_folders / "napari-ditto.yaml").write_text("annotate:\n  min_area_px: -99\n  device: cpu\n")
    loaded, _ = settings.load()
    assert (loaded.min_area_px, loaded.device) == (20, "cpu")
