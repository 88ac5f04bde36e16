"""Print what pyproject.toml asks for, one requirement a line.

The pip that comes with Python 3.11 and 3.12 cannot read ``[dependency-groups]`` (PEP 735), and
pyproject.toml is to stay the only place where requirements are written down.

    python scripts/dependency_groups.py project test lint | pip install -r /dev/stdin
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(names: list[str]) -> list[str]:
    """Return the requirements of some groups; ``project`` names the package's own."""
    content = tomllib.loads(PYPROJECT.read_text())
    groups = {"project": content["project"]["dependencies"], **content["dependency-groups"]}
    return [line for name in names for line in groups[name]]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
