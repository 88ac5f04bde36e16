"""From a model name to a loaded model.

A name is ``"<family>:<which>"``, where *which* is a known name (``"sam:vit_b_lm"``), a
repository of the Hugging Face hub (``"sam:facebook/sam-vit-base"``), a folder or a file; a
family that fetches no weights is named alone (``"ditto"``, ``"classic"``). A path alone is
recognised by its content.

Importing this module imports no model: a family is one line in :data:`FAMILIES`, and its module
is imported when it is first used.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_ditto.errors import ModelError, ModelNotFoundError
from napari_ditto.models.manifest import ManifestEntry, find, manifest
from napari_ditto.models.names import DEFAULT_MODEL
from napari_ditto.models.numerics import CHOICES
from napari_ditto.models.protocols import ModelSpec, PromptModel

if TYPE_CHECKING:
    from napari_ditto.models.weights import Weights


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model.

    Attributes
    ----------
    name, title : str
        For the program, and for people.
    factory : str
        ``"module:function"``, imported on first use.
    takes : str
        ``"nothing"``: ``factory()``. ``"device"``: ``factory(device)``, weights are bundled.
        ``"weights"``: ``factory(name, weights, device)``.
    reads_diameter : bool
        Whether :attr:`PromptSet.diameter` changes its answers.
    reads_text : bool
        Whether it finds things by their name.
    has_precisions : bool
        Whether it can compute with other numbers than float32; then the factory takes the choice
        as its last argument.
    card : str
        ``"module:function"`` that tells its spec without loading it, where there is one.
    """

    name: str
    title: str
    factory: str
    takes: Literal["nothing", "device", "weights"] = "weights"
    reads_diameter: bool = False
    reads_text: bool = False
    has_precisions: bool = False
    card: str = ""


FAMILIES: tuple[Family, ...] = (
    Family(
        "ditto",
        "Ditto: the bundled network",
        "napari_ditto.models.ditto.model:load_ditto",
        "device",
        reads_diameter=True,
        card="napari_ditto.models.ditto.card:card",
    ),
    Family(
        "classic",
        "Classic: filter bank and seeded segmentation, no weights",
        "napari_ditto.models.classic.model:ClassicModel",
        "nothing",
    ),
    Family(
        "sam",
        "Segment Anything",
        "napari_ditto.models.sam.model:load_sam",
        has_precisions=True,
    ),
    Family(
        "sam_hq",
        "Segment Anything, high quality",
        "napari_ditto.models.sam.model:load_sam_hq",
        has_precisions=True,
    ),
    Family(
        "sam2",
        "Segment Anything 2",
        "napari_ditto.models.sam2.loading:load_sam2",
        has_precisions=True,
    ),
    Family(
        "seggpt",
        "SegGPT: by example only",
        "napari_ditto.models.seggpt.model:load_seggpt",
    ),
    Family(
        "sam3",
        "Segment Anything 3: by name",
        "napari_ditto.models.sam3.loading:load_sam3",
        reads_text=True,
    ),
)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that can be chosen.

    Attributes
    ----------
    id : str
        The name that :func:`load_model` takes.
    family, title : str
        Its kind, and a name for people.
    installed : bool
        Whether it can be loaded now; otherwise its weights must be fetched first.
    size_bytes : int
        Size of the download, 0 if there is none.
    licence, citation, source : str
        Of the weights.
    hash_known : bool
        Whether a published SHA-256 is checked; otherwise the first download is trusted.
    gated : bool
        Whether its licence must be accepted on a page before it can be fetched, by hand.
    added : bool
        Whether it is the user's own.
    """

    id: str
    family: str
    title: str
    installed: bool
    size_bytes: int = 0
    licence: str = "BSD-3-Clause"
    citation: str = ""
    source: str = ""
    hash_known: bool = True
    gated: bool = False
    added: bool = False


def available_models() -> list[ModelEntry]:
    """Return the models to choose from: without weights, the user's own, then the published."""
    bundled = [ModelEntry(f.name, f.name, f.title, True) for f in FAMILIES if f.takes != "weights"]
    return [*bundled, *_own(), *(_listed(entry) for entry in manifest().values())]


def _own() -> Iterator[ModelEntry]:
    from napari_ditto.models.added import added_models

    for model in added_models():
        path = Path(model.path)
        yield ModelEntry(
            id=model.id,
            family=model.family,
            title=f"{path.name} (your own)",
            installed=path.exists(),
            size_bytes=model.size_bytes,
            licence="unknown: your own file",
            source=model.path,
            added=True,
        )


def _listed(entry: ManifestEntry) -> ModelEntry:
    from napari_ditto.models.weights import is_installed

    return ModelEntry(
        id=entry.id,
        family=entry.family,
        title=entry.title,
        installed=is_installed(entry),
        size_bytes=entry.size,
        licence=entry.licence,
        citation=entry.citation,
        source=entry.source,
        hash_known=entry.files[entry.weights_file].sha256 is not None,
        gated=entry.gated,
    )


def load_model(
    name: str = DEFAULT_MODEL, device: str = "auto", precision: str = "auto"
) -> PromptModel:
    """Return the model called `name`, ready on a device.

    Nothing is ever downloaded here; see :func:`napari_ditto.models.weights.download`.

    Parameters
    ----------
    name : str
        ``"ditto"``, ``"classic"``, ``"sam:facebook/sam-vit-base"``, ``"sam:/path/to/folder"``,
        ``"sam:/path/to/checkpoint.pth"``, ``"/path/to/folder"``, ...
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; ``classic`` needs none.
    precision : str
        What encoders compute with: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"int8"``
        for SAM and SAM-HQ. ``"auto"`` takes the fastest of those that a short trial, made once,
        found as good as float32.

    Raises
    ------
    ModelNotFoundError
        No model of this name, or its weights are not here; the message says how to get them.
    WeightsError
        The weights are damaged, of another architecture, or unsafe to read.
    DeviceError
        The device is missing.
    ModelError
        torch is not usable here, or the model has no such precision.
    """
    family, which = parse(name)
    _check_precision(family, precision)
    if family.takes == "nothing":
        return _import(family.factory)()  # type: ignore[no-any-return]
    weights = find_weights(family, which) if family.takes == "weights" else None
    from napari_ditto.models.device import choose_device
    from napari_ditto.models.torch_import import import_torch

    import_torch()
    make = _import(family.factory)
    arguments = () if weights is None else (f"{family.name}:{which}", weights)
    choice = (precision,) if family.has_precisions else ()
    return make(*arguments, choose_device(device), *choice)  # type: ignore[no-any-return]


def _check_precision(family: Family, precision: str) -> None:
    known = CHOICES if family.has_precisions else ("auto", "float32")
    if precision not in known:
        raise ModelError(
            f"{family.name} has no precision {precision!r}", todo=f"Use {' or '.join(known)}"
        )


def spec_of(name: str = DEFAULT_MODEL, device: str = "auto", precision: str = "auto") -> ModelSpec:
    """Return who a model is and what it costs; `ditto` and `classic` are known without torch.

    Raises
    ------
    DittoError
        As :func:`load_model`, by which all others are asked.
    """
    family, _ = parse(name)
    if family.card:
        return _import(family.card)()  # type: ignore[no-any-return]
    return load_model(name, device, precision).spec


def reads_diameter(name: str) -> bool:
    """Whether the model called `name` makes use of a diameter; no model is loaded."""
    return any(f.reads_diameter for f in FAMILIES if f.name == name.partition(":")[0])


def reads_text(name: str) -> bool:
    """Whether the model called `name` finds things by their name; no model is loaded."""
    return any(f.reads_text for f in FAMILIES if f.name == name.partition(":")[0])


def parse(name: str) -> tuple[Family, str]:
    """Return the family and the rest of a model name; a bare path is recognised by its content.

    Raises
    ------
    ModelNotFoundError
        If there is no such family or path.
    """
    families = {f.name: f for f in FAMILIES}
    head, _, which = name.partition(":")
    family = families.get(head)
    if family and bool(which) == (family.takes == "weights"):
        return family, which
    if name and not family and Path(name).expanduser().exists():
        return families[_recognise(Path(name).expanduser())], name
    raise _unknown(name)


def find_weights(family: Family, which: str) -> Weights:
    """Return the weights that a name means: a known name, then a path, then the hub."""
    from napari_ditto.models.weights import Weights, require

    known = f"{family.name}:{which}" in manifest()
    path = Path(which).expanduser()
    if not known and path.exists():
        return Weights(path, path if path.is_dir() else path.parent)
    entry = find(family.name, which)
    if entry is None or (not known and path.suffix in {".pth", ".pt", ".safetensors"}):
        raise _unknown(f"{family.name}:{which}")
    return require(entry)


def _recognise(path: Path) -> str:
    """Return the family of weights on disk."""
    from napari_ditto.models.recognition import recognise

    found = recognise(path, {f.name for f in FAMILIES if f.takes == "weights"})
    if found.kind == "tuned":
        raise ModelNotFoundError(
            "this is a tuned prompt, not a model",
            where=str(path),
            todo="Choose its model, and the tuned prompt with it",
        )
    return found.family


def _unknown(name: str) -> ModelNotFoundError:
    known = [entry.id for entry in available_models()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    families = ", ".join(f.name for f in FAMILIES)
    todo = f"Did you mean {' or '.join(near)}?" if near else f"Families are {families}"
    return ModelNotFoundError(f"no model is called {name!r}", todo=todo)


def _import(dotted: str) -> Any:  # noqa: ANN401
    module, _, attribute = dotted.partition(":")
    return getattr(import_module(module), attribute)
