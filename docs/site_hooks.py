"""Hooks of mkdocs: all decisions in the navigation, and the pages at the top of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TOP_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md")
"""Where GitHub looks for them; in the site they are pages as all others."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace a folder in the navigation by its pages."""
    config.nav = expanded(config.nav, Path(config.docs_dir))
    return config


def expanded(entry: Any, docs: Path) -> Any:
    """Return a part of the navigation in which every ``folder/`` is the list of its pages."""
    if isinstance(entry, list):
        return [expanded(e, docs) for e in entry]
    if isinstance(entry, dict):
        return {title: expanded(e, docs) for title, e in entry.items()}
    if not entry.endswith("/"):
        return entry
    return [f"{entry}{page.name}" for page in sorted((docs / entry).glob("*.md"))]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from the top of the repository."""
    for name in TOP_PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=re.sub(r"\]\(docs/", "](", text)))
    return files
