"""What a phone must be able to do, and waiting for what its app was told to do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mobile_diffusion.errors import DeviceError
from mobile_diffusion.progress import Progress
from mobile_diffusion.quoting import quoted

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
POLL_S = 1.0
"""Seconds between two checks for the result."""


@dataclass(frozen=True)
class Task:
    """What the app can be told to do with a model."""

    folder: str
    """Where the app leaves the outcome: `<folder>/<name>.json`, or `<folder>/<name>.error`."""
    title: str
    result: str
    command: str


BENCHMARK = Task("benchmark", "benchmark", "times", "device bench")
GOLDEN = Task("golden", "comparison", "distances", "device verify")


@dataclass(frozen=True)
class Outcome:
    """The result of a task."""

    text: str
    failed: bool
    """Whether `text` is the app's line about a failure; otherwise it is the JSON of its result."""


class Phone(Protocol):
    """A connected phone with the sample app."""

    def send(self, bundle: Path, name: str, progress: Progress) -> None:
        """Copy a bundle into the app's models, whole or not at all; raises `DeviceError`."""

    def start(self, task: Task, name: str, threads: int, runs: int | None = None) -> None:
        """Forget the last result of a model and start a task in the app; `runs` is for the benchmark."""

    def outcome(self, task: Task, name: str) -> Outcome | None:
        """Return the result, or None as long as there is none."""

    def running(self) -> bool:
        """Whether the app is alive."""


def check_name(name: str) -> str:
    """Return the name of a model on a phone; raises `DeviceError` for what a shell or a file system refuses."""
    if NAME.fullmatch(name) is None:
        raise DeviceError(
            f"--name: expected up to 64 letters, digits, dots, dashes and underscores, got {quoted(name)}"
        )
    return name


def wait(
    phone: Phone,
    task: Task,
    name: str,
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return the JSON of a task; raises `DeviceError` when it fails, when the app ends, or when time is up."""
    expected = f"{task.title} of {name}: expected {task.result}"
    deadline = clock() + timeout
    while clock() < deadline:
        alive = phone.running()
        found = phone.outcome(task, name)  # looked up last: the app may write and end in between
        if found is not None and found.failed:
            raise DeviceError(f"{expected}, got an error from the phone: {found.text}")
        if found is not None:
            return found.text
        if not alive:
            raise DeviceError(
                f"{expected}, but the app ended without any; the phone may lack the memory: try a smaller precision, "
                "or read the phone's log"
            )
        sleep(POLL_S)
    raise DeviceError(f"{expected} within {timeout:.0f} s, got none; give a longer --timeout")


def pull(phone: Phone, task: Task, name: str) -> str:
    """Return the JSON of the last run of a task; raises `DeviceError` when there is none."""
    found = phone.outcome(task, name)
    if found is None or found.failed:
        told = "none" if found is None else f"the app's message: {found.text}"
        raise DeviceError(
            f"{task.title} of {name}: expected {task.result} on the phone, got {told}; "
            f"run `mobile-diffusion {task.command}` first"
        )
    return found.text
