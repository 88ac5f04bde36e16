"""What the docs say is what the program does: code runs, links resolve, the reference is fresh."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from napari_ditto.cli import main

ROOT = Path(__file__).parents[1]
SCRIPT = "docs/make_reference.py"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
# A comment that begins with "setup" is code that readers need not see.
BLOCK = re.compile(r"^(?:```|<!-- )(\w+)\n(.*?)^(?:```|-->)$", re.MULTILINE | re.DOTALL)
PYTHON = {"python", "setup"}
RUNNABLE = [
    page for page in PAGES if page.parent.name in {"tutorials", "howto"} or page.parent == ROOT
]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_resolve(page: Path) -> None:
    targets = [t for t in LINK.findall(page.read_text()) if "://" not in t and "mailto:" not in t]
    missing = [t for t in targets if not (page.parent / t).exists()]
    assert missing == []


def commands(script: str) -> list[list[str]]:
    """The lines of a shell block that call the program or python, without prompt and comments."""
    lines = [line.removeprefix("$ ") for line in script.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [w for w in words if w and w[0] in {"napari-ditto", "python"}]


def run(words: list[str]) -> int:
    if words[0] == "python":
        return subprocess.run([sys.executable, *words[1:]], check=False, timeout=120).returncode
    return main(words[1:])


@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_code_blocks_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    blocks = [b for b in BLOCK.findall(page.read_text()) if b[0] in {*PYTHON, "bash"}]
    if not blocks:
        pytest.skip("no code on this page")
    monkeypatch.chdir(tmp_path)
    for folder in ("CACHE", "CONFIG"):  # a page may set one of them: it is put back
        monkeypatch.setenv(f"NAPARI_DITTO_{folder}", str(tmp_path / folder.lower()))
    names: dict[str, object] = {}
    for number, (language, code) in enumerate(blocks):
        if language in PYTHON:
            script = tmp_path / f"block{number}.py"
            script.write_text(code)
            found = runpy.run_path(str(script), init_globals=names)
            names |= {key: value for key, value in found.items() if not key.startswith("__")}
        for words in commands(code) if language == "bash" else ():
            assert run(words) == 0, (words, capsys.readouterr().err)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse's layout differs")
@pytest.mark.parametrize("page", ["api.md", "cli.md"])
def test_the_reference_is_fresh(page: str) -> None:
    code = f"import runpy; print(runpy.run_path('{SCRIPT}')['PAGES']['{page}'](), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == (ROOT / "docs/reference" / page).read_text(), "run make reference"


def test_the_checks_see_what_they_look_for() -> None:
    assert LINK.findall('[a](b.md#c) ![d](e/f.png "g")') == ["b.md", "e/f.png"]
    assert commands("$ napari-ditto info a.png # why\nls\nnapari-ditto \\\n all b") == [
        ["napari-ditto", "info", "a.png"],
        ["napari-ditto", "all", "b"],
    ]
