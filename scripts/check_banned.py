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
RUN_CODE = {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNPACK = {"zipfile", "tarfile", "zipimport"}
MODULES = RUN_CODE | UNPACK
NAMES = {
    "extractall", "unpack_archive", "ZipFile",
    "_create_unverified_context", "_create_default_https_context", "CERT_NONE", "CERT_OPTIONAL",
    "unsafe_load", "UnsafeLoader", "FullLoader", "mktemp",
}  # fmt: skip
"""Attributes and imported names that are banned wherever they come from."""
ALLOWED = {"src/napari_ditto/data/zip_members.py": UNPACK | {"ZipFile"}}
"""The one module that reads and writes archives: in memory, member by member, bounded."""
CALLS = {
    "eval", "exec", "os.system", "os.popen", "torch.jit.load", "torch.hub.load",
    "ssl.wrap_socket", "xml.sax.parse",
}  # fmt: skip
KEYWORDS = {
    "allow_pickle": True, "verify": False, "weights_only": False, "shell": True,
    "trust_remote_code": True, "check_hostname": False, "ssl_verify": False,
}  # fmt: skip
SWITCHES = {"check_hostname": False, "verify_mode": 0}
"""Attributes that must not be set to such a value."""
NUMPY_LOAD = {"np.load", "numpy.load"}


def banned(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and reason for every banned thing in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if _top(a.name) in MODULES)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, reason) for reason in banned_names(node))
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Assign):
            yield from ((node.lineno, reason) for reason in banned_switch(node))
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, reason) for reason in banned_call(node))


def banned_names(node: ast.ImportFrom) -> Iterator[str]:
    """Yield the names of a ``from ... import`` that are banned."""
    for name in (alias.name for alias in node.names):
        # The errors of a module may be caught; nothing else of it is for us.
        whole = _top(node.module or "") in MODULES and not name.endswith("Error")
        if whole or name in NAMES or f"{node.module}.{name}" in CALLS:
            yield f"{node.module}.{name}"


def banned_switch(node: ast.Assign) -> Iterator[str]:
    """Yield the checks that an assignment switches off."""
    for target in node.targets:
        name = getattr(target, "attr", "")
        value = getattr(node.value, "value", None)
        if name in SWITCHES and value is not None and value == SWITCHES[name]:
            yield f"{name} = {value}"


def banned_call(call: ast.Call) -> Iterator[str]:
    """Yield why a call is banned."""
    name = ast.unparse(call.func)
    given = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
    if name in CALLS:
        yield f"{name}()"
    if name == "torch.load" and given.get("weights_only") is not True:
        yield "torch.load() without weights_only=True"
    if name == "yaml.load" and "SafeLoader" not in ast.unparse(call):
        yield "yaml.load() without SafeLoader"
    if name in NUMPY_LOAD and len(call.args) > 2:
        yield "numpy.load() with allow_pickle by position"
    if name == "getattr" and len(call.args) > 1 and getattr(call.args[1], "value", 0) in NAMES:
        yield f"{call.args[1].value} by getattr()"  # type: ignore[attr-defined]
    yield from (f"{key}={bad}" for key, bad in KEYWORDS.items() if given.get(key) is bad)


def allowed(file: Path) -> set[str]:
    """Return what one module may use nevertheless."""
    return next((names for end, names in ALLOWED.items() if file.resolve() == ROOT / end), set())


def _top(module: str) -> str:
    return module.partition(".")[0]


def main(paths: list[str]) -> int:
    """Print what is banned; return 1 if there is any."""
    files = [Path(p) for p in paths] or sorted((ROOT / "src").rglob("*.py"))
    faults = [
        f"{file}:{line}: banned: {reason}"
        for file in files
        for line, reason in banned(ast.parse(file.read_text(encoding="utf-8")))
        if reason not in allowed(file)
    ]
    print("\n".join(faults) if faults else f"no banned call in {len(files)} files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
