"""What the tests of the user interface share: settings and caches in temporary folders."""

from __future__ import annotations

import copy
import functools
import gc
import os
import tempfile
from importlib.util import find_spec

import pytest

if find_spec("napari") is None:
    collect_ignore_glob = ["test_*.py"]

# napari's own settings file; read once, when napari.settings is imported.
_napari_folder = tempfile.TemporaryDirectory(prefix="napari-")
os.environ["NAPARI_CONFIG"] = os.path.join(_napari_folder.name, "settings.yaml")


def _missing_qt() -> str:
    """Return why no Qt binding can be used here, empty if one can; ``QT_API`` chooses it."""
    try:
        from qtpy import API_NAME
    except Exception as error:  # noqa: BLE001 - qtpy raises its own kinds, which need Qt to import
        return f"no Qt binding: {error}"
    wanted = os.environ.get("QT_API", API_NAME).lower()
    return "" if API_NAME.lower() == wanted else f"QT_API is {wanted}, qtpy found {API_NAME}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not item.get_closest_marker("gui"):
        return
    if reason := _missing_qt():
        pytest.skip(reason)
    _quicker_viewers()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item):
    """Have the collector look at what is left of a viewer once: napari collects twice for each.

    Menus, and viewers with them, outlive napari's fixture; after 70 of them it took 1.5 s a test.
    """
    yield
    if item.get_closest_marker("gui"):
        gc.freeze()


@functools.cache
def _quicker_viewers() -> None:
    """Save a second a viewer: napari reads all manifests anew for each, and collects garbage.

    What was imported is never garbage, so the collector need not look at it again.
    """
    import napari._qt.qt_main_window  # noqa: F401  # so that it is among what is frozen
    from npe2.manifest import _bases

    read = functools.cache(_bases._load_yaml_no_duplicates)

    def read_once(stream):
        return copy.deepcopy(read(stream if isinstance(stream, str) else stream.read()))

    _bases._load_yaml_no_duplicates = read_once
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    """Point every folder of ours, and napari's for plugins, to a fresh one."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("NAPARI_DITTO_CONFIG", str(folder / "config"))
    monkeypatch.setenv("NAPARI_DITTO_CACHE", str(folder / "cache"))
    monkeypatch.setenv("NAPARI_DITTO_MODELS", str(folder / "models"))
    monkeypatch.setenv("NAPARI_DITTO_JOURNAL", str(folder / "journals"))
    monkeypatch.setattr("napari.settings._CFG_PATH", str(folder / "settings.yaml"), raising=False)
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {}, raising=False)  # 0.9
    return folder


@pytest.fixture
def viewer_model():
    """A viewer without window and canvas, which take most of a GUI test's time.

    As plugins get it: only what is public can be reached.
    """
    from napari.components import ViewerModel
    from napari.utils._proxies import PublicOnlyProxy

    from napari_ditto.ui.assembly import _controllers

    viewer = ViewerModel()
    yield PublicOnlyProxy(viewer)
    if id(viewer) in _controllers:
        _controllers[id(viewer)].close()
