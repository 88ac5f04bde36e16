"""Label real images with the default model and say where to look."""

from __future__ import annotations

import argparse

from napari_ditto.cli.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command."""
    return 0
