"""The documentation builds as a site without a complaint, and needs nobody else's server."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCTOR = ROOT / "src/napari_ditto/cli/doctor.py"
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


def pages(site: Path) -> list[Path]:
    """The error page is made for the root of a server."""
    return [p for p in site.rglob("*.html") if p.name != "404.html"]


class Resources(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if names.get("rel") not in {"canonical", "prev", "next"}:
            self.found += [v for k, v in attrs if (tag, k) in LOADED and v]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build once; ``--strict`` makes a wrong link, anchor, image or a page left out an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    wanted = {p.relative_to(ROOT / "docs").with_suffix(".html") for p in ROOT.glob("docs/**/*.md")}
    built = {p.relative_to(site) for p in pages(site)}
    assert {p for p in wanted if p.name != "README.html"} <= built
    assert Path("index.html") in built


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        reader = Resources()
        reader.feed(page.read_text(encoding="utf-8"))
        assert [r for r in reader.found if "//" in r] == [], page
        local = [r.partition("?")[0] for r in reader.found if not r.startswith("data:")]
        assert [r for r in local if not (page.parent / r).exists()] == [], page
    styles = [s.read_text(encoding="utf-8") for s in site.rglob("*.css")]
    assert not any(re.search(r"url\(['\"]?(https?:)?//", s) for s in styles)


def test_tables_and_lists_are_recognised(site: Path) -> None:
    """Markdown that only GitHub understands would show as text."""
    for page in pages(site):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<p>[^<]*\n(\||- |1\. )", text), page


# --- troubleshooting and doctor ----------------------------------------------------------------


def findings() -> set[str]:
    """Return the names of everything that doctor can find, read off its source."""
    calls = [n for n in ast.walk(ast.parse(DOCTOR.read_text())) if isinstance(n, ast.Call)]
    named = [c for c in calls if getattr(c.func, "id", "") in {"Check", "place", "probed"}]
    first = [c.args[0].value for c in named if isinstance(c.args[0], ast.Constant)]
    return {str(name) for name in first} - {"Python", "cache content", "weights"}  # only facts


def anchor(name: str) -> str:
    return re.sub(r"[^\w]+", "-", name.lower())


def test_troubleshooting_has_a_section_for_all_that_doctor_finds(site: Path) -> None:
    page = (site / "troubleshooting.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'<h3 id="([^"]+)"', page))
    assert {"display", "cache", "torchvision fits torch"} <= findings()
    wanted = {anchor(name) for name in findings()} | {"packages"}
    assert wanted - anchors == set()


# --- ten tasks ----------------------------------------------------------------------------------

REPEATED = re.compile(r"(\d+) × \(([^)]*)\)")


def steps(told: str) -> int:
    """Return how many steps a line lists, its source at the end left out."""
    listed = told.rpartition(" (")[0]
    repeated = sum(int(times) * len(part.split(",")) for times, part in REPEATED.findall(listed))
    return repeated + len([s for s in REPEATED.sub("", listed).split(",") if s.strip()])


def test_ten_tasks_take_fewer_steps_and_are_counted_as_listed() -> None:
    page = (ROOT / "docs/explain/steps.md").read_text().splitlines()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in page if line.startswith("| ")]
    tasks = [row for row in rows if row[0].isdigit()]
    assert len(tasks) == 10
    for _, task, ours, theirs, _, told in tasks:
        assert int(ours.strip("*")) < int(theirs), task
        assert steps(told) == int(theirs), task


# --- what other sites read ----------------------------------------------------------------------

CFF_KEYS = {
    *("cff-version", "message", "title", "authors", "type", "version", "license", "abstract"),
    *("keywords", "date-released", "doi", "url", "repository-code", "references", "identifiers"),
    *("preferred-citation", "commit", "contact", "license-url", "repository"),
    "repository-artifact",
}
"""All keys of the schema 1.2.0 of the Citation File Format; it allows no others."""


def test_the_citation_is_of_this_version_and_keeps_the_schema() -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(cff) <= CFF_KEYS
    assert cff["cff-version"] == "1.2.0"
    assert all(isinstance(cff[k], str) and cff[k] for k in ("message", "title", "abstract"))
    assert cff["type"] in {"software", "dataset"}
    assert all("name" in a or {"family-names", "given-names"} & set(a) for a in cff["authors"])
    assert (cff["version"], cff["license"]) == (project["version"], project["license"])
    assert len(set(cff["keywords"])) == len(cff["keywords"]) > 0


def test_the_hub_is_told_who_and_what() -> None:
    config = yaml.safe_load((ROOT / ".napari-hub/config.yml").read_text())
    assert set(config) <= {"summary", "authors", "labels", "visibility", "project_urls"}
    assert len(config["summary"]) <= 200
    assert all(a["name"] for a in config["authors"])
    assert config["labels"]["terms"]
    assert (ROOT / ".napari-hub/DESCRIPTION.md").read_text().startswith("# napari-ditto")


@pytest.mark.parametrize("name", ["bug", "masks", "idea"])
def test_issue_forms_are_what_github_takes(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = [f for f in form["body"] if f["type"] != "markdown"]
    assert all(f["attributes"]["label"] for f in fields)
    assert len({f["id"] for f in fields}) == len(fields)
    kinds = {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    assert {f["type"] for f in form["body"]} <= kinds
    assert all(
        f["attributes"]["options"] for f in fields if f["type"] in {"dropdown", "checkboxes"}
    )
