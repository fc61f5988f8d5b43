"""Runs programs that talk to phones, with a time limit; a failure becomes one line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from mobile_diffusion.errors import DeviceError


def call(words: Sequence[str], timeout: float, fix: str) -> str:
    """Run a program; returns what it prints on stdout.

    Raises `DeviceError` when the program is missing, fails, or takes more than `timeout` seconds.  `fix` ends the
    message when the program is missing.
    """
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=timeout, encoding="utf-8", errors="replace"
        )
    except FileNotFoundError:
        raise DeviceError(f"{words[0]}: expected the program, got none; {fix}") from None
    except subprocess.TimeoutExpired:
        expected = f"expected an answer within {timeout:.0f} s"
        raise DeviceError(f"{_shown(words)}: {expected}, got none; unlock and reconnect the phone") from None
    if done.returncode != 0:
        raise DeviceError(f"{_shown(words)}: expected status 0, got {done.returncode}: {_reason(done)}")
    return done.stdout


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a failed program printed: tools name the cause at the end."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _shown(words: Sequence[str]) -> str:
    """The command, shortened for a message."""
    text = " ".join(words)
    return text if len(text) <= 80 else f"{text[:77]}..."
