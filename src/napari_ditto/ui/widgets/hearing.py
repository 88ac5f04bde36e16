"""Functions as slots of Qt signals, held where the garbage collector sees them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject


def hear(owner: QObject, signal: Any, call: Callable[..., object]) -> None:  # noqa: ANN401
    """Call a function with the arguments of a Qt signal, as long as `owner` lives.

    PySide holds a lambda or a partial that it calls in C++, and with it a widget that nobody
    shows any more; it does not hold the methods of a QObject.
    """
    with suppress(LookupError):
        signal = signal[bool]  # clicked, triggered: PySide leaves out what has a default
    signal.connect(_Ear(owner, call).hear)


class _Ear(QObject):
    def __init__(self, owner: QObject, call: Callable[..., object]) -> None:
        super().__init__(owner)
        self._call = call

    def hear(self, *arguments: object) -> None:
        self._call(*arguments)
