"""Parse the command line, run one command, turn errors into one line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from napari_ditto import __version__
from napari_ditto.cli import (
    cache,
    demo,
    demo_large,
    doctor,
    encode,
    evaluate,
    export,
    import_labels,
    info,
    journal,
    label,
    like,
    models,
    prompt,
    propagate,
    run,
    session,
    tracks,
    tune,
)
from napari_ditto.cli.console import Console
from napari_ditto.errors import DittoError, JobCancelled

PROGRAM = "napari-ditto"
COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "demo-large": demo_large,
    "info": info,
    "encode": encode,
    "prompt": prompt,
    "all": label,
    "like": like,
    "propagate": propagate,
    "run": run,
    "tracks": tracks,
    "tune": tune,
    "export": export,
    "import": import_labels,
    "evaluate": evaluate,
    "journal": journal,
    "session": session,
    "models": models,
    "cache": cache,
    "doctor": doctor,
}
OK, CRASHED, REFUSED, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(REFUSED, f"{PROGRAM}: {message} ('{self.prog} --help' tells more)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command; each module adds its own options."""
    parser = _Parser(
        prog=PROGRAM,
        description="Segment images by prompt and by example, without a window.",
        epilog=f"'{PROGRAM} COMMAND --help' tells more about one command.",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        summary, _, more = (module.__doc__ or "").partition("\n")
        sub = subparsers.add_parser(
            name,
            help=summary.rstrip("."),
            description=f"{summary}\n{more}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print JSON on stdout")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its status.

    0 done, 1 a fault of ours, 2 what the user can mend, 3 done with failed tiles, 130 stopped.
    """
    try:
        try:
            return _run(build_parser().parse_args(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away. Nor may Python complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run(args: argparse.Namespace) -> int:
    try:
        return int(COMMANDS[args.command].run(args, Console(json=args.json)))
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
