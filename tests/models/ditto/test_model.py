"""The bundled model keeps the promises of every prompt model."""

from __future__ import annotations

import pytest

from napari_ditto.models.ditto.model import DittoModel, load_ditto
from napari_ditto.testing.contracts.models import PromptModelContract


@pytest.fixture(scope="session")
def ditto() -> DittoModel:
    """Return the model with the bundled weights."""
    return load_ditto("cpu")


class TestDitto(PromptModelContract):
    @pytest.fixture
    def model(self, ditto: DittoModel) -> DittoModel:
        return ditto
