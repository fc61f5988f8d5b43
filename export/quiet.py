"""Keeps the notes of other libraries off the terminal while one of them works."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def errors_only(names: Sequence[str], prints: bool = False) -> Iterator[None]:
    """Show no warnings, and only errors of the named loggers; with `prints`, hide what is printed to stdout too."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    hidden = contextlib.redirect_stdout(io.StringIO()) if prints else contextlib.nullcontext()
    try:
        with hidden, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
