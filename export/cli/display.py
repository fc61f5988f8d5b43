"""What commands show while they work: progress on stderr, and only the warnings that are ours."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.cli.terminal import printable
from mobile_diffusion.progress import Progress

OURS = ("mobile_diffusion", "export")


def quiet_libraries() -> None:
    """Show our own warnings, but only the errors of other libraries."""
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PrintableFormatter())
    for name in OURS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it raises what it logs, and that becomes our own line


class PrintableFormatter(logging.Formatter):
    """The message alone, with control characters as their escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return printable(super().format(record))


def verdict(compared: Sequence[str], others: Sequence[str]) -> str:
    """The end of the last line: the result for the runtimes that were compared with PyTorch, and what was not run."""
    passed = "all gates passed" if compared else "nothing was compared with PyTorch"
    return f"{passed}; cannot run on this computer: {', '.join(others)}" if others else passed


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """The bar of a command that exports or draws, which also quiets the libraries that it runs."""
    quiet_libraries()
    with draw_progress() as report:
        yield report
