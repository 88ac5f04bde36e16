"""The models and devices a user can pick, and what must be agreed to before a download."""

from __future__ import annotations

from napari_ditto.errors import ModelNotFoundError
from napari_ditto.models.manifest import manifest
from napari_ditto.models.registry import ModelEntry, available_models
from napari_ditto.models.weights import gate
from napari_ditto.ui.session import Choice

DEVICE_CHOICES = (
    Choice("auto", "automatic", "The fastest that works here"),
    Choice("cpu", "CPU"),
    Choice("cuda", "NVIDIA GPU (CUDA)"),
    Choice("mps", "Apple GPU (MPS)"),
)
"""All that exist: which of them work is only known to torch, which costs seconds to import."""


def model_choices() -> tuple[Choice, ...]:
    """Return the models that can be picked; those that must be fetched first say so."""
    return tuple(_choice(entry) for entry in available_models())


def _choice(entry: ModelEntry) -> Choice:
    how = "by hand" if entry.gated else f"download, {_size(entry)}"
    text = entry.id if entry.installed else f"{entry.id}  ({how})"
    return Choice(entry.id, text, f"{entry.title}\nLicence: {entry.licence}")


def _size(entry: ModelEntry) -> str:
    return f"{entry.size_bytes / 1e6:.0f} MB" if entry.size_bytes else "size unknown"


def download_question(model: str) -> str:
    """Return what to ask before `model` can be used, ``""`` if nothing has to be fetched.

    Raises
    ------
    ModelNotFoundError
        If it cannot be fetched: its licence must be accepted elsewhere, or it was the user's own.
    """
    entry = next((e for e in available_models() if e.id == model and not e.installed), None)
    if entry is None:
        return ""
    if entry.added:
        raise ModelNotFoundError("its files are not where they were", where=entry.source)
    if entry.gated:
        raise gate(manifest()[model])
    return (
        f"{entry.title} must be downloaded once ({_size(entry)}).\n\n"
        f"From: {entry.source}\nLicence: {entry.licence}\n\nDownload it now?"
    )
