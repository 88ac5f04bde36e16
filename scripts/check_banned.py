"""Refuse calls that run foreign code, skip a security check or unpack archives.

ruff's S rules see most of it; they cannot be trusted with keyword arguments of unknown functions,
and a ``noqa`` switches them off. Nothing switches this off.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
METHODS = {"extractall", "unpack_archive", "_create_unverified_context"}
BUILTINS = {"eval", "exec"}
KEYWORDS = {"allow_pickle": True, "verify": False, "weights_only": False}


def banned(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and reason for every banned thing in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            # The errors of a module may be caught; nothing else of it is for us.
            loads = [a.name for a in node.names if not a.name.endswith("Error")]
            yield from ((node.lineno, f"{node.module}.{name}") for name in loads)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, reason) for reason in banned_call(node))


def banned_call(call: ast.Call) -> Iterator[str]:
    """Yield why a call is banned."""
    name = ast.unparse(call.func)
    given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
    if name in BUILTINS or name.rpartition(".")[2] in METHODS:
        yield f"{name}()"
    if name == "torch.load" and given.get("weights_only") is not True:
        yield "torch.load() without weights_only=True"
    yield from (f"{key}={bad}" for key, bad in KEYWORDS.items() if given.get(key) is bad)


def main(paths: list[str]) -> int:
    """Print what is banned; return 1 if there is any."""
    files = [Path(p) for p in paths] or sorted((ROOT / "src").rglob("*.py"))
    faults = [
        f"{file}:{line}: banned: {reason}"
        for file in files
        for line, reason in banned(ast.parse(file.read_text()))
    ]
    print("\n".join(faults) if faults else f"no banned call in {len(files)} files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
