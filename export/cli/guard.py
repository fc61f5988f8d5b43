"""The outermost frame of every command: errors become one line and an exit status.

Status 2 for an input that cannot be used, 1 where a check says no, 128 + n when signal n stopped us.  An
exception that is not a `MobileDiffusionError` is a defect and keeps its traceback.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from mobile_diffusion.errors import MobileDiffusionError

_STOPPED_BY_TYPER = 130


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop; unwinds like Ctrl-C, so that temporary folders are removed."""


def run(app: Callable[[], object]) -> NoReturn:
    """Run a typer app and leave the process with its exit status."""
    received = _raise_on_signals()
    try:
        app()
    except MobileDiffusionError as error:
        leave(one_line(error))
    except SystemExit as end:
        if end.code == _STOPPED_BY_TYPER:
            _leave_stopped(received)
        raise
    except KeyboardInterrupt:
        _leave_stopped(received)
    sys.exit(0)


def one_line(error: BaseException) -> str:
    """The error's message with every run of white space and control characters as one space."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split()) or type(error).__name__


def leave(message: str, status: int = 2) -> NoReturn:
    """Say one line on stderr and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def _raise_on_signals() -> list[int]:
    """Let SIGTERM and SIGHUP unwind the stack as SIGINT does; gives the list that a received one enters."""
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)  # let cleaning up be finished
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    return received


def _leave_stopped(received: list[int]) -> NoReturn:
    number = received[0] if received else signal.SIGINT
    leave(f"stopped by {signal.Signals(number).name} before it was finished; run it again", 128 + number)
