"""The background jobs over examples, as generators over the engine; no Qt and no layers.

They run in the dock's one worker thread, like those of :class:`~napari_ditto.ui.workshop.Workshop`,
and share its models and embeddings.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from napari_ditto.core.geometry import Box, PlaneAddress
from napari_ditto.core.progress import Progress
from napari_ditto.data.label_edit import write_plane
from napari_ditto.data.protocols import LabelStore
from napari_ditto.errors import ModelError
from napari_ditto.models.protocols import ContextModel, Estimate, Memory
from napari_ditto.ui.examples.follow_jobs import Way
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.workshop import Workshop

if TYPE_CHECKING:
    from napari_ditto.data.arrays import Sliceable
    from napari_ditto.engine.examples import PlaneExample
    from napari_ditto.engine.linking import Linked
    from napari_ditto.engine.recalling import ContextResult
    from napari_ditto.models.tuned import Tuned

Picture = NDArray[np.uint8]

OBJECTS_PER_PLANE = 30
"""Prompts that "more like this" asks about in a plane, for estimates."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do, for an estimate.

    Attributes
    ----------
    shape : (int, int)
        Of each plane, or of the part of it that is looked at.
    planes, objects : int
        How many planes, and objects on each.
    examples, kinds : int
        How many examples, and kinds of objects that they show.
    """

    shape: tuple[int, int]
    planes: int = 1
    objects: int = OBJECTS_PER_PLANE
    examples: int = 1
    kinds: int = 1


@dataclass(frozen=True, eq=False)
class Liked:
    """One image or plane searched by examples, and what of it is in a Labels layer.

    Attributes
    ----------
    result : ContextResult
        All that was found, at any confidence.
    address : PlaneAddress
        Where.
    store : LabelStore
        What the layer shows.
    labels, ids, scores
        What was written last, the labels in it and their confidences.
    similarity : tuple of float
        Of each example to this plane.
    model : str
        Who found it.
    """

    result: ContextResult
    address: PlaneAddress
    store: LabelStore
    labels: NDArray[np.uint32]
    ids: tuple[int, ...]
    scores: tuple[float, ...]
    similarity: tuple[float, ...] = ()
    model: str = ""


class ExampleJobs:
    """Makes the jobs.

    Parameters
    ----------
    workshop : Workshop
        Where models and embeddings are kept.
    """

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    # --- examples --------------------------------------------------------------------------------

    def picture(self, example: PlaneExample) -> Generator[Progress, None, Picture]:
        """Return an example's thumbnail."""
        from napari_ditto.engine.examples import thumbnail

        yield Progress("read", text="reading the example")
        return thumbnail(example)

    def sharpen(
        self, setup: Setup, example: PlaneExample
    ) -> Generator[Progress, None, PlaneExample]:
        """Return an example with its rough labels replaced by what the model outlines."""
        from napari_ditto.engine.examples import sharpen_steps

        model = yield from self.workshop.load(setup.model, setup.device)
        return (yield from sharpen_steps(example, model, self.workshop.embeddings()))

    def save(
        self, setup: Setup, examples: Sequence[PlaneExample], path: Path
    ) -> Generator[Progress, None, None]:
        """Write a set of examples to one file."""
        from napari_ditto.data.example_file import save_examples

        model = yield from self.workshop.load(setup.model, setup.device)
        yield Progress("write", text=f"writing {path.name}")
        save_examples(path, examples, model.spec.key)

    def load(
        self, path: Path
    ) -> Generator[Progress, None, tuple[tuple[PlaneExample, Picture], ...]]:
        """Return the examples of a file with their thumbnails."""
        from napari_ditto.data.example_file import load_examples
        from napari_ditto.engine.examples import thumbnail

        yield Progress("read", text=f"reading {path.name}")
        return tuple((example, thumbnail(example)) for example in load_examples(path).examples)

    # --- more like this --------------------------------------------------------------------------

    def estimate(self, setup: Setup, work: Work) -> Generator[Progress, None, Estimate]:
        """Return what it takes to look at some planes for some objects."""
        from napari_ditto.core.tiling import Grid
        from napari_ditto.models.device import available_memory
        from napari_ditto.models.estimate import context_estimate, estimate

        spec = (yield from self.workshop.load(setup.model, setup.device)).spec
        free = available_memory(spec.device)
        tiles = Grid(work.shape, spec.input_size).count * work.planes
        if spec.per_example:
            kinds = work.kinds
            return context_estimate(spec, tiles, work.examples, classes=kinds, available=free)
        prompts = work.objects * work.planes
        return estimate(spec, tiles + work.examples, prompts, available=free)

    def like(
        self,
        setup: Setup,
        examples: Sequence[PlaneExample],
        address: PlaneAddress,
        region: Box | None,
        threshold: float,
        *,
        one_kind: bool,
        memory: Memory | None = None,
        before: Liked | None = None,
    ) -> Generator[Progress, None, Liked]:
        """Find what is like the examples, and write what is sure enough.

        It goes into new labels, or into those of an earlier search in place of what that found.
        """
        from napari_ditto.engine.context import segment_like_steps
        from napari_ditto.engine.examples import weigh_steps

        model = yield from self._context_model(setup)
        cache, source = self.workshop.embeddings(), setup.source
        alike = yield from weigh_steps(examples, source, address, model, cache)
        result = yield from segment_like_steps(
            source, examples, model, address,
            instances=one_kind, region=region, memory=memory, cache=cache,
        )  # fmt: skip
        yield Progress("write", text="writing the labels")
        nothing = np.zeros(result.box.shape, dtype=np.uint32)
        store = before.store if before else self.workshop.make_labels(source)
        if before:
            gone = np.zeros_like(before.labels)
            write_plane(store, before.address, before.result.box, before.labels, gone)
        empty = Liked(result, address, store, nothing, (), (), alike, model.spec.key)
        return rewrite(empty, threshold)

    def above(self, liked: Liked, threshold: float) -> Generator[Progress, None, Liked]:
        """Show what is at least so sure, without asking the model."""
        yield Progress("write", text="choosing by confidence")
        return rewrite(liked, threshold)

    def _context_model(self, setup: Setup) -> Generator[Progress, None, ContextModel]:
        model = yield from self.workshop.load(setup.model, setup.device)
        if not isinstance(model, ContextModel):
            raise ModelError(
                f"{model.spec.id} does not learn from examples",
                todo="Choose another model, such as ditto",
            )
        return model

    # --- through time ----------------------------------------------------------------------------

    def track(
        self, setup: Setup, way: Way, store: LabelStore, examples: Sequence[PlaneExample]
    ) -> Generator[Progress, None, Linked]:
        """Find cells frame by frame and link them, writing to the store."""
        from napari_ditto.engine.tracking import track_steps

        model = yield from self._context_model(setup)
        axis = way.axes[0]
        cache = self.workshop.embeddings()
        return (
            yield from track_steps(
                setup.source, examples, model,
                axis=axis, within=way.within[axis], cache=cache, out=store,
            )
        )  # fmt: skip

    def export(
        self, setup: Setup, axis: str, tracks: Linked, path: Path
    ) -> Generator[Progress, None, None]:
        """Write tracks: as GEFF where the name ends so, for the CTC tools otherwise."""
        from napari_ditto.data.ctc import write_ctc
        from napari_ditto.data.geff_file import write_geff
        from napari_ditto.engine.frames import Frames

        yield Progress("write", text=f"writing {path.name}")
        if path.suffix == ".geff":
            write_geff(path, tracks.lineage, scores=tracks.scores)
        else:
            labels = cast("Sliceable", tracks.labels)
            write_ctc(path, Frames(labels, setup.source.axes, axis), tracks.lineage)

    # --- tuned prompts ---------------------------------------------------------------------------

    def tune(
        self,
        setup: Setup,
        examples: Sequence[PlaneExample],
        name: str,
        seconds: float,
        *,
        one_kind: bool,
    ) -> Generator[Progress, None, tuple[Tuned, tuple[str, ...]]]:
        """Fit what the model keeps of the examples better to them, and save it under a name.

        Returns
        -------
        Tuned
            What came of it.
        tuple of str
            The names of all tuned prompts for the model.
        """
        from napari_ditto.engine.tuning import tune_steps
        from napari_ditto.models.tuned import check_name, list_tuned, save_tuned

        model = yield from self._context_model(setup)
        check_name(name, model.spec.key)  # told now, not after the minute
        tuned = yield from tune_steps(
            examples, model, source=setup.source, instances=one_kind,
            seconds=seconds, cache=self.workshop.embeddings(), name=name,
        )  # fmt: skip
        yield Progress("write", text=f"saving {name}")
        save_tuned(tuned)
        return tuned, tuple(entry.name for entry in list_tuned(model.spec.key))

    def list_tuned(self, name: str, device: str) -> Generator[Progress, None, tuple[str, ...]]:
        """Return the names of the tuned prompts for a model."""
        from napari_ditto.models.tuned import list_tuned

        model = yield from self.workshop.load(name, device)
        return tuple(entry.name for entry in list_tuned(model.spec.key))

    def load_tuned(self, setup: Setup, name: str) -> Generator[Progress, None, Tuned]:
        """Return a tuned prompt; one of another model is refused."""
        from napari_ditto.models.tuned import load_tuned

        model = yield from self.workshop.load(setup.model, setup.device)
        return load_tuned(name, model.spec.key)


def rewrite(liked: Liked, threshold: float) -> Liked:
    """Write what is at least so sure over what was written last; edits by hand stay."""
    labels, scores = liked.result.above(threshold)
    write_plane(liked.store, liked.address, liked.result.box, liked.labels, labels)
    ids = tuple(range(1, len(scores) + 1)) if liked.result.instances else liked.result.classes
    return replace(liked, labels=labels, ids=ids, scores=tuple(float(s) for s in scores))
