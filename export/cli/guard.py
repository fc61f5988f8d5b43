"""The outermost frame of every command: errors become one line and an exit status.

Status 2 for an input that cannot be used, 1 where a check says no, 128 + n when signal n stopped us.  An
exception that is not a `MobileDiffusionError` is a defect and keeps its traceback.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.staging import is_filling, is_removing

_STOPPED_BY_TYPER = 130
_PATIENCE = 0.5
"""Seconds until an interruption that was swallowed is raised again."""


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop; unwinds like Ctrl-C, so that temporary folders are removed."""


def run(app: Callable[[], object]) -> NoReturn:
    """Run a typer app and leave the process with its exit status."""
    os.environ.setdefault("TORCH_LOGS", "-all")  # read when torch is imported: show its errors only
    received = _raise_on_signals()
    try:
        app()
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "code", None) == _STOPPED_BY_TYPER
        if received or stopped:  # a library may have turned the interruption into an error of its own
            _leave_stopped(received)
        if isinstance(error, MobileDiffusionError):
            leave(one_line(error))
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # at exit Python gives up its handlers, and an alarm would kill
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
    """Let SIGTERM and SIGHUP unwind the stack as SIGINT does; gives the list that a received one enters.

    Libraries below us catch everything here and there, and an interruption with it, so as long as an output is being
    filled the exception is raised again every half second.  While it is removed, further signals wait.
    """
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked = number != signal.SIGALRM
        if asked:
            received.append(number)
        if is_filling():
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
        if is_filling() or (asked and not is_removing()):
            raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, stop)
    sys.unraisablehook = _hide_stopped
    return received


def _hide_stopped(ignored: sys.UnraisableHookArgs) -> None:
    """Say nothing of an interruption that came where Python cannot raise; it will come again."""
    if not issubclass(ignored.exc_type, Stopped):
        sys.__unraisablehook__(ignored)


def _leave_stopped(received: list[int]) -> NoReturn:
    number = received[0] if received else signal.SIGINT
    leave(f"stopped by {signal.Signals(number).name} before it was finished; run it again", 128 + number)
