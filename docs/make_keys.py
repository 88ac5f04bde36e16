"""Write what tells of keys from the one table: a page, and the settings in the manifest.

python docs/make_keys.py
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_ditto.ui.keymap import ACTIONS
from napari_ditto.ui.keys.part import default_text
from napari_ditto.ui.keys.state import topics

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "howto" / "keyboard.md"
MANIFEST = ROOT / "src" / "napari_ditto" / "napari.yaml"
START, END = "<!-- keys: written by docs/make_keys.py -->", "<!-- end of keys -->"
SECTION = re.compile(r"^    keys:\n(?: {5,}.*\n)*", re.MULTILINE)


def table() -> str:
    """Return all keys as Markdown tables, one for each topic."""
    return "\n".join(
        f"### {topic.title}\n\n| Key | | |\n|---|---|---|\n"
        + "".join(
            f"| {' or '.join(f'`{key}`' for key in line.keys)} | {line.label} | {line.help} |\n"
            for line in topic.lines
        )
        for topic in topics()
    )


def page(text: str) -> str:
    """Return the page with its tables written anew."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{table()}\n{END}{after}"


def settings() -> str:
    """Return the section of the manifest that declares a setting for each action."""
    lines = ["    keys:", "      title: Keys", "      properties:"]
    for name, action in ACTIONS.items():
        if action.topic == "Docks":
            continue
        lines += [
            f"        {name}:",
            "          type: string",
            f"          title: {action.topic}, {action.label}".replace("…", ""),
            f'          description: "{_quoted(action.help)}"',
            f'          default: "{default_text(name)}"',
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', "'")


def manifest(text: str) -> str:
    """Return the manifest with its section written anew."""
    return SECTION.sub("", text) + settings()


def main() -> None:
    """Write both."""
    for path, made in ((PAGE, page), (MANIFEST, manifest)):
        path.write_text(made(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
