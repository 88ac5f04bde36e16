"""What "Segment everything here" counts as an object."""

from __future__ import annotations

from magicgui.widgets import Container, FloatSlider, SpinBox
from psygnal import Signal


class EverythingPanel:
    """A form of two limits; speaks only when the user acts."""

    edited = Signal(str, object)
    """Field of :class:`~napari_ditto.ui.session.Session`, and its new value."""

    def __init__(self) -> None:
        self.area = SpinBox(
            label="Smallest object",
            max=1_000_000,
            tooltip="Pixels; smaller ones are left out of 'Segment everything here'",
        )
        self.score = FloatSlider(
            label="Lowest score",
            max=1.0,
            step=0.05,
            tooltip="Objects that the model scores lower are left out of 'Segment everything here'",
        )
        self.form: Container[SpinBox | FloatSlider] = Container(widgets=[self.area, self.score])
        self.form.margins = (0, 0, 0, 0)
        self.area.changed.connect(lambda value: self.edited.emit("min_area_px", int(value)))
        self.score.changed.connect(lambda value: self.edited.emit("min_score", float(value)))

    def show_limits(self, min_area_px: int, min_score: float) -> None:
        """Show these limits."""
        with self.area.changed.blocked(), self.score.changed.blocked():
            self.area.value, self.score.value = min_area_px, min_score
