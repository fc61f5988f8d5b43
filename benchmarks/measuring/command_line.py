"""The one way in which a script reads its arguments: `run_script(main, __doc__)`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_diffusion.errors import MobileDiffusionError

Work = Annotated[Path, typer.Option(help="Folder for what is made on the way.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each runtime.")]
Names = Annotated[list[str] | None, typer.Argument(help="Which ones; all by default.")]
Data = Annotated[Path, typer.Option(help="Folder of the data set.")]


def run_script(main: Callable[..., object], description: str | None) -> None:
    """Run `main` with the command line's arguments; the script's docstring is its help.

    Messages of the log go to stderr, results to stdout.  An error of ours ends the script in one line, status 2.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    text = "\n\n".join(f"\b\n{paragraph}" for paragraph in (description or "").strip().split("\n\n"))
    app.command(help=text)(main)
    try:
        app()
    except MobileDiffusionError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


def chosen(given: Iterable[str] | None, known: Iterable[str], what: str) -> list[str]:
    """The names that were given, all known ones for none; raises `typer.BadParameter` naming one that is unknown."""
    names, choices = list(given or ()), list(known)
    for name in names:
        if name not in choices:
            raise typer.BadParameter(f"expected a {what} of {', '.join(choices)}, got {name!r}")
    return names or choices


def one_of(known: Iterable[str], what: str) -> Any:
    """A callback for an option or argument that takes one of some names."""
    return lambda name: name if name is None else chosen([name], known, what)[0]
