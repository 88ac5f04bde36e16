"""Parse the command line, run one command, turn errors into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from napari_ditto import __version__
from napari_ditto.cli.console import Console
from napari_ditto.errors import DittoError, JobCancelled

PROGRAM = "napari-ditto"
COMMANDS = {
    "demo": "Label real images, print the figures, and say where to look",
    "demo-large": (
        "Label a slide of 30,000 x 30,000 pixels, kill the process on the way, go on, "
        "print the figures"
    ),
    "info": "Say how an image would be read: axes, levels, chunks, window, tiles and cost",
    "encode": "Fill the cache with the embeddings of a plane, so that every click on it is quick",
    "prompt": "Label one object by clicks and a box",
    "all": "Label every object of a plane, or of a whole image of any size",
    "like": "Find more of what examples show, in a plane or a whole image of any size",
    "propagate": "Carry labels from a few planes through a stack or a movie",
    "run": "Do or go on with a whole-image run that was planned or begun",
    "tracks": "Track the cells of a movie, with their divisions",
    "tune": "Fit what a model keeps of examples to them, and keep it under a name",
    "export": "Write labels for other programs",
    "import": "Make a label image of what another program wrote",
    "evaluate": "Measure models on labelled images, by simulated prompts and by examples",
    "journal": (
        "List the journals of annotation sessions, look into one, or make labels of it again"
    ),
    "session": "Look into a saved session, or make its labels again from its prompts and compare",
    "models": (
        "List the models; get, add, check, measure and remove them: "
        'what the dock "Ditto models" does'
    ),
    "cache": "Show or clear the cache of embeddings",
    "doctor": "Look at this machine and say what will not work, and what to do about it",
}
"""What each command does, as its module says; asking for help imports none of them."""

_ELSEWHERE = {"all": "label", "import": "import_labels"}
OK, CRASHED, REFUSED, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"{PROGRAM}: {message} ('{self.prog} --help' tells more)\n")


def command_module(name: str) -> ModuleType:
    """Return the module of a command; what it imports at its top is imported."""
    return import_module(f"napari_ditto.cli.{_ELSEWHERE.get(name, name.replace('-', '_'))}")


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command; each module adds its own options.

    Parameters
    ----------
    only : str, optional
        The command that will be given: the others are listed, and their modules not imported.
    """
    parser = _Parser(
        prog=PROGRAM,
        description="Segment images by prompt and by example, without a window.",
        epilog=f"'{PROGRAM} COMMAND --help' tells more about one command.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        sub = subparsers.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if only in (None, name):
            _add_options(sub, command_module(name))
    return parser


def _add_options(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    summary, _, more = (module.__doc__ or "").partition("\n")
    parser.description = f"{summary}\n{more}".strip()
    module.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its status.

    0 done, 1 a fault of ours, 2 what the user can mend, 3 done with failed tiles, 130 stopped.
    """
    try:
        try:
            given = sys.argv[1:] if argv is None else list(argv)
            # No option before the command takes a value.
            command = next((word for word in given if not word.startswith("-")), "")
            return _run(build_parser(command).parse_args(given))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away. Nor may Python complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run(args: argparse.Namespace) -> int:
    try:
        return int(command_module(args.command).run(args, Console(json=args.json)))
    except JobCancelled as error:
        return _fail(error, INTERRUPTED, debug=args.debug)
    except DittoError as error:
        return _fail(error, REFUSED, debug=args.debug)
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: one line, never a traceback
        hint = f"{type(error).__name__}: {error} (--debug shows where)"
        return _fail(hint, CRASHED, debug=args.debug)


def _fail(reason: object, status: int, *, debug: bool) -> int:
    if debug:
        raise
    print(f"{PROGRAM}: {' '.join(str(reason).split())}", file=sys.stderr)
    return status
