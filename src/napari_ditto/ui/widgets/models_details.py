"""One model in full: what it is good at, what it costs, and what can be done with it."""

from __future__ import annotations

from functools import partial
from html import escape

from psygnal import Signal
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QGuiApplication
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_ditto.ui.models.state import ModelDetails
from napari_ditto.ui.widgets.buttons import PRIMARY
from napari_ditto.ui.widgets.hearing import hear
from napari_ditto.ui.widgets.layout import line, row

_FACTS = ("reads", "size", "licence", "hash", "citation", "source")
_NAMES = {
    "reads": "You give it",
    "size": "Download",
    "licence": "Licence",
    "hash": "Fingerprint",
    "citation": "To cite",
    "source": "From",
}
_TIPS = {
    "hash": "SHA-256 of its file: the same digits mean the very same model",
    "licence": "Of the weights; Ditto itself is BSD-3-Clause",
}


class ModelPanel(QWidget):
    """Shows a model; tells which button was pressed."""

    asked = Signal(str)
    """What to do with the model on show: "use", "get", "measure", ..."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: ModelDetails | None = None
        self.title, self.badge, self.speed = _text(self), _text(self), _text(self)
        self.title.setStyleSheet("font-weight: 600; font-size: 14px;")
        self.words = _text(self)
        self.facts = {name: _text(self) for name in _FACTS}
        self.use = self._button("use", "Use this one").make_primary()
        self.get = self._button("get", "Download").make_primary()
        self.discard = self._button("discard", "Throw away what is here")
        self.remove = self._button("remove", "Remove")
        self.measure = self._button("measure", "Measure speed")
        self.measure.setToolTip("How long a tile and a prompt take on this computer; half a minute")
        self.verify = self._button("verify", "Check fingerprint")
        self.page = _Button("Open its page", self)
        hear(self, self.page.clicked, lambda _: self._open_page())
        self.cite = _Button("Copy citation", self)
        self.bibtex = _Button("Copy BibTeX", self)
        hear(self, self.cite.clicked, lambda _: self._copy("citation"))
        hear(self, self.bibtex.clicked, lambda _: self._copy("bibtex"))
        self._lay_out()

    def _button(self, verb: str, label: str) -> _Button:
        button = _Button(label, self)
        hear(self, button.clicked, partial(self._ask, verb))
        return button

    def _ask(self, verb: str, _: bool = False) -> None:
        self.asked.emit(verb)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        for name, label in self.facts.items():
            form.addRow(_NAMES[name], label)
            label.setToolTip(_TIPS.get(name, ""))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for widget in (self.title, self.badge, self.speed):
            layout.addWidget(widget)
        layout.addLayout(row(self.use, self.measure, self.get, self.page))
        layout.addLayout(row(self.discard))
        layout.addWidget(line())
        layout.addWidget(self.words)
        layout.addLayout(form)
        layout.addLayout(row(self.cite, self.bibtex))
        layout.addLayout(row(self.verify, self.remove))
        layout.addStretch(1)
        for button in (self.get, self.page, self.discard, self.remove):
            button.hide()  # all of them side by side would widen the dock for good

    def show_details(self, details: ModelDetails) -> None:
        """Show a model."""
        if details == self._shown:
            return
        self._shown = details
        self.title.setText(details.title)
        self.badge.setText(details.badge)
        self.words.setText(_words(details))
        for name, label in self.facts.items():
            label.setText(_breakable(getattr(details, name)))
            label.setVisible(bool(getattr(details, name)))
        self.speed.setText(f"Speed here: {details.speed}")
        self.use.setText(details.use_label)
        self.use.setEnabled(details.can_use)
        self.get.setText(details.get_label)
        self.get.setVisible(bool(details.get_label))
        self.get.setEnabled(details.can_get)
        self.discard.setVisible(details.can_discard)
        self.remove.setVisible(details.can_remove)
        self.measure.setEnabled(details.can_measure)
        self.measure.setVisible(details.here)
        self.speed.setVisible(details.here)
        self.verify.setVisible(details.here)
        self.use.setVisible(details.here)
        self.page.setVisible(not details.here and details.source.startswith("https://"))
        self.verify.setEnabled(details.can_verify)

    def _open_page(self) -> None:
        if self._shown is not None:
            QDesktopServices.openUrl(QUrl(self._shown.source))

    def _copy(self, name: str) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None and self._shown is not None:
            clipboard.setText(getattr(self._shown, name))


class _Button(QPushButton):
    def __init__(self, label: str, parent: QWidget) -> None:
        super().__init__(label, parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def make_primary(self) -> _Button:
        """Mark it as the thing to do next."""
        self.setStyleSheet(PRIMARY)
        return self


def _text(parent: QWidget) -> QLabel:
    label = QLabel(parent)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    return label


def _words(details: ModelDetails) -> str:
    """Return what a model is good at and how that is known, as rich text."""
    parts = (
        ("Good at", details.good_at),
        ("Less good at", details.less_good_at),
        ("How we know", details.evidence),
    )
    told = "<br><br>".join(f"<b>{name}</b><br>{escape(text)}" for name, text in parts)
    if not details.figures:
        return told
    rows = "".join(
        f"<tr><td>{escape(name)}&nbsp;&nbsp;</td><td align=right>{click:.2f}&nbsp;&nbsp;</td>"
        f"<td align=right>{box:.2f}</td></tr>"
        for name, click, box in details.figures
    )
    head = "<tr><td></td><td><i>one click</i>&nbsp;&nbsp;</td><td><i>box</i></td></tr>"
    return f"{told}<table>{head}{rows}</table>"


def _breakable(text: str) -> str:
    """Return a text that may be broken after a slash, so that an address widens no dock."""
    return text.replace("/", "/\u200b")
