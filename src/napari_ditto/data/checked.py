"""Reading JSON that others may have written: every value is checked before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

MAX_TEXT = 4096
MAX_ROWS = 1 << 20


class Misfit(ValueError):
    """A value is missing, of another type, or out of bounds; the message says which."""


def parse(raw: bytes) -> Facts:
    """Return the object that a JSON document is.

    Raises
    ------
    Misfit
        If it is none, or nested too deep.
    """
    try:
        return Facts(json.loads(raw, parse_constant=_no_constant))
    except RecursionError as error:
        raise Misfit("it is nested too deep") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise Misfit(f"it is no JSON: {str(error)[:80]}") from error


def _no_constant(name: str) -> float:
    raise Misfit(f"{name} is no number")


class Facts:
    """An object of a JSON document.

    Each method returns one entry if it is what is asked for, and raises :class:`Misfit` if not.
    """

    def __init__(self, told: object, where: str = "it") -> None:
        if not isinstance(told, dict):
            raise Misfit(f"{where} is {told!r:.40}, not an entry")
        self.told: dict[str, Any] = told

    def __contains__(self, name: str) -> bool:
        return self.told.get(name) is not None

    def text(self, name: str, default: str | None = None, most: int = MAX_TEXT) -> str:
        """Return a text of at most `most` characters."""
        return _text(self.told.get(name, default), name, most)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return true or false."""
        value = self.told.get(name, default)
        if not isinstance(value, bool):
            raise Misfit(f"{name} is {value!r:.40}, not true or false")
        return value

    def whole(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return _whole(self.told.get(name), name, low, high)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number."""
        return _number(self.told.get(name, default), name)

    def choice(self, name: str, among: Sequence[str]) -> str:
        """Return one of some words."""
        value = self.text(name)
        if value not in among:
            raise Misfit(f"{name} is {value!r:.40}, not one of {', '.join(among)}")
        return value

    def facts(self, name: str) -> Facts:
        """Return an entry with entries of its own; a missing one is empty."""
        return Facts(self.told.get(name, {}), name)

    def rows(self, name: str, most: int = MAX_ROWS) -> list[Facts]:
        """Return a list of entries; a missing one is empty."""
        return [Facts(row, name) for row in self.items(name, most)]

    def texts(self, name: str, most: int = MAX_ROWS) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(_text(item, name, MAX_TEXT) for item in self.items(name, most))

    def wholes(self, name: str, most: int = MAX_ROWS, low: int = 0) -> tuple[int, ...]:
        """Return a list of whole numbers, none below `low`."""
        return tuple(_whole(item, name, low, 2**63 - 1) for item in self.items(name, most))

    def numbers(
        self, name: str, count: int | None = None, most: int = MAX_ROWS
    ) -> tuple[float, ...]:
        """Return a list of finite numbers, `count` of them if that is given."""
        found = tuple(_number(item, name) for item in self.items(name, most))
        if count is not None and len(found) != count:
            raise Misfit(f"{name} has {len(found)} numbers, not {count}")
        return found

    def items(self, name: str, most: int = MAX_ROWS) -> list[Any]:
        """Return a list of at most `most` items, whatever they are; a missing one is empty."""
        found = self.told.get(name, [])
        if not isinstance(found, list) or len(found) > most:
            raise Misfit(f"{name} is no list of at most {most:,}")
        return found


def _text(value: object, name: str, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or "\0" in value:
        raise Misfit(f"{name} is {value!r:.40}, not a text of at most {most:,} characters")
    return value


def _whole(value: object, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Misfit(f"{name} is {value!r:.40}, not a whole number from {low} to {high}")
    return value


def _number(value: object, name: str) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(float(value)):  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
    except OverflowError:
        pass
    raise Misfit(f"{name} is {value!r:.40}, not a finite number")
