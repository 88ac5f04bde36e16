"""A napari that is too old is told so in one line, and the oldest is named in one way."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_ditto.errors import DittoError

pytest.importorskip("qtpy.QtCore", reason="no Qt binding", exc_type=Exception)
from napari_ditto.ui.assembly import OLDEST_NAPARI, controller_for


def test_an_old_napari_is_told():
    with pytest.raises(DittoError, match=r"works with napari 0\.9 and newer.*Update napari"):
        controller_for(SimpleNamespace(camera=None))


def test_the_oldest_napari_is_the_one_that_is_declared():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert extras["all"] == [f"napari[all]>={OLDEST_NAPARI}"]
