"""What the parts behind the dock of examples share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from napari_ditto.core.geometry import Box
from napari_ditto.models.protocols import Estimate
from napari_ditto.ui.desk import Desk
from napari_ditto.ui.everything import ASK_SECONDS, question
from napari_ditto.ui.examples.jobs import ExampleJobs, Work
from napari_ditto.ui.examples.session import ExamplesSession
from napari_ditto.ui.job_values import Setup
from napari_ditto.ui.labelling import Labelling
from napari_ditto.ui.prompting import Prompting
from napari_ditto.ui.proposing import Proposing
from napari_ditto.ui.session import Session
from napari_ditto.ui.views import Scene, Stage

NOT_RUN = "Nothing was run"

LARGE_PLANE = 1 << 24
"""Of planes with more pixels only the part in view is taken as an example."""


class Asking(Protocol):
    """Who puts questions to the user."""

    def confirm(self, question: str) -> bool:
        """Ask for yes or no."""
        ...

    def ask_text(self, question: str, suggestion: str) -> str:
        """Ask for a name, ``""`` for none."""
        ...

    def ask_open(self, title: str, pattern: str) -> str:
        """Ask for a file to read, ``""`` for none."""
        ...

    def ask_save(self, title: str, suggestion: str, pattern: str) -> str:
        """Ask for a file to write, ``""`` for none."""
        ...


@dataclass(frozen=True)
class Bench:
    """One viewer's session, jobs, and the other parts of its controller.

    Attributes
    ----------
    desk, proposing, prompting, labelling
        Of the controller.
    state : ExamplesSession
        What the dock of examples shows.
    jobs : ExampleJobs
        Background jobs.
    asking : Asking
        The user.
    interrupt : callable
        Drops what is running.
    """

    desk: Desk
    state: ExamplesSession
    jobs: ExampleJobs
    proposing: Proposing
    prompting: Prompting
    labelling: Labelling
    asking: Asking
    interrupt: Callable[[], None]

    @property
    def session(self) -> Session:
        """What both docks share."""
        return self.desk.session

    @property
    def scene(self) -> Scene:
        """The viewer."""
        return self.desk.scene

    @property
    def stage(self) -> Stage:
        """Where examples are taken from and results are shown."""
        return self.desk.scene.stage

    @property
    def setup(self) -> Setup:
        """Image, model and device as chosen now."""
        return self.proposing.setup()

    def example_box(self, setup: Setup) -> Box:
        """Return the part of the plane on show that an example covers."""
        images = self.session.images
        shape = setup.source.plane_shape(self.scene.address(images))
        if shape[0] * shape[1] <= LARGE_PLANE:
            return Box.of_shape(shape)
        return self.stage.view_box(images)

    def when_agreed(self, setup: Setup, work: Work, go_on: Callable[[], None]) -> None:
        """Estimate a run, ask the user if it is long, then go on."""

        def decide(estimate: Estimate) -> None:
            if estimate.seconds > ASK_SECONDS and not self.asking.confirm(question(estimate)):
                self.session.hint = NOT_RUN
            else:
                go_on()

        self.desk.run("estimating", lambda: self.jobs.estimate(setup, work), decide)
