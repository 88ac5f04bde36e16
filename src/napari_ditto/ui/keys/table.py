"""Which keys do what: our defaults, and what the user has chosen instead.

A key that somebody else needs, or that is none, is refused with one line and the default stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from psygnal import Signal

from napari_ditto.ui.keys.spelling import canonical, problem, spelt

Keys = tuple[str, ...]


class KeyTable:
    """The keys of all actions, by the name of the action.

    Parameters
    ----------
    defaults : mapping of str to tuple of str
        What each action has at first; no key is in it twice.
    """

    changed = Signal()
    """An action has other keys now."""

    def __init__(self, defaults: Mapping[str, Keys]) -> None:
        self.defaults = dict(defaults)
        self._chosen: dict[str, Keys] = {}

    def __getitem__(self, action: str) -> Keys:
        """Return the keys of an action, the one to show first."""
        return self._chosen.get(action, self.defaults[action])

    def choose(self, wanted: Mapping[str, str], taken: Mapping[str, str]) -> tuple[str, ...]:
        """Let the user's keys take the place of the defaults, as far as they can.

        Parameters
        ----------
        wanted : mapping of str to str
            By action: its keys as the user writes them, ``"Ctrl+Z, U"``; ``""`` for none. An
            action that is not named has its defaults.
        taken : mapping of str to str
            Keys that others need, as :func:`~napari_ditto.ui.keys.spelling.canonical` writes
            them, and what they do there.

        Returns
        -------
        tuple of str
            One line for each action whose keys were refused; it has its defaults.
        """
        chosen, notes = {}, []
        for action, text in wanted.items():
            keys = spelt(text)
            wrong = "" if action in self.defaults else "there is no such action"
            wrong = wrong or next(filter(None, (problem(key, taken) for key in keys)), "")
            if wrong:
                notes.append(_refused(action, text, wrong))
            elif keys != self.defaults[action]:
                chosen[action] = keys
        while rivals := _rivals({**self.defaults, **chosen}, chosen):
            action, other = rivals
            notes.append(_refused(action, ", ".join(chosen.pop(action)), f"it is for {other}"))
        before, self._chosen = self._chosen, chosen
        if before != chosen:
            self.changed.emit()
        return tuple(notes)


def _rivals(keys: Mapping[str, Keys], chosen: Mapping[str, Keys]) -> tuple[str, str] | None:
    """Return a chosen action whose key another one has, and that one; the later choice loses.

    All keys are looked at together, so that two actions may swap theirs.
    """
    owner: dict[str, str] = {}
    for action in sorted(keys, key=lambda name: name in chosen):
        for key in map(canonical, keys[action]):
            other = owner.setdefault(key, action)
            if other != action:
                return action, other
    return None


def _refused(action: str, text: str, why: str) -> str:
    return f"key '{text}' for {action} is not used: {why}"
