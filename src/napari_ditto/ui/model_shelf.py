"""The models of a dock: loaded once, tried out, and kept for the next job."""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import Lock

import numpy as np

from napari_ditto.core.progress import Progress
from napari_ditto.data.protocols import EmbeddingStore
from napari_ditto.models.names import FALLBACK_MODEL
from napari_ditto.models.protocols import ContextModel, ModelSpec, PromptModel
from napari_ditto.ui.rehearsal import rehearse_labels

Model = PromptModel | ContextModel
LoadModel = Callable[[str, str], Model]
Name = tuple[str, str]  # model and device

QUICK_SECONDS = 1.0
"""A model whose tiles take less is tried out before it is needed."""


def load_registered(name: str, device: str) -> Model:
    """Return what :func:`napari_ditto.load_model` does; it is imported when first used."""
    from napari_ditto.models.registry import load_model

    return load_model(name, device)


class ModelShelf:
    """Loads models, and knows where their embeddings are kept.

    Parameters
    ----------
    open_cache : callable, optional
        Opens the place where embeddings are kept, when it is first needed; by default the cache
        of the machine's user.
    load_model : callable, optional
        Another way to get a model.
    """

    def __init__(
        self,
        open_cache: Callable[[], EmbeddingStore] | None = None,
        load_model: LoadModel = load_registered,
    ) -> None:
        self._open_cache, self._load_model = open_cache, load_model
        self._cache: EmbeddingStore | None = None
        self._models: dict[Name, Model] = {}
        self._loading = Lock()

    def has(self, model: str, device: str) -> bool:
        """Whether a model is loaded."""
        return (model, device) in self._models

    def spec(self, model: str, device: str) -> ModelSpec | None:
        """Return what a loaded model says of itself."""
        found = self._models.get((model, device))
        return None if found is None else found.spec

    @staticmethod
    def is_quick(spec: ModelSpec) -> bool:
        """Whether a model encodes a tile in no time that counts."""
        return spec.encode_seconds <= QUICK_SECONDS

    def fetch(self, model: str) -> Generator[Progress, None, None]:
        """Download the weights of a model; the user has agreed."""
        from napari_ditto.models.manifest import manifest
        from napari_ditto.models.weights import download

        yield from download(manifest()[model], agree=True)

    def load(self, model: str, device: str) -> Generator[Progress, None, Model]:
        """Return a model that stays loaded until another one takes its place."""
        name = (model, device)
        with self._loading:
            if name not in self._models:
                yield Progress("read", text=f"loading the model {model}")
                if model != FALLBACK_MODEL:
                    # The old one goes first: two large models may not fit into memory together.
                    self._keep_only(FALLBACK_MODEL)
                self._models[name] = self._load_model(model, device)
                yield Progress("read", text=f"trying out the model {model}")
                self._rehearse(self._models[name])
                rehearse_labels()  # for the first mask, for which nobody waits yet
            return self._models[name]

    def lend(self, model: str, device: str) -> Generator[Progress, None, Model]:
        """Return a model for a job of another thread: the loaded one, else one of its own."""
        yield Progress("read", text=f"loading the model {model}")
        with self._loading:
            found = self._models.get((model, device))
        return found or self._load_model(model, device)

    def _rehearse(self, model: Model) -> None:
        """Ask a quick model once: first calls import and set up what later ones need."""
        from napari_ditto.models.estimate import click_for

        if isinstance(model, PromptModel) and 0 < model.spec.encode_seconds < QUICK_SECONDS:
            self.embeddings()
            tile = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
            model.decode(model.encode(tile)[0], [click_for(model.spec, 64)])

    def _keep_only(self, model: str) -> None:
        self._models = {name: m for name, m in self._models.items() if name[0] == model}

    def embeddings(self) -> EmbeddingStore:
        """Return where embeddings are kept; for jobs of the same thread."""
        if self._cache is None:
            from napari_ditto.data.embeddings import EmbeddingCache

            self._cache = (self._open_cache or EmbeddingCache)()
        return self._cache
