"""Import Hugging Face transformers, also beside a torchvision that does not fit PyTorch.

Transformers asks only whether a package called torchvision is there, and then imports it; one
built for another PyTorch ("operator torchvision::nms does not exist") takes transformers with
it. We need no torchvision. Hiding a broken one (``sys.modules[name] = None`` is the import
system's own way to say "not there") is all that it takes, and harms nobody: whoever imports it
gets an ImportError instead of another error.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib import import_module
from typing import Any


@cache
def torchvision_problem() -> str | None:
    """Return why the installed torchvision cannot be used; None if it works or is not there."""
    if importlib.util.find_spec("torchvision") is None:
        return None
    try:
        import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError, OSError, KeyError) as error:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        return f"torchvision does not fit this PyTorch: {error}"
    return None


def transformers() -> Any:  # noqa: ANN401
    """Return the package transformers, imported safely."""
    torchvision_problem()
    return import_module("transformers")
