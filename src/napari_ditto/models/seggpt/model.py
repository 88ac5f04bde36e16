"""SegGPT: transformers' ``SegGptForImageSegmentation`` as a context model.

Wang et al. 2023, SegGPT: Segmenting Everything In Context, arXiv:2304.03284.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this module is imported when the family is used
from numpy.typing import NDArray

from napari_ditto.core.embedding import Embedding
from napari_ditto.errors import ModelError, WeightsError
from napari_ditto.models.build import Recipe, build, normalisation, spec_of
from napari_ditto.models.canvas import to_bytes
from napari_ditto.models.checks import check_tiles
from napari_ditto.models.device import memory_watched
from napari_ditto.models.protocols import ContextMap, Example, Memory, ModelSpec, PerExample
from napari_ditto.models.seggpt import cost
from napari_ditto.models.seggpt.look import Settings, look, pixels
from napari_ditto.models.seggpt.painter import Painter
from napari_ditto.models.seggpt.palette import combine, palette, probabilities
from napari_ditto.models.seggpt.prompts import Prompts, gather, groups
from napari_ditto.models.seggpt.square import Square
from napari_ditto.models.seggpt.tuning import Tuner
from napari_ditto.models.weights import Weights

VERSION = "1"
RGB = 3


def _check(config: Any, where: str) -> None:  # noqa: ANN401
    """Refuse a configuration that the architecture cannot have.

    Raises
    ------
    WeightsError
    """
    shape, patch, layers = config.image_size, config.patch_size, config.num_hidden_layers
    wanted = list(config.intermediate_hidden_state_indices)
    sizes = (patch, config.hidden_size, config.num_attention_heads, config.decoder_hidden_size)
    fits = (
        all(isinstance(n, int) and n > 0 for n in sizes)
        and list(shape) == [2 * shape[1], shape[1]]
        and shape[1] % patch == 0
        and config.pretrain_image_size >= patch
        and config.hidden_size % config.num_attention_heads == 0
        and wanted == sorted({i for i in wanted if 0 <= i < layers})
        and 0 <= config.merge_index <= wanted[0]
        and config.num_channels == RGB
        and config.beta > 0
    )
    if not fits:
        raise WeightsError("the configuration is not valid for SegGPT", where=where)


SEGGPT = Recipe(
    family="seggpt",
    version=VERSION,
    model_class="SegGptForImageSegmentation",
    config_class="SegGptConfig",
    model_types=("seggpt",),
    settings="hidden_size|num_.*|hidden_act|layer_norm_eps|image_size|patch_size|qkv_bias|mlp_dim|"
    "pretrain_image_size|decoder_hidden_size|use_relative_position_embeddings|merge_index|"
    "intermediate_hidden_state_indices|beta",
    check=_check,
)


class SegGptModel:
    """SegGPT behind :class:`~napari_ditto.models.protocols.ContextModel`.

    Parameters
    ----------
    spec : ModelSpec
        Its identity card, without settings.
    painter : Painter
        The network.
    settings : Settings
        How it is asked.

    Notes
    -----
    Example and query attend to each other in every block, so there is nothing to encode
    beforehand: an embedding is the tile's own pixels in 8 bit, as the published training has them,
    and all the time goes into :meth:`recall`: one look for each example, tile, and pass.

    The network paints. Probabilities are made from distances of colours
    (:func:`.palette.probabilities`) and are not calibrated.
    """

    def __init__(self, spec: ModelSpec, painter: Painter, settings: Settings) -> None:
        self._base, self._painter, self.settings = spec, painter, settings
        self._square = Square(spec.input_size)
        self._spec = replace(
            spec,
            version=f"{spec.version}-{settings.key}",
            per_example=PerExample(
                settings.examples, settings.colors, settings.ensemble == "spatial"
            ),
        )

    @property
    def spec(self) -> ModelSpec:
        """Who this is; settings are part of its version."""
        return self._spec

    def using(self, settings: Settings) -> SegGptModel:
        """Return the same network asked in another way."""
        return SegGptModel(self._base, self._painter, settings)

    def encode(self, tiles: NDArray[np.float32]) -> list[Embedding]:
        """Keep tiles, shape (n, h, w, 3), values in [0, 1], at most ``input_size`` wide.

        Raises
        ------
        ModelError
            If the array is of another shape.
        """
        check_tiles(tiles, self._spec.input_size)
        return [Embedding({"pixels": to_bytes(t)}, t.shape[:2], self._spec.key) for t in tiles]

    def remember(self, examples: Sequence[Example]) -> Memory:
        """Keep the heaviest examples, whatever order they are in.

        See :func:`.prompts.gather`, also for what is unknown in them.

        Raises
        ------
        ModelError
            If nothing is labelled, labels do not have their tile's shape, an embedding is of
            another model, or there are too many classes.
        """
        for example in examples:
            self._own(example.embedding.model, "the embedding")
        settings = self.settings
        prompts, classes = gather(examples, self._square, settings.colors, settings.examples)
        return prompts.remembered(classes, self._spec.key)

    def recall(self, embedding: Embedding, memory: Memory) -> ContextMap:
        """Return where the remembered classes are in a tile; this is slow on a CPU.

        Raises
        ------
        ModelError
            If embedding or memory are of another model, or of other settings.
        DeviceError
            If the device is out of memory.
        """
        self._own(embedding.model, "the embedding")
        self._own(memory.model, "the memory")
        prompts = Prompts.of(memory)
        passes = groups(len(memory.classes), self.settings.colors)
        with memory_watched():
            found = combine([self._paint(embedding, prompts, group) for group in passes])
        own = np.empty_like(found)
        own[prompts.order] = found
        return ContextMap(own)

    def tune(self, memory: Memory, examples: Sequence[Example], steps: int = 20) -> Memory:
        """Return a memory whose pictures are optimised on examples; see :mod:`.tuning`.

        Raises
        ------
        ModelError
            If the memory is of another model or other settings, or the examples show a class that
            it does not know.
        DeviceError
            If the device is out of memory.
        """
        self._own(memory.model, "the memory")
        for example in examples:
            self._own(example.embedding.model, "the embedding")
        tuner = Tuner(self._painter, self.settings, self._square, memory, examples)
        with memory_watched():
            return tuner.tune(steps, self.recall)

    @torch.inference_mode()
    def _paint(
        self, embedding: Embedding, prompts: Prompts, group: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return the probability of background and of each class of a pass, (1 + c, h, w)."""
        chosen = prompts.showing(group, self.settings.examples)
        device = self._painter.device
        query = self._square.show(np.asarray(embedding.arrays["pixels"]))
        seen = look(
            self._painter,
            self.settings,
            pixels(prompts.images[chosen], device),
            prompts.labels[chosen],
            group,
            pixels(query, device),
        )
        own = self._square.cut(seen.float().cpu().numpy(), embedding.tile_shape)
        return probabilities(own, palette(len(group)))

    def _own(self, key: str, what: str) -> None:
        if key != self._spec.key:
            raise ModelError(
                f"{what} is of another model, or of other settings",
                where=f"{key}, not {self._spec.key}",
                todo="Show the examples to this model again",
            )


def load_seggpt(name: str, weights: Weights, device: str) -> SegGptModel:
    """Load SegGPT from a folder or a safetensors file.

    Raises
    ------
    WeightsError
        If the files are damaged or of another architecture.
    """
    network, config, sha256 = build(weights, SEGGPT)
    size = int(config.image_size[1])
    settings = Settings()
    looks = cost.multiply_adds(config) / cost.CPU_RATE
    spec = spec_of(
        name,
        SEGGPT,
        weights,
        sha256,
        device=device,
        network=network,
        input_size=size,
        work_bytes=cost.work_bytes(config, settings.examples),
        embedding_bytes=3 * size**2,
    )
    # An example and a tile are looked at together: that is what takes time.
    spec = replace(
        spec, capabilities=frozenset({"examples"}), encode_seconds=0.0, decode_seconds=looks
    )
    mean, std = normalisation(weights)
    return SegGptModel(spec, Painter(network, mean, std, device), settings)
