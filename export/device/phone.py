"""What a phone must be able to do, and the benchmark that is waited for on any of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobile_diffusion.errors import DeviceError
from mobile_diffusion.progress import Progress

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
POLL_S = 1.0
"""Seconds between two looks for the result."""


@dataclass(frozen=True)
class Outcome:
    """What the app's benchmark left."""

    text: str
    failed: bool
    """Whether `text` is the app's line about a failure, else it is the JSON of its times."""


class Phone(Protocol):
    """A connected phone with the sample app."""

    def send(self, bundle: Path, name: str, progress: Progress) -> None:
        """Put a bundle into the app's models, whole or not at all; raises `DeviceError`."""

    def start(self, name: str, runs: int, threads: int) -> None:
        """Forget the last result for a model and start the app's benchmark."""

    def outcome(self, name: str) -> Outcome | None:
        """The result, or None while there is none."""

    def running(self) -> bool:
        """Whether the app is alive."""


def check_name(name: str) -> str:
    """The name of a model on a phone; raises `DeviceError` for what no shell and no file system takes."""
    if NAME.fullmatch(name) is None:
        raise DeviceError(f"--name: expected up to 64 letters, digits, dots, dashes and underscores, got {name!r}")
    return name


def wait(
    phone: Phone,
    name: str,
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """The JSON that the benchmark writes; raises `DeviceError` when it fails, its app ends, or time is up."""
    deadline = clock() + timeout
    while clock() < deadline:
        alive = phone.running()
        found = phone.outcome(name)  # after the question: the app may end when it has written
        if found is not None and found.failed:
            raise DeviceError(f"benchmark of {name}: expected times, got from the phone: {found.text}")
        if found is not None:
            return found.text
        if not alive:
            raise DeviceError(
                f"benchmark of {name}: expected times, but the app ended without any; the phone may lack the memory: "
                "try a smaller precision, or look into the phone's log"
            )
        sleep(POLL_S)
    raise DeviceError(f"benchmark of {name}: expected times within {timeout:.0f} s, got none; give --timeout more")


def pull(phone: Phone, name: str) -> str:
    """The JSON of the last benchmark of a model; raises `DeviceError` when there is none."""
    found = phone.outcome(name)
    if found is None or found.failed:
        told = "none" if found is None else f"the app's message: {found.text}"
        raise DeviceError(f"benchmark of {name}: expected times on the phone, got {told}; run `device bench` first")
    return found.text
