"""The way back to Qt's main thread, and calls that wait until things calm down."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]


class MainThread(QObject):
    """Calls functions on the thread it was made in, in the order they were posted."""

    _posted = QtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        self._posted.connect(self._call, Qt.ConnectionType.QueuedConnection)

    def post(self, call: Callable[[], None]) -> None:
        """Have `call` called by the event loop; safe from any thread."""
        self._posted.emit(call)

    def _call(self, call: Callable[[], None]) -> None:
        call()


class Debounce(QObject):
    """Calls a function once, when `milliseconds` have gone by without another request.

    Zero means: when the event loop is next idle, so that many events of one click count once.
    """

    def __init__(
        self, call: Callable[[], None], milliseconds: int = 0, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._call = call
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        # A slot that is not a method of a QObject is held where no collector looks.
        self._timer.timeout.connect(self._on_timeout)

    def __call__(self, *_: object) -> None:
        """Ask for the call; arguments are ignored, so that any event can be connected."""
        if self._lives():
            self._timer.start()

    def ask(self, *_: object) -> None:
        """Do the same; of an object that Qt has taken, napari disconnects a method alone."""
        self()

    def _on_timeout(self) -> None:
        self._call()

    def stop(self) -> None:
        """Forget what was asked for."""
        if self._lives():
            self._timer.stop()

    def _lives(self) -> bool:
        """Return False once Qt has taken the timer along with its window."""
        return bool(isalive(self._timer))  # type: ignore[no-untyped-call]
