"""What a model is to the rest of the program: numpy in, numpy out, no torch in sight."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.core.geometry import Box
from napari_ditto.core.progress import Progress
from napari_ditto.core.prompts import PromptSet

Capability = Literal["points", "box", "mask", "scribbles", "proposals", "auto", "examples", "text"]


@dataclass(frozen=True, slots=True)
class PerExample:
    """What a context model costs that looks at all its examples again for every tile.

    Attributes
    ----------
    examples : int
        Most that are looked at in one pass.
    classes : int
        Most that are told apart in one pass.
    at_once : bool
        Whether all examples together cost no more than one.
    """

    examples: int
    classes: int
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The identity card of a loaded model; it goes into the metadata of every result.

    Attributes
    ----------
    id : str
        The name that :func:`napari_ditto.load_model` takes, e.g. ``"sam:facebook/sam-vit-base"``.
    family, version : str
        Adapter and version of its pre- and postprocessing; a change invalidates cached embeddings.
    weights_sha256 : str
        Hash of the weights file, or of the source constants for a model without weights.
    licence, citation, source : str
        Of the weights, for the user and for provenance.
    input_size : int
        Side of the square tile the encoder sees, pixels.
    capabilities : frozenset of str
        What prompts it reads and what else it can do.
    encode_seconds, decode_seconds : float
        Rough cost per tile and per prompt on a 2-core CPU, for estimates before a run.
    embedding_bytes : int
        Rough size of one embedding.
    memory_bytes : int
        Rough peak of one encode, weights included; 0 is not known.
    device : str
        Where it runs, ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    per_example : PerExample or None
        For models that keep examples instead of condensing them once; then `decode_seconds` is
        the cost of one example on one tile.
    precision : str
        What its encoder computes with, ``"float32"``, ``"bfloat16"``, ``"float16"``
        or ``"int8"``.
    """

    id: str
    family: str
    version: str
    weights_sha256: str
    licence: str
    citation: str
    source: str = ""
    input_size: int = 512
    capabilities: frozenset[Capability] = frozenset()
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    embedding_bytes: int = 0
    memory_bytes: int = 0
    device: str = "cpu"
    per_example: PerExample | None = None
    precision: str = "float32"

    @property
    def key(self) -> str:
        """Identity for caches and provenance: changes with weights, preprocessing, precision."""
        weights = f"{self.id}@{self.version}#{self.weights_sha256[:16]}"
        return weights if self.precision == "float32" else f"{weights}+{self.precision}"

    @property
    def provenance(self) -> dict[str, object]:
        """What every result must say about the model behind it, JSON-able."""
        return {
            "model": self.id,
            "model_key": self.key,
            "weights_sha256": self.weights_sha256,
            "licence": self.licence,
        }


@dataclass(frozen=True, eq=False)
class MaskLogits:
    """Decoded candidates in tile pixels.

    Attributes
    ----------
    logits : ndarray of float32, shape (b, m, h, w)
        Above 0 is the object; ``h, w`` is the embedding's ``tile_shape``.
    scores : ndarray of float32, shape (b, m)
        Estimated IoU in [0, 1].
    best : ndarray of int, shape (b,)
        Which candidate to show first.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    best: NDArray[np.intp]


@runtime_checkable
class PromptModel(Protocol):
    """Prompts about one object in, candidate masks out; encode once, decode many."""

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        ...

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Encode tiles, shape (n, h, w, 3), values in [0, 1], ``h, w <= spec.input_size``."""
        ...

    def decode(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> MaskLogits:
        """Return candidates for each prompt set (tile coordinates), one object per set."""
        ...


@runtime_checkable
class AutoPromptModel(PromptModel, Protocol):
    """A prompt model that can say by itself where the objects are."""

    def suggest(self, embedding: Embedding) -> list[PromptSet]:
        """Return one prompt set per object seen in the tile, tile coordinates."""
        ...


@runtime_checkable
class TextModel(PromptModel, Protocol):
    """A prompt model that finds things by their name."""

    def suggest_text(self, embedding: Embedding, text: str) -> list[PromptSet]:
        """Return one prompt set per object of this name in the tile, tile coordinates.

        Each holds the name and a box: :meth:`decode` answers it with the mask of that object.
        """
        ...


@dataclass(frozen=True, eq=False)
class Crop:
    """The answer to show first, where it lies.

    Attributes
    ----------
    box : Box
        Of the tile; none of the object is outside of it.
    logits : ndarray of float32, shape ``box.shape``
        Above 0 is the object.
    score : float
        Estimated IoU in [0, 1].
    choice : int
        Which one of the candidates of :meth:`PromptModel.decode` it is.
    """

    box: Box
    logits: NDArray[np.float32]
    score: float
    choice: int


@runtime_checkable
class CroppingModel(PromptModel, Protocol):
    """A prompt model that can tell many objects for less than all of their candidates."""

    def decode_crops(self, embedding: Embedding, prompts: Sequence[PromptSet]) -> list[Crop]:
        """Return the candidate to show first for each prompt set, as :meth:`decode` would."""
        ...


@runtime_checkable
class SiftingModel(PromptModel, Protocol):
    """A prompt model that can tell only those candidates of many prompts that are sure."""

    def decode_sure(
        self, embedding: Embedding, prompts: Sequence[PromptSet], score: float, level: float
    ) -> list[list[Crop]]:
        """Return the candidates of :meth:`decode` with at least some score, for each prompt set.

        Each lies where its logits are above `level`, at most 0.
        """
        ...


@runtime_checkable
class PreparingModel(PromptModel, Protocol):
    """A prompt model that can do part of the work before it is asked, and stop in between."""

    def decode_steps(
        self, embedding: Embedding, prompts: Sequence[PromptSet]
    ) -> Generator[Progress, None, MaskLogits]:
        """Return what :meth:`decode` does; yields where it can be broken off."""
        ...

    def prepare(self, embedding: Embedding, prompts: PromptSet) -> bool:
        """Do a few milliseconds of what questions like this one will need, the likeliest first.

        It changes no answer. Returns False when nothing is left to do.
        """
        ...


@dataclass(frozen=True, eq=False)
class MemoryFrame:
    """What a video model remembers of one object in one frame.

    Attributes
    ----------
    arrays : mapping of str to ndarray
        One object's part of what :meth:`VideoModel.memorize` or :class:`VideoLogits` gave; arrays
        that are not read from this far (:attr:`VideoModel.reach`) may be missing.
    distance : int
        Frames between it and the frame that is asked about. Negative for an anchor that lies
        ahead, on the far side of where the object is carried to.
    is_anchor : bool
        Whether its mask is the user's.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    distance: int
    is_anchor: bool = False


@dataclass(frozen=True, eq=False)
class VideoLogits:
    """Objects as a video model has found them in a frame, tile pixels.

    Attributes
    ----------
    logits : ndarray of float32, shape (n, h, w)
        Above 0 is the object; all below where the model thinks that it is gone.
    scores : ndarray of float32, shape (n,)
        Estimated IoU in [0, 1].
    present : ndarray of float32, shape (n,)
        Probability that the object is in the frame.
    memory : mapping of str to ndarray, each of shape (n, ...)
        What to remember of the objects in this frame, float16 or float32.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    present: NDArray[np.float32]
    memory: Mapping[str, NDArray[np.generic]]


@runtime_checkable
class VideoModel(PromptModel, Protocol):
    """A prompt model that carries objects from frame to frame, by a memory that others keep.

    It holds no state: what it is to remember comes in with every question. Frames have no numbers,
    only distances, so that a stack can be walked in any direction from anywhere.
    """

    @property
    def reach(self) -> Mapping[str, int]:
        """How many frames back each array of a memory is read; of anchors all are read always."""
        ...

    def memorize(
        self, embedding: Embedding, masks: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.generic]]:
        """Return what to remember of masks that are true, (n, h, w); arrays begin with n."""
        ...

    def track(self, embedding: Embedding, memories: Sequence[Sequence[MemoryFrame]]) -> VideoLogits:
        """Return where objects are in a frame, each from the frames that show it.

        An object's answer depends on its own frames alone, not on what else is asked.
        """
        ...


UNKNOWN = -1
"""The label of example pixels that nobody has looked at."""


@dataclass(frozen=True, eq=False)
class Example:
    """An encoded image tile with its label image.

    Attributes
    ----------
    embedding : Embedding
        The tile.
    labels : ndarray of int, shape ``embedding.tile_shape``
        0 is background, every other value is a class (or an instance of one kind), and
        :data:`UNKNOWN` is what nobody has labelled: nothing is learnt from it.
    weight : float
        How much it counts.
    """

    embedding: Embedding
    labels: NDArray[np.integer]
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Memory:
    """What a model keeps of its examples; bounded in size whatever their number."""

    arrays: dict[str, NDArray[np.generic]]
    classes: tuple[int, ...]
    model: str


@dataclass(frozen=True, eq=False)
class ContextMap:
    """Where the kinds shown by the examples are found in a tile.

    Attributes
    ----------
    probability : ndarray of float32, shape (c, h, w)
        One map per class in the order of ``Memory.classes``; background is the rest.
    center, boundary : ndarray of float32, shape (h, w), or None
        Object centres and borders in [0, 1], where the family has them.
    """

    probability: NDArray[np.float32]
    center: NDArray[np.float32] | None = None
    boundary: NDArray[np.float32] | None = None


@runtime_checkable
class ContextModel(Protocol):
    """Examples in, class maps out."""

    @property
    def spec(self) -> ModelSpec:
        """Who this is."""
        ...

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Encode tiles, as :meth:`PromptModel.encode`."""
        ...

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Condense examples into a memory of bounded size."""
        ...

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return where the remembered classes are in a tile."""
        ...

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory that fits the examples better; the weights stay untouched."""
        ...


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected cost of a run, shown before it starts."""

    seconds: float
    memory_bytes: int
    tiles: int
    notes: tuple[str, ...] = field(default=())
