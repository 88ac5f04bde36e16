"""One tree of errors; each says what, where and what to do next, in one line.

::

    DittoError
    ├── SourceError          an image cannot be opened or read
    ├── PromptError          a prompt makes no sense for this plane
    ├── LabelsError          a label image does not fit, or is out of ids
    ├── StoreError           a cache or result on disk cannot be written
    ├── ModelError
    │   ├── ModelNotFoundError   unknown name, or weights that are not here
    │   ├── WeightsError         damaged, foreign or unsafe weights
    │   └── DeviceError          the device is missing or out of memory
    └── JobCancelled         the user asked for it; what is finished is kept
"""

from __future__ import annotations


class DittoError(Exception):
    """Base of all errors that a user may see.

    Parameters
    ----------
    what : str
        What is wrong, without a full stop.
    where : str, optional
        The layer, file, axis or tile it concerns.
    todo : str, optional
        What the user can do next.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        place = f" ({where})" if where else ""
        advice = f". {todo}" if todo else ""
        super().__init__(" ".join(f"{what}{place}{advice}".split()))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by parts, so that workers in other processes can raise it."""
        return (_rebuild, (type(self), self.what, self.where, self.todo))


def _rebuild(cls: type[DittoError], what: str, where: str, todo: str) -> DittoError:
    return cls(what, where=where, todo=todo)


class SourceError(DittoError):
    """An image cannot be opened or read."""


class PromptError(DittoError):
    """A prompt makes no sense for this plane."""


class LabelsError(DittoError):
    """A label image does not fit its image, or has no free id."""


class StoreError(DittoError):
    """A cache or a result on disk cannot be written."""


class ModelError(DittoError):
    """A model cannot do what was asked."""


class ModelNotFoundError(ModelError):
    """No model of this name, or its weights are not on this machine."""


class WeightsError(ModelError):
    """Weights are damaged, of another architecture, or unsafe to read."""


class DeviceError(ModelError):
    """The compute device is missing or out of memory."""


class JobCancelled(DittoError):
    """The user cancelled a job; what it had finished is kept."""
