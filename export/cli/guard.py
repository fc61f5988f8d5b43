"""Runs the command line: an error becomes one line on stderr and an exit status.

The status is 2 for an input that cannot be used, 1 for a check that failed, and 128 + n after signal n.  An exception
that is neither a `MobileDiffusionError`, nor a usage error, nor the word of a disk that is full, read-only, broken or
not ours to write, is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from typer.exceptions import TyperException

from mobile_diffusion.cli.terminal import printable
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.staging import is_filling, is_removing

_STOPPED_BY_TYPER = 130
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM)
_PATIENCE = 0.5
"""Seconds until an interruption that was swallowed is raised again."""


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop; unwinds like Ctrl-C, so that temporary folders are removed."""


def run(app: Callable[[], object]) -> NoReturn:
    """Run a command group, or any other work, and exit with its status."""
    os.environ.setdefault("TORCH_LOGS", "-all")  # read when torch is imported: show its errors only
    _never_fail_to_print()
    received = _raise_on_signals()
    status: object = 0
    try:
        status = app()
    except BaseException as error:
        if received or isinstance(error, KeyboardInterrupt):  # a library may have made it an error of its own
            _leave_stopped(received)
        if isinstance(error, MobileDiffusionError):
            leave(one_line(error))
        if isinstance(error, TyperException):
            _leave_misused(error)
        if isinstance(error, Exception) and (problem := disk_problem(error)):
            leave(problem)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # at exit Python gives up its handlers, and an alarm would kill
    if received or status == _STOPPED_BY_TYPER:
        _leave_stopped(received)
    sys.exit(status if isinstance(status, int) else 0)


def one_line(error: BaseException) -> str:
    """The error's message on one line, with control characters as their escapes."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def disk_problem(error: BaseException | None) -> str:
    """What is wrong with the disk, if an exception or what it was raised from says so; else ""."""
    while error is not None:
        for number in _DISK:
            reason = os.strerror(number)
            if getattr(error, "errno", None) == number or reason in str(error):  # other libraries have but the words
                place = getattr(error, "filename", None) or "the output"
                return printable(
                    f"{place}: expected a disk that can be written, got {reason}; make room, or write elsewhere"
                )
        error = error.__cause__ or error.__context__
    return ""


def leave(message: str, status: int = 2) -> NoReturn:
    """Print one line on stderr and exit."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def _leave_misused(error: TyperException) -> NoReturn:
    """Exit after a wrong option or argument; after a group without a command, whose help has been shown."""
    message = printable(" ".join(error.format_message().split()))
    if not message:
        sys.exit(2)
    context = getattr(error, "ctx", None)
    help_of = f"; see {context.command_path} --help" if context is not None else ""
    leave(f"{message.rstrip('.')}{help_of}")


def _never_fail_to_print() -> None:
    """Let stdout and stderr escape what their encoding lacks, such as ± where the locale is C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _raise_on_signals() -> list[int]:
    """Let SIGTERM and SIGHUP unwind the stack as SIGINT does; returns the list that collects the received ones.

    Libraries catch exceptions of every kind here and there, and an interruption with them.  So while an output is
    written, the exception is raised again every half second.  While it is removed, further signals wait.
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
    """Print nothing about an interruption that came where Python cannot raise; it will come again."""
    if not issubclass(ignored.exc_type, Stopped):
        sys.__unraisablehook__(ignored)


def _leave_stopped(received: list[int]) -> NoReturn:
    number = received[0] if received else signal.SIGINT
    leave(f"stopped by {signal.Signals(number).name} before it was finished; run it again", 128 + number)
